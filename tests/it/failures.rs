//! A consumer that fails harms nobody but itself.

use std::time::Duration;

use channels::{Config, InMemoryChannelLayer, Layer, event};

use crate::{
    puppet::Strings,
    raw::{FIN, Raw, TEXT, frame},
    support::{Served, Socket, serve},
};

/// People in a room, on two threads, and one more who is about to fail.
struct Room {
    layer: Layer,
    server: Served,
    others: Vec<Socket>,
    failing: Raw,
    strings: Strings,
}

impl Room {
    async fn new(config: Config) -> Self {
        let (strings, layer) = (Strings::new(), Layer::new(InMemoryChannelLayer::default()));
        let server = serve(strings.server(&layer).config(config).workers(2));
        let mut others = Vec::new();
        for _ in 0..6 {
            others.push(server.connect("/").await);
        }
        let failing = Raw::open(server.address, "/").await;
        assert_eq!(layer.group_size("room").await.unwrap(), 7);
        Self { layer, server, others, failing, strings }
    }

    async fn fail(&mut self, how: &str) {
        self.failing.write(frame(FIN | TEXT, how)).await;
    }

    async fn hang_up(&mut self) {
        self.failing = Raw::connect(self.server.address).await;
    }

    /// The others talk, by themselves and in the group, and get exactly what they should.
    async fn others_are_untouched(&mut self) {
        for round in 0..5 {
            for (n, other) in self.others.iter_mut().enumerate() {
                other.send(format!("say {round} {n}")).await;
                assert_eq!(other.text().await, format!("{round} {n}"));
            }
            let what = format!("say to all {round}");
            self.layer.group_send("room", event!({"type": "puppet.do", "what": what})).await.unwrap();
            for other in &mut self.others {
                assert_eq!(other.text().await, format!("to all {round}"));
            }
        }
    }

    /// When so many consumers are gone, they are in no group any more.
    async fn groups_are_clean_after(&mut self, gone: usize) {
        for _ in 0..gone {
            while self.strings.told().await != "dropped" {}
        }
        for group in ["class", "room"] {
            assert_eq!(self.layer.group_size(group).await.unwrap(), self.others.len());
        }
    }

    async fn goes_on_as_if_nothing_had_been_after(mut self, gone: usize) {
        self.groups_are_clean_after(gone).await;
        self.others_are_untouched().await;
        let mut newcomer = self.server.connect("/").await;
        newcomer.send("say hello").await;
        assert_eq!(newcomer.text().await, "hello");
    }
}

#[tokio::test]
async fn a_consumer_that_panics_leaves_every_other_connection_untouched() {
    let mut room = Room::new(Config::default()).await;
    room.fail("panic").await;
    room.others_are_untouched().await;
    while room.failing.frame().await.is_some_and(|(first, _)| first == FIN | TEXT) {}
    room.hang_up().await;
    room.goes_on_as_if_nothing_had_been_after(1).await;
}

#[tokio::test]
async fn a_consumer_that_errs_leaves_every_other_connection_untouched() {
    let mut room = Room::new(Config::default()).await;
    room.fail("error").await;
    room.others_are_untouched().await;
    while room.failing.frame().await.is_some_and(|(first, _)| first == FIN | TEXT) {}
    room.hang_up().await;
    room.goes_on_as_if_nothing_had_been_after(1).await;
}

#[tokio::test]
async fn a_consumer_that_never_returns_leaves_every_other_connection_untouched() {
    let mut room = Room::new(Config { hook_grace: Duration::from_millis(50), ..Config::default() }).await;
    room.fail("wait-forever").await;
    room.others_are_untouched().await;
    assert_eq!(room.layer.group_size("room").await.unwrap(), 7, "it is there for as long as its client is");
    room.hang_up().await;
    room.goes_on_as_if_nothing_had_been_after(1).await;
}

#[tokio::test]
async fn a_consumer_that_never_returns_is_found_behind_messages_that_nobody_reads() {
    let (hook_grace, ping_interval) = (Duration::from_millis(50), Some(Duration::ZERO));
    let mut room = Room::new(Config { hook_grace, ping_interval, ..Config::default() }).await;
    room.fail("wait-forever").await;
    for _ in 0..3 {
        room.fail("say nothing").await;
    }
    room.hang_up().await;
    room.groups_are_clean_after(1).await;
}

#[tokio::test]
async fn a_crowd_that_fails_at_once_leaves_no_member_behind() {
    let mut room = Room::new(Config::default()).await;
    let mut crowd = Vec::new();
    for _ in 0..30 {
        crowd.push(Raw::open(room.server.address, "/").await);
    }
    crowd.push(room.failing);
    room.failing = Raw::connect(room.server.address).await;
    for (n, client) in crowd.iter_mut().enumerate() {
        client.write(frame(FIN | TEXT, ["panic", "error", "close", "stop"][n % 4])).await;
    }
    room.others_are_untouched().await;
    drop(crowd);
    room.goes_on_as_if_nothing_had_been_after(31).await;
}
