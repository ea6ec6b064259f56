//! Work that is done by another process, started with another command.

use super::server::{RedisServer, prefix, shared};
use crate::example_worker::{Example, connect};

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

#[tokio::test]
async fn over_publish_and_subscribe_every_worker_hears_what_is_sent_while_it_listens_and_nothing_waits() {
    let broker = RedisServer::start();
    let layer = format!("{}/?mode=pubsub", broker.url());
    let (_web, address) = Example::serve(&["web", "--layer", &layer]).await;
    let mut socket = connect(&address).await;
    socket.send(r#"{"up_to": 100}"#).await; // nobody works yet
    let mut workers = Vec::new();
    let mut up_to = 1_000;
    for listening in [1, 2] {
        workers.push(Example::start(&["work", "--layer", &layer]));
        broker.is_listened_to("primes", listening);
        // No answer comes to a question before, nor more than one from each.
        for _ in 0..3 {
            up_to += 1;
            socket.send(format!(r#"{{"up_to": {up_to}}}"#)).await;
            for _ in 0..listening {
                let answer = socket.text().await;
                assert!(answer.starts_with(&format!(r#"{{"up_to":{up_to},"#)), "{answer}");
            }
        }
    }
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}
