//! What a consumer does, over every transport, with the same assertions.

use std::time::Duration;

use channels::{Config, SlowClient, prelude::*};

use super::{
    client::{Client, Heard, Kind, binary, text},
    house::House,
};
use crate::support::{serve, within};

/// A test for each transport.
macro_rules! over_every_transport {
    ($(async fn $name:ident($kind:ident: Kind) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn holds($kind: Kind) $body

            #[tokio::test]
            async fn over_a_plain_socket() {
                holds(Kind::Plain).await;
            }

            #[tokio::test]
            async fn over_a_socket_that_carries_a_session() {
                holds(Kind::Socket).await;
            }

            #[tokio::test]
            async fn over_an_event_stream() {
                holds(Kind::Stream).await;
            }

            #[tokio::test]
            async fn over_long_polling() {
                holds(Kind::Poll).await;
            }
        }
    )*};
}

/// More messages of a KiB than sockets hold.
const FLOOD: usize = 65_536;

/// Which messages of a flood come to a client that did not listen; the others are counted as dropped.
async fn overwhelmed(kind: Kind, config: Config) -> Vec<usize> {
    let house = House::with(config);
    let mut client = house.open(kind).await;
    client.say(&format!("flood {FLOOD}")).await;
    client.utter("behind it").await;
    let mut heard = Vec::new();
    loop {
        match client.hear().await {
            Heard::Text(text) if text == "behind it" => break,
            Heard::Text(text) => heard.push(text.trim().parse().expect("a number")),
            other => panic!("{other:?}"),
        }
    }
    assert!((1..FLOOD).contains(&heard.len()), "{}", heard.len());
    assert_eq!(house.stats.total().await.dropped_slow as usize, FLOOD - heard.len());
    heard
}

over_every_transport! {
    async fn connect_accepts_with_a_subprotocol_and_headers(kind: Kind) {
        let house = House::new();
        let path = "/do/greet/";
        let opened = Client::try_open(kind, house.server.address, path, "chat.v1, chat.v2").await;
        let mut client = opened.unwrap_or_else(|response| panic!("{}", response.status));
        assert_eq!(client.subprotocol.as_deref(), Some("chat.v2"));
        assert_eq!(client.response.header("X-Greeting"), Some("hello"));
        client.hears("welcome").await;
    }

    async fn connect_refuses_with_a_status_headers_and_a_body(kind: Kind) {
        let mut house = House::new();
        let response = house.refused(kind, "deny").await;
        assert_eq!((response.status, &*response.body), (401, "log in first"));
        assert_eq!(response.header("WWW-Authenticate"), Some("Bearer"));
        assert_eq!(house.end().await, "1006 (the handshake was refused) by Server in 1");
        assert_eq!(house.refused(kind, "close").await.status, 403);
        assert_eq!(house.refused(kind, "fail").await.status, 500);
        assert_eq!(house.refused(kind, "panic").await.status, 500);
        assert_eq!(house.layer.group_size("room").await.unwrap(), 0);
    }

    async fn connect_has_a_deadline(kind: Kind) {
        let mut house = House::with(Config { handshake_timeout: Duration::from_millis(50), ..Config::default() });
        let response = house.refused(kind, "never").await;
        assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")));
        assert_eq!(house.end().await, "1006 (`connect` did not decide in time) by Server in 1");
    }

    async fn texts_and_bytes_come_as_they_were_sent_and_in_order(kind: Kind) {
        let house = House::new();
        let mut client = house.open(kind).await;
        let texts = ["", " ", "a", "two\nlines", "\n", "carriage\r\nreturn", "\"quotes\" \\ \u{1} 读 🦀", ": data: x"];
        for text in texts {
            client.say(text).await;
        }
        client.send(binary(&[])).await;
        client.send(binary(&[0, 1, 2, 0xff])).await;
        for n in 0..200 {
            client.say(&n.to_string()).await;
        }
        for text in texts {
            client.hears(text).await;
        }
        assert_eq!(client.hear().await, Heard::Binary(vec![]));
        assert_eq!(client.hear().await, Heard::Binary(vec![0, 1, 2, 0xff]));
        for n in 0..200 {
            client.hears(n.to_string()).await;
        }
    }

    async fn json_is_parsed_and_what_does_not_fit_is_closed_with_a_reason(kind: Kind) {
        let house = House::new();
        for (message, code) in [(text("[1, \"2\"]"), 1007), (binary(b"\xff"), 1003)] {
            let mut client = Client::open(kind, house.server.address, "/add/").await;
            client.say("[1, 2, 39]").await;
            client.hears("42").await;
            client.send(message).await;
            match client.hear().await {
                Heard::Closed(closed, reason) => assert!(closed == code && !reason.is_empty(), "{closed} {reason}"),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn groups_reach_every_member_by_all_kinds_of_handlers(kind: Kind) {
        let house = House::new();
        let mut one = house.open(kind).await;
        let mut others = Vec::new();
        for other in [Kind::Plain, Kind::Socket, Kind::Stream, Kind::Poll] {
            others.push(house.open(other).await);
        }
        for (verb, n) in ["say", "typed", "purely"].into_iter().cycle().zip(0..30) {
            one.say(&format!("{verb} {n}")).await;
        }
        others.push(one);
        for client in &mut others {
            for (kind, n) in ["untyped", "typed", "purely"].into_iter().cycle().zip(0..30) {
                client.hears(format!("{kind} {n}")).await;
            }
        }
    }

    async fn a_close_comes_with_its_code_behind_what_was_sent(kind: Kind) {
        let mut house = House::new();
        let mut client = house.open(kind).await;
        client.say("first").await;
        client.say("close 4042").await;
        client.hears("first").await;
        assert_eq!(client.hear().await, Heard::Closed(4042, "as you wish".to_owned()));
        assert_eq!(house.end().await, "4042 (as you wish) by Server in 1");
        let mut client = house.open(kind).await;
        client.say("stop").await;
        assert_eq!(client.hear().await, Heard::Closed(1000, String::new()));
        assert_eq!(house.end().await, "1000 by Server in 1");
    }

    async fn a_client_closes_with_a_code_and_what_it_sent_before_is_received(kind: Kind) {
        let mut house = House::new();
        let mut witness = house.open(Kind::Plain).await;
        let mut client = house.open(kind).await;
        client.say("say goodbye").await;
        client.close(4011, "bored").await;
        assert_eq!(house.end().await, "4011 (bored) by Client in 1");
        witness.hears("untyped goodbye").await;
    }

    async fn errors_and_panics_are_1011_and_disconnect_runs_once(kind: Kind) {
        let mut house = House::new();
        for how in ["fail", "panic"] {
            let mut client = house.open(kind).await;
            client.say(how).await;
            assert_eq!(client.hear().await, Heard::Closed(1011, "internal error".to_owned()));
            assert_eq!(house.end().await, "1011 (internal error) by Server in 1");
        }
        drop(house.server);
        assert_eq!(within(house.ends.recv()).await, None, "nobody ends twice");
    }

    async fn a_message_over_the_limit_is_1009(kind: Kind) {
        let mut house = House::with(Config { max_message_size: 3_000, max_frame_size: 3_000, ..Config::default() });
        for bytes in [3_001, 20_000] {
            let mut client = house.open(kind).await;
            client.say(&"x".repeat(3_000)).await;
            client.hears("x".repeat(3_000)).await;
            let status = client.try_send(text(&"x".repeat(bytes))).await;
            assert!([200, 413].contains(&status), "{status}");
            match client.hear().await {
                Heard::Closed(1009, reason) => assert!(!reason.is_empty()),
                other => panic!("{other:?}"),
            }
            assert!(house.end().await.starts_with("1009 "));
        }
    }

    async fn a_client_that_does_not_listen_is_closed_with_4429(kind: Kind) {
        let mut house = House::with(Config { max_waiting_bytes: 64 * 1024, ..Config::default() });
        let mut client = house.open(kind).await;
        // More than what waits and what sockets hold.
        client.say("flood 65536").await;
        assert_eq!(house.end().await, "4429 (the client reads too slowly) by Server in 1");
        loop {
            match client.hear().await {
                Heard::Text(_) => {}
                Heard::Closed(code, _) => break assert_eq!(code, 4429),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn or_the_newest_are_dropped_as_the_server_is_told(kind: Kind) {
        let config = Config { max_waiting_bytes: 64 * 1024, slow_client: SlowClient::DropNewest, ..Config::default() };
        let house = House::with(config);
        let mut client = house.open(kind).await;
        client.say("flood 65536").await;
        // Of a client for which so much waits nothing is taken before it listens.
        client.utter("behind it").await;
        let mut next = 0;
        loop {
            match client.hear().await {
                Heard::Text(text) if text == "behind it" => break,
                Heard::Text(text) => {
                    assert_eq!(text.trim(), next.to_string(), "what comes is in order, from the first on");
                    next += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!((1..65_536).contains(&next), "{next}");
    }

    async fn or_the_oldest_are(kind: Kind) {
        let config = Config { max_waiting_bytes: 64 * 1024, slow_client: SlowClient::DropOldest, ..Config::default() };
        let heard = overwhelmed(kind, config).await;
        assert!(heard.is_sorted_by(|one, next| one < next), "what comes is in order");
        assert_eq!(heard.last(), Some(&(FLOOD - 1)));
    }

    async fn or_those_that_a_newer_one_replaces(kind: Kind) {
        let parity = |message: &Message| Some((message.as_text()?.trim().parse::<usize>().ok()? % 2).to_string());
        let slow_client = SlowClient::Coalesce(parity);
        let heard = overwhelmed(kind, Config { max_waiting_bytes: 64 * 1024, slow_client, ..Config::default() }).await;
        for key in [0, 1] {
            let heard: Vec<_> = heard.iter().filter(|n| **n % 2 == key).collect();
            assert!(heard.is_sorted_by(|one, next| one < next), "what comes of a key is in order");
            assert_eq!(heard.last(), Some(&&(FLOOD - 2 + key)));
        }
    }

    async fn a_busy_consumer_lets_its_client_wait_and_loses_nothing(kind: Kind) {
        let house = House::new();
        let mut client = house.open(kind).await;
        client.say("wait").await;
        // A request is answered when the consumer has come to what it brought.
        let says = async {
            for n in 0..200 {
                client.say(&n.to_string()).await;
            }
        };
        tokio::join!(says, async { house.gate.add_permits(1) });
        for n in 0..200 {
            client.hears(n.to_string()).await;
        }
    }

    async fn a_stopping_server_says_1012_behind_what_was_sent(kind: Kind) {
        let mut house = House::new();
        let mut client = house.open(kind).await;
        client.say("last words").await;
        client.hears("last words").await;
        let House { server, ends, .. } = &mut house;
        let address = server.address;
        let stopped = std::mem::replace(server, serve(Server::new(ProtocolTypeRouter::new()))).stop();
        assert_eq!(client.hear().await, Heard::Closed(1012, "the server restarts".to_owned()), "{address}");
        assert_eq!(within(ends.recv()).await.unwrap(), "1012 (the server restarts) by Server in 1");
        stopped.await;
    }
}
