//! A consumer that fails harms nobody but itself.

use std::time::Duration;

use channels::{Config, InMemoryChannelLayer, Layer, SlowClient, event, prelude::*};
use tokio::sync::mpsc;

use crate::{
    gate::Gate,
    logs,
    puppet::Strings,
    raw::{CLOSE, FIN, Raw, TEXT, frame, handshake},
    support::{Served, Socket, serve, within},
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

/// Says as many long messages as it is asked for when it may, and passes on what comes of it.
struct Insists(Gate, mpsc::UnboundedSender<()>);

#[consumer]
impl Consumer for Insists {
    async fn receive(&mut self, cx: &mut Context, Text(count): Text) -> Result<()> {
        self.0.pass().await;
        for _ in 0..count.parse()? {
            cx.send("x".repeat(8 * 1_024))?;
        }
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        let _ = self.1.send(());
    }
}

fn insists(config: Config) -> (Server, Gate, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let ((gate, told), (tell, left)) = (Gate::new(0), mpsc::unbounded_channel());
    let passed = gate.clone();
    let app = ProtocolTypeRouter::new().websocket(move || Insists(passed.clone(), tell.clone()));
    (Server::new(app).config(config).workers(1), gate, told, left)
}

#[tokio::test]
async fn a_client_that_leaves_while_a_hook_runs_is_no_failure_of_the_hook() {
    // It sees that the client has gone as soon as it is told, or when the client takes nothing.
    for (says_so, count) in [(true, 1), (false, 100_000)] {
        let (server, gate, mut told, mut left) = insists(Config::default());
        let stats = server.stats();
        let server = serve(server);
        let mut client = Raw::open(server.address, "/").await;
        client.write(frame(FIN | TEXT, count.to_string())).await;
        within(told.recv()).await.unwrap();
        if says_so {
            client.write(frame(FIN | CLOSE, 1000u16.to_be_bytes())).await;
            assert_eq!(client.close().await.0, 1000);
        } else {
            drop(client);
        }
        gate.open(1);
        within(left.recv()).await.unwrap();
        assert_eq!(stats.total().await.failures, 0);
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_no_failure_of_the_hook_and_keeps_its_connection_where_it_may() {
    let config = Config { max_waiting_bytes: 64 * 1_024, slow_client: SlowClient::DropNewest, ..Config::default() };
    let (server, gate, _told, _left) = insists(config);
    let stats = server.stats();
    let server = serve(server);
    gate.open(2);
    let mut client = Raw::connect_narrow(server.address).await.upgrade("/").await;
    client.write(frame(FIN | TEXT, "10000")).await;
    within(async { while stats.total().await.dropped_slow == 0 {} }).await;
    client.write(frame(FIN | TEXT, "1")).await;
    // What was taken before, and one more.
    let taken = stats.total().await.deliveries;
    for _ in 0..=taken {
        assert_eq!(client.text().await.len(), 8 * 1_024);
    }
    let counts = stats.total().await;
    assert_eq!((counts.failures, counts.dropped_slow, counts.deliveries), (0, 1, taken + 1));
}

#[tokio::test]
async fn what_a_client_says_makes_no_line_in_a_log() {
    logs::keep();
    let strings = Strings::new();
    let server = serve(strings.server(&Layer::new(InMemoryChannelLayer::default())));
    let mut client = Raw::connect(server.address).await;
    client.write(handshake("/a%0aline-of-its-own", "")).await;
    assert_eq!(client.response().await.status, 500);
    let line = logs::wait_for(&["ERROR", "a puppet does not know", "line-of-its-own"]).await;
    // Paths are values of their own, which whoever writes lines quotes.
    let error = line.split_once("error=").expect("it has one").1;
    assert!(error.contains("puppet.rs:") && error.contains(r"`a\nline-of-its-own`"), "{line}");
}
