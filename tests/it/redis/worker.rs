//! Work that is done by another process, started with another command.

use super::server::{prefix, shared};
use crate::example_worker::{Example, connect};

#[tokio::test]
async fn a_worker_in_a_process_of_its_own_does_what_waited_for_it_and_stops_when_it_is_told() {
    let (prefix, [host, _]) = (prefix(), shared());
    let layer = format!("{host}/?prefix={prefix}");
    let (_web, address) = Example::serve(&["web", "--layer", &layer]).await;
    let mut socket = connect(&address).await;
    socket.send(r#"{"up_to": 100}"#).await; // nobody works yet
    let work = Example::start(&["work", "--layer", &layer]);
    assert_eq!(socket.text().await, r#"{"up_to":100,"primes":25}"#);
    assert!(work.stop().await.success());

    socket.send(r#"{"up_to": 10}"#).await;
    let next = Example::start(&["work", "--layer", &layer]);
    assert_eq!(socket.text().await, r#"{"up_to":10,"primes":4}"#, "a second one goes on where the first has stopped");
    assert!(next.stop().await.success());
}
