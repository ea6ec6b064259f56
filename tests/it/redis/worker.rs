//! Work that is done by another process, started with another command.

use std::time::Duration;

use tokio::time::timeout;

use super::server::{prefix, shared};
use crate::{
    example_worker::{Example, connect},
    support::{Socket, within},
};

fn layer(mode: &str) -> String {
    format!("{}/?prefix={}&mode={mode}", shared()[0], prefix())
}

async fn a_worker_does_what_waited_for_it_and_stops_when_it_is_told(mode: &str) {
    let layer = layer(mode);
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

#[tokio::test]
async fn a_worker_in_a_process_of_its_own_does_what_waited_for_it_and_stops_when_it_is_told() {
    a_worker_does_what_waited_for_it_and_stops_when_it_is_told("own").await;
}

#[tokio::test]
async fn a_worker_does_so_too_over_the_queues_that_django_has() {
    a_worker_does_what_waited_for_it_and_stops_when_it_is_told("core").await;
}

/// The answers that come to one question within a while.
async fn answers(socket: &mut Socket, up_to: u32) -> usize {
    socket.send(format!(r#"{{"up_to": {up_to}}}"#)).await;
    let mut answers = 0;
    while let Ok(answer) = timeout(Duration::from_millis(200), socket.text()).await {
        assert!(!answer.starts_with(r#"{"up_to":100,"#), "what was sent when nobody listened is lost");
        answers += usize::from(answer.starts_with(&format!(r#"{{"up_to":{up_to},"#)));
    }
    answers
}

#[tokio::test]
async fn over_publish_and_subscribe_every_worker_hears_what_is_sent_while_it_listens_and_nothing_waits() {
    let layer = layer("pubsub");
    let (_web, address) = Example::serve(&["web", "--layer", &layer]).await;
    let mut socket = connect(&address).await;
    socket.send(r#"{"up_to": 100}"#).await; // nobody works yet
    let mut workers = Vec::new();
    let mut up_to = 1_000;
    for listening in [1, 2] {
        workers.push(Example::start(&["work", "--layer", &layer]));
        // When it listens, nobody but the broker knows: each question is asked once, until all have answered one.
        within(async {
            loop {
                up_to += 1;
                if answers(&mut socket, up_to).await == listening {
                    return;
                }
            }
        })
        .await;
    }
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}
