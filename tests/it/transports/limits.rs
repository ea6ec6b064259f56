//! The limits of connections hold for sessions, whatever carries them; so does what operators see.

use std::{net::SocketAddr, time::Duration};

use channels::{
    Config, InMemoryChannelLayer, Layer,
    Transport::{EventStream, LongPoll, WebSocket},
    middleware::RateLimit,
    prelude::*,
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    client::{Client, Heard, Kind, request},
    house::{House, server},
};
use crate::{
    echo::Echo,
    raw::{FIN, Raw, TEXT, frame, handshake},
    support::{serve, within},
};

const CARRIERS: [Kind; 3] = [Kind::Socket, Kind::Stream, Kind::Poll];

const SHORT: Duration = Duration::from_millis(50);

async fn try_open(house: &House, kind: Kind) -> Result<Client, u16> {
    let opened = Client::try_open(kind, house.server.address, "/do/as-told/", "").await;
    opened.map_err(|response| response.status)
}

#[tokio::test]
async fn connections_are_counted_by_session() {
    for (config, refused) in [
        (Config { max_connections_per_address: Some(2), close_timeout: SHORT, ..Config::default() }, 429),
        (Config { max_header_size: 10, ..Config::default() }, 431),
    ] {
        for kind in CARRIERS {
            let mut house = House::with(config.clone());
            if refused == 431 {
                assert_eq!(try_open(&house, kind).await.err(), Some(431));
                continue;
            }
            let mut first = house.open(kind).await;
            let _second = house.open(kind).await;
            for other in [Kind::Plain, Kind::Socket, Kind::Stream, Kind::Poll] {
                assert_eq!(try_open(&house, other).await.err(), Some(refused));
            }
            first.close(1000, "").await;
            house.end().await;
            within(async { while try_open(&house, kind).await.is_err() {} }).await;
        }
    }
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (full, ..) = server(Config { max_connections: 1, ..Config::default() }, &layer);
    let full = serve(full.workers(1));
    let _one = Client::open(Kind::Poll, full.address, "/do/as-told/").await;
    for kind in CARRIERS {
        let refused = Client::try_open(kind, full.address, "/do/as-told/", "").await;
        assert_eq!(refused.err().map(|response| response.status), Some(503));
    }
}

#[tokio::test]
async fn a_session_counts_until_its_client_has_had_its_last_words() {
    let config = Config { max_connections_per_address: Some(1), close_timeout: Duration::ZERO, ..Config::default() };
    let mut house = House::with(config);
    let mut client = house.open(Kind::Poll).await;
    client.say("close 4042").await;
    house.end().await;
    for _ in 0..20 {
        assert_eq!(try_open(&house, Kind::Poll).await.err(), Some(429));
    }
    assert_eq!(client.hear().await, Heard::Closed(4042, "as you wish".to_owned()));
    within(async { while try_open(&house, Kind::Poll).await.is_err() {} }).await;
}

#[tokio::test]
async fn a_session_lasts_as_long_as_it_may() {
    for kind in CARRIERS {
        let mut house = House::with(Config { max_lifetime: Some(Duration::from_millis(100)), ..Config::default() });
        let mut client = house.open(kind).await;
        let reason = "the connection has lasted as long as it may".to_owned();
        assert_eq!(client.hear().await, Heard::Closed(4000, reason));
        assert!(house.end().await.starts_with("4000 "));
    }
}

#[tokio::test]
async fn a_client_that_sends_too_often_is_closed_with_4429() {
    let limit = RateLimit::per_connection(2, Duration::from_secs(3_600));
    let routes =
        URLRouter::new([path("ws/", limit.wrap(Echo::default)).transports([WebSocket, EventStream, LongPoll])]);
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).workers(2));
    for kind in CARRIERS {
        let mut client = Client::open(kind, house.address, "/ws/").await;
        for text in ["one", "two", "three"] {
            client.say(text).await;
        }
        client.hears("one").await;
        client.hears("two").await;
        match client.hear().await {
            Heard::Closed(4429, _) => {}
            other => panic!("{kind:?}: {other:?}"),
        }
    }
}

/// Answers what is not empty.
#[derive(Default)]
struct Terse;

#[consumer]
impl Consumer for Terse {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        if message.is_empty() { Ok(()) } else { cx.send(message) }
    }
}

#[tokio::test]
async fn a_batch_has_1024_messages_at_most() {
    let batch = |from: u64, empty| format!(r#"{{"from":{from},"messages":[{}"last"]}}"#, r#""","#.repeat(empty));
    let routes = URLRouter::new([path("ws/", Terse::default).transports([WebSocket, LongPoll])]);
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).workers(1));
    let mut socket = Client::open(Kind::Socket, house.address, "/ws/").await;
    socket.down().write(frame(FIN | TEXT, batch(1, 1_023))).await;
    within(socket.hears("last")).await;
    socket.down().write(frame(FIN | TEXT, batch(1_025, 1_024))).await;
    assert_eq!(socket.hear().await, Heard::Closed(1009, "the batch has more than 1024 messages".to_owned()));

    let mut poll = Client::open(Kind::Poll, house.address, "/ws/").await;
    assert_eq!(poll.post(&batch(1, 1_024)).await.status, 413);
    assert_eq!(poll.post(&batch(1, 1_023)).await.status, 200);
}

/// Asks to go on with this session by a socket; the status of the answer.
async fn resume(address: SocketAddr, session: &str) -> (Raw, u16) {
    let mut raw = Raw::connect(address).await;
    let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.0.{session}\r\n");
    raw.write(handshake("/do/as-told/", &offer)).await;
    let status = raw.response().await.status;
    (raw, status)
}

#[tokio::test]
async fn a_socket_that_asks_for_a_session_that_is_not_there_counts_until_it_is_closed() {
    let endless = Config { close_timeout: Duration::from_secs(3_600), ..Config::default() };
    let layer = Layer::new(InMemoryChannelLayer::default());
    let node = "0123456789abcdef0123456789abcdef";
    for id in ["x".to_owned(), format!("specific.{node}!{node}~0.{}", "s".repeat(43))] {
        for (config, refused) in [
            (Config { max_connections_per_address: Some(1), ..endless.clone() }, 429),
            (Config { max_connections: 1, ..endless.clone() }, 503),
        ] {
            let house = serve(server(config, &layer).0.workers(1));
            let open = || Client::try_open(Kind::Poll, house.address, "/do/as-told/", "");
            let (stranger, status) = resume(house.address, &id).await;
            assert_eq!(status, 101);
            assert_eq!(resume(house.address, &id).await.1, refused, "{id}");
            assert_eq!(open().await.err().map(|response| response.status), Some(refused), "{id}");
            drop(stranger);
            let client = async {
                loop {
                    if let Ok(client) = open().await {
                        break client;
                    }
                }
            };
            // What is counted already goes on where there is room for no more.
            let mut client = within(client).await.go_on(Kind::Socket, house.address).await;
            client.say("back").await;
            client.hears("back").await;
            assert_eq!(resume(house.address, &id).await.1, refused, "{id}");
        }
    }
    let busy = serve(server(Config { max_handshakes: 0, ..endless }, &layer).0.workers(1));
    assert_eq!(resume(busy.address, "x").await.1, 503);
}

#[tokio::test]
async fn a_socket_that_is_told_that_its_session_goes_on_elsewhere_counts_until_it_is_closed() {
    let config = Config { max_connections: 2, close_timeout: Duration::from_secs(3_600), ..Config::default() };
    let layer = Layer::new(InMemoryChannelLayer::default());
    let house = serve(server(config, &layer).0.workers(1));
    let open = || Client::try_open(Kind::Poll, house.address, "/do/as-told/", "");
    let mut client = Client::open(Kind::Socket, house.address, "/do/as-told/").await;
    let mut first = Raw::connect(house.address).await;
    std::mem::swap(client.down(), &mut first);
    let mut client = client.go_on(Kind::Socket, house.address).await;
    assert_eq!(first.close().await.0, 4409);
    assert_eq!(open().await.err().map(|response| response.status), Some(503));
    client.say("still here").await;
    client.hears("still here").await;
    drop(first);
    within(async { while open().await.is_err() {} }).await;
}

#[tokio::test]
async fn a_socket_that_asks_for_a_session_that_is_not_there_is_refused_while_the_server_stops() {
    let House { server, gate, mut ends, .. } = House::new();
    let mut busy = Client::open(Kind::Plain, server.address, "/do/as-told/").await;
    busy.say("here").await;
    busy.hears("here").await;
    busy.say("wait").await;
    let address = server.address;
    let stopped = server.stop();
    let opening = async || Client::try_open(Kind::Poll, address, "/do/as-told/", "").await;
    within(async { while opening().await.is_ok() {} }).await;
    assert_eq!(resume(address, "x").await.1, 503);
    gate.add_permits(1);
    assert!(within(ends.recv()).await.unwrap().starts_with("1012 "));
    drop(busy);
    stopped.await;
}

#[tokio::test]
async fn times_may_be_without_end() {
    let config = Config {
        hook_grace: Duration::MAX,
        disconnect_timeout: Duration::MAX,
        poll_window: Duration::MAX,
        ..Config::default()
    };
    let mut house = House::with(config);
    for kind in [Kind::Plain, Kind::Socket, Kind::Stream, Kind::Poll] {
        let mut client = house.open(kind).await;
        client.say("here").await;
        client.hears("here").await;
        // The hook that runs has all the time there is, and so has the last one.
        client.say("wait").await;
        match kind {
            Kind::Plain => drop(client),
            _ => client.close(1000, "").await,
        }
        house.gate.add_permits(1);
        house.end().await;
    }
}

/// Says more than sockets hold, and tells how it ended.
struct Talker(mpsc::UnboundedSender<String>);

#[consumer]
impl Consumer for Talker {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        let long = Message::from("x".repeat(1024 * 1024));
        for _ in 0..64 {
            cx.send(long.clone())?;
        }
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(close.to_string());
    }
}

#[tokio::test]
async fn a_carrier_whose_client_reads_nothing_is_given_up() {
    let (tell, mut ends) = mpsc::unbounded_channel();
    // The route's, so that it is not the kernel's as well.
    let route = path("ws/", move || Talker(tell.clone())).transports([WebSocket, EventStream]).config(|config| {
        config.stall_timeout = Duration::from_millis(200);
        config.poll_window = Duration::from_millis(200);
        config.ping_interval = None;
        config.max_waiting_bytes = 128 * 1024 * 1024;
    });
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(URLRouter::new([route]).unwrap())).workers(1));
    for ask in [
        handshake("/ws/", "Sec-WebSocket-Protocol: channels.v1\r\n"),
        request("GET", "/ws/", "Accept: text/event-stream\r\n", ""),
    ] {
        let mut sleeps = Raw::connect_narrow(house.address).await;
        sleeps.write(ask).await;
        assert_eq!(within(ends.recv()).await.unwrap(), "4408 (the client stayed away)");
        drop(sleeps);
    }
}

#[tokio::test]
async fn an_operator_sees_one_connection_for_each_session() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (server, ..) = server(Config::default(), &layer);
    let server = serve(server.workers(2).inspection("/inspect/"));
    let mut clients = Vec::new();
    for kind in CARRIERS {
        let mut client = Client::open(kind, server.address, "/do/as-told/").await;
        client.say("hello").await;
        client.hears("hello").await;
        clients.push(client);
    }
    let mut raw = Raw::connect(server.address).await;
    raw.write(request("GET", "/inspect/data.json", "", "")).await;
    let report: Value = serde_json::from_str(&raw.response().await.body).unwrap();
    let connections = report["connections"]["rows"].as_array().unwrap();
    assert_eq!(connections.len(), 3);
    for connection in connections {
        assert_eq!(connection["path"], "/do/as-told/");
        assert!(connection["consumer"].as_str().unwrap().ends_with("::Doer"));
    }
    let counts = report["consumers"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&counts["connections"], &counts["inputs"], &counts["deliveries"]), (&3.into(), &3.into(), &3.into()));
}
