//! A layer that many threads and tasks use at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use channels::{InMemoryChannelLayer, Layer, RawEvent};
use futures_util::{FutureExt, future::join_all};
use tokio::task::yield_now;

use super::{Client, next, numbered, outside, report, small, sorted, waiting};
use crate::support::within;

// channels_redis test_core: receive_cancel; test_pubsub: receive_hang
#[tokio::test]
async fn an_event_that_was_meant_for_one_who_gave_up_goes_to_the_next() {
    let layer = small();
    let mut first = Box::pin(layer.receive("test-channel-1"));
    let mut second = Box::pin(layer.receive("test-channel-1"));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    layer.send("test-channel-1", numbered(1)).await.unwrap();
    drop(first);
    let event = within(second).await.unwrap();
    assert_eq!(event.decode::<RawEvent>().unwrap()["n"], 1);

    let mut only = Box::pin(layer.receive("test-channel-1"));
    assert!((&mut only).now_or_never().is_none());
    layer.send("test-channel-1", numbered(2)).await.unwrap();
    drop(only);
    assert_eq!(waiting(&layer, "test-channel-1").await, [2]);
}

// channels_redis test_core: receive_cancel (which fails there, as is known)
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn cancelling_receive_at_any_moment_loses_and_doubles_nothing() {
    const EVENTS: usize = 3_000;
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(50));
    let received = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..4)
        .map(|receiver| {
            let (layer, received) = (layer.clone(), received.clone());
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for round in receiver.. {
                    let patience = async {
                        for _ in 0..round % 4 {
                            yield_now().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = patience => {}
                        n = next(&layer, "test-channel-1") => {
                            numbers.push(n);
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if received.load(Ordering::Relaxed) == EVENTS {
                        break;
                    }
                    yield_now().await;
                }
                numbers
            })
        })
        .collect();
    for n in 0..EVENTS {
        within(async {
            while layer.send("test-channel-1", numbered(n)).await.is_err() {
                yield_now().await;
            }
        })
        .await;
    }
    let mut all = Vec::new();
    for receiver in receivers {
        let numbers = within(receiver).await.unwrap();
        assert!(numbers.is_sorted(), "each receiver sees what it takes in order");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..EVENTS));
}

// channels_redis test_core: double_receive, repeated_group_send_with_async_to_sync
#[channels::actix_web::test]
async fn handles_work_on_threads_that_know_nothing_of_actix() {
    // Room for all: the other thread may have sent its last event before this one has read the first.
    let layer = Layer::new(InMemoryChannelLayer::default());
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    let (outer, channel) = (layer.clone(), member.channel.clone());
    let told = thread::spawn(move || {
        for n in 0..2 {
            // A runtime for each call, as a short-lived script has it.
            assert_eq!(outside(outer.group_send("room", numbered(n)).report()).unwrap(), report(1, 0, 0));
        }
        outside(outer.send(&channel, numbered(2))).unwrap();
        outside(outer.group_add("room", "log")).unwrap();
        outside(outer.group_send("room", numbered(3))).unwrap();
        outside(outer.group_discard("room", &channel)).unwrap();
        assert_eq!(sorted(outside(outer.group_channels("room")).unwrap()), ["log"]);
        outside(next(&outer, "log"))
    });
    for n in 0..4 {
        assert_eq!(member.told().await, n.to_string());
    }
    assert_eq!(within(tokio::task::spawn_blocking(|| told.join().unwrap())).await.unwrap(), 3);
}

// test_inmemorychannel: multi_send_receive, over threads
#[channels::actix_web::test]
async fn one_senders_events_keep_their_order_by_whichever_way_they_come() {
    const EVENTS: usize = 600;
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(EVENTS));
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    let (outer, channel) = (layer.clone(), member.channel.clone());
    let sender = thread::spawn(move || {
        outside(async {
            for n in 0..EVENTS {
                match n % 3 {
                    0 => outer.send(&channel, numbered(n)).await.expect("there is room"),
                    _ => assert_eq!(
                        outer.group_send("room", numbered(n)).report().await.expect("it can"),
                        report(1, 0, 0)
                    ),
                }
            }
        });
    });
    for n in 0..EVENTS {
        assert_eq!(member.told().await, n.to_string());
    }
    sender.join().unwrap();
}

// Ours: a thread's mailbox is bounded; those who find it full wait, and nothing is lost.
#[channels::actix_web::test]
async fn more_senders_than_a_thread_takes_at_once_wait_for_their_turn() {
    const EVENTS: usize = 5_000;
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(2 * EVENTS));
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    let (outer, channel) = (layer.clone(), member.channel.clone());
    let senders = thread::spawn(move || {
        let to_group = (0..EVENTS).map(|n| outer.group_send("room", numbered(n)).report());
        let to_channel = (EVENTS..2 * EVENTS).map(|n| outer.send(&channel, numbered(n)));
        let all = async { tokio::join!(join_all(to_group), join_all(to_channel)) };
        let (reports, sent) = outside(all);
        assert!(reports.into_iter().all(|sent| sent.expect("it can") == report(1, 0, 0)));
        assert!(sent.into_iter().all(|sent| sent.is_ok()));
    });
    let mut numbers = Vec::new();
    for _ in 0..2 * EVENTS {
        numbers.push(member.told().await.parse::<usize>().unwrap());
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..2 * EVENTS));
    senders.join().unwrap();
}
