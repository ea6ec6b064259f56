//! A session outlives what carries it: nothing is lost, nothing comes twice, and there is an end to it.

use std::time::Duration;

use channels::{Config, event};
use serde_json::{Value, json};

use super::{
    client::{Heard, Kind, request},
    house::House,
};
use crate::{
    raw::{CLOSE, FIN, Raw, TEXT, frame, handshake},
    support::within,
};

const CARRIERS: [Kind; 3] = [Kind::Socket, Kind::Stream, Kind::Poll];

async fn say(house: &House, n: usize) {
    house.layer.group_send("room", event!({"type": "said", "text": n.to_string()})).await.unwrap();
}

#[tokio::test]
async fn a_client_changes_its_carrier_and_neither_side_loses_or_doubles_a_message() {
    let house = House::new();
    for first in CARRIERS {
        for second in CARRIERS {
            let mut client = house.open(first).await;
            for n in 0..10 {
                say(&house, n).await;
                client.say(&format!("mine {n}")).await;
            }
            client.settle().await;
            let mut heard = Vec::new();
            while heard.len() < 7 {
                heard.push(client.hear().await);
            }
            let mut client = client.go_on(second, house.server.address).await;
            assert_eq!(client.sent, 10, "{first:?} to {second:?}");
            client.say("mine 10").await;
            say(&house, 10).await;
            while heard.len() < 22 {
                heard.push(client.hear().await);
            }
            // Those of one sender are in order.
            for sender in ["mine", "untyped"] {
                let wanted: Vec<_> = (0..11).map(|n| Heard::text(format!("{sender} {n}"))).collect();
                let is_his = |heard: &&Heard| matches!(heard, Heard::Text(text) if text.starts_with(sender));
                assert_eq!(heard.iter().filter(is_his).cloned().collect::<Vec<_>>(), wanted);
            }
            client.close(1000, "").await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_in_the_middle_goes_on_behind_the_last_message_that_came() {
    let house = House::new();
    let mut client = house.open(Kind::Stream).await;
    for n in 0..100 {
        say(&house, n).await;
    }
    for n in 0..40 {
        client.hears(format!("untyped {n}")).await;
    }
    client.lose().await;
    // With those that wait for the consumer still, no more than it has room for: 100.
    for n in 100..140 {
        say(&house, n).await;
    }
    let mut client = client.go_on(Kind::Stream, house.server.address).await;
    for n in 40..140 {
        client.hears(format!("untyped {n}")).await;
    }
}

#[tokio::test]
async fn a_new_carrier_takes_over_and_the_old_one_is_ended() {
    let house = House::new();
    for old in [Kind::Socket, Kind::Stream] {
        for new in CARRIERS {
            let mut client = house.open(old).await;
            let mut first = Raw::connect(house.server.address).await;
            std::mem::swap(client.down(), &mut first);
            let mut client = client.go_on(new, house.server.address).await;
            client.say("for the newer one").await;
            client.hears("for the newer one").await;
            match old {
                Kind::Stream => while first.part().await.is_some() {},
                _ => loop {
                    // What it was told before it was ended.
                    let (first_byte, payload) = first.frame().await.expect("a close frame comes before the end");
                    if first_byte == FIN | CLOSE {
                        break assert_eq!(payload[..2], 4409_u16.to_be_bytes(), "{new:?}");
                    }
                },
            }
        }
    }
}

#[tokio::test]
async fn what_a_client_does_on_a_socket_that_was_taken_over_does_not_end_the_session() {
    const MESSAGES: usize = 8_000;
    let config =
        Config { max_waiting_bytes: 64 * 1024 * 1024, close_timeout: Duration::from_millis(100), ..Config::default() };
    let mut house = House::with(config);
    let endings = [frame(FIN | CLOSE, 4001_u16.to_be_bytes()), frame(FIN | TEXT, "no batch")];
    // What the server sees first when the client reads again, this or that it was taken over, is left to chance.
    for ending in [&endings, &endings].into_iter().flatten() {
        let mut client = house.open(Kind::Poll).await;
        client.say(&format!("flood {MESSAGES}")).await;
        let mut old = Raw::connect_narrow(house.server.address).await;
        let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.0.{}\r\n", client.session);
        old.write(handshake("/do/as-told/", &offer)).await;
        assert_eq!(old.response().await.status, 101);
        // It reads no further, so that its server has no occasion to find out that it is over.
        old.text().await;
        let mut client = client.go_on(Kind::Socket, house.server.address).await;
        old.write(ending).await;
        for n in 0..MESSAGES {
            client.hears(format!("{n:>1024}")).await;
        }
        within(old.rest()).await;
        client.say("still here").await;
        client.hears("still here").await;
        assert!(house.ends.try_recv().is_err());
    }
}

#[tokio::test]
async fn of_two_polls_at_once_the_older_is_answered_empty() {
    let house = House::new();
    let mut client = house.open(Kind::Poll).await;
    let headers = format!("Channels-Session: {}\r\nChannels-Ack: 0\r\n", client.session);
    let poll = request("GET", "/do/as-told/", &headers, "");
    let mut polls = [Raw::connect(house.server.address).await, Raw::connect(house.server.address).await];
    for raw in &mut polls {
        raw.write(&poll).await;
    }
    let [one, two] = &mut polls;
    // Whichever came first is over when the other one is there, without a message.
    let (older, is_two) = within(async {
        tokio::select! {
            response = one.response() => (response, true),
            response = two.response() => (response, false),
        }
    })
    .await;
    assert_eq!((older.status, &*older.body), (200, "{}"));
    client.say("for the newer one").await;
    let newer = if is_two { two.response().await } else { one.response().await };
    assert_eq!(newer.body, r#"{"from":1,"messages":["for the newer one"]}"#);
}

#[tokio::test]
async fn what_waits_for_a_busy_consumer_is_not_confirmed_before_it_is_given_to_it() {
    let house = House::new();
    let mut client = house.open(Kind::Poll).await;
    let taken = |body: &str| serde_json::from_str::<Value>(body).unwrap()["taken"].as_u64().unwrap();
    client.say("wait").await;
    let texts: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let mut last = taken(&client.post(&json!({"from": 2, "messages": texts}).to_string()).await.body);
    assert_eq!(last, 1, "some of it waits, and the client is to keep it");
    house.gate.add_permits(1);
    while last < 201 {
        let rest = &texts[last as usize - 1..];
        last = taken(&client.post(&json!({"from": last + 1, "messages": rest}).to_string()).await.body);
    }
    for text in texts {
        client.hears(text).await;
    }
}

#[tokio::test]
async fn what_waits_when_the_session_ends_was_never_confirmed() {
    let ends_soon =
        Config { max_lifetime: Some(Duration::from_millis(300)), hook_grace: Duration::ZERO, ..Config::default() };
    let house = House::with(ends_soon);
    let mut client = house.open(Kind::Poll).await;
    client.say("wait").await;
    let waiting = client.post(r#"{"from": 2, "messages": ["read ahead", "queued"]}"#).await;
    assert_eq!((waiting.status, &*waiting.body), (200, r#"{"taken":1}"#));
    assert!(matches!(client.hear().await, Heard::Closed(4000, _)));
}

#[tokio::test]
async fn a_socket_hears_that_somebody_is_there_however_long_its_consumer_is_busy() {
    let house = House::new();
    let mut client = house.open(Kind::Socket).await;
    client.say("wait").await;
    assert_eq!(client.down().text().await, r#"{"taken":1}"#);
    client.say("next").await;
    for _ in 0..2 {
        assert_eq!(client.down().text().await, r#"{"taken":1}"#);
    }
    house.gate.add_permits(1);
    while client.down().text().await != r#"{"taken":2}"# {}
}

#[tokio::test]
async fn what_comes_to_a_session_that_has_ended_is_not_confirmed() {
    let mut house = House::new();
    let mut client = house.open(Kind::Poll).await;
    client.say("close 4042").await;
    assert!(house.end().await.starts_with("4042 "));
    let late = client.post(r#"{"from": 2, "messages": ["late"]}"#).await;
    assert_eq!((late.status, &*late.body), (200, r#"{"taken":1}"#));
    let known = client.post(r#"{"from": 1, "messages": ["close 4042"]}"#).await;
    assert_eq!((known.status, &*known.body), (200, r#"{"taken":1}"#));
    assert_eq!(client.hear().await, Heard::Closed(4042, "as you wish".to_owned()));
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_taken_once() {
    let house = House::new();
    let mut client = house.open(Kind::Poll).await;
    let taken = |body: &str| serde_json::from_str::<Value>(body).unwrap()["taken"].as_u64();
    let batch = json!({"from": 1, "messages": ["a", "b"]}).to_string();
    assert_eq!(taken(&client.post(&batch).await.body), Some(2));
    assert_eq!(taken(&client.post(&batch).await.body), Some(2));
    let longer = json!({"from": 2, "messages": ["b", "c"]}).to_string();
    assert_eq!(taken(&client.post(&longer).await.body), Some(3));
    for text in ["a", "b", "c"] {
        client.hears(text).await;
    }
    client.say("d").await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_and_what_was_does_not() {
    let house = House::new();
    let mut client = house.open(Kind::Poll).await;
    for text in ["a", "b"] {
        let batch = json!({"from": client.sent + 1, "messages": [text]}).to_string();
        client.sent += 1;
        client.post(&batch).await;
    }
    while client.has < 2 {
        client.hear().await;
    }
    let poll = |ack: u64| format!("Channels-Session: {}\r\nChannels-Ack: {ack}\r\n", client.session);
    let [first, second] = [poll(0), poll(1)];
    let again = client.ask("GET", &first, "").await;
    assert_eq!(again.body, json!({"from": 1, "messages": ["a", "b"]}).to_string());
    let again = client.ask("GET", &second, "").await;
    assert_eq!(again.body, json!({"from": 2, "messages": ["b"]}).to_string());
    assert_eq!(client.ask("GET", &first, "").await.status, 410, "1 is not kept any more");
}

#[tokio::test]
async fn what_a_stream_has_sent_is_kept_up_to_the_bound() {
    let house = House::with(Config { max_waiting_bytes: 16 * 1024, ..Config::default() });
    let mut client = house.open(Kind::Stream).await;
    for n in 1..=4 {
        // Nothing is acknowledged.
        let batch = json!({"from": n, "messages": ["flood 10"]}).to_string();
        assert_eq!(client.post(&batch).await.status, 200);
        for _ in 0..10 {
            client.hear().await;
        }
    }
    let last = client.has;
    let go_on = |after: u64| format!("Accept: text/event-stream\r\nLast-Event-ID: {}.{after}\r\n", client.session);
    let [early, late] = [go_on(last - 20), go_on(last - 15)];
    for _ in 0..2 {
        assert_eq!(client.ask("GET", &early, "").await.status, 410);
    }
    assert_eq!(
        house.stats.total().await.dropped_slow,
        5,
        "of the last 20, 15 are kept; what is missed is counted once"
    );
    let mut stream = Raw::connect(house.server.address).await;
    stream.write(request("GET", "/do/as-told/", &late, "")).await;
    assert_eq!(stream.response().await.status, 200);
}

#[tokio::test]
async fn a_client_that_stays_away_is_disconnected_with_4408_and_then_unknown() {
    for kind in CARRIERS {
        let config = Config {
            poll_window: Duration::from_millis(200),
            close_timeout: Duration::from_millis(50),
            ..Config::default()
        };
        let mut house = House::with(config);
        let mut client = house.open(kind).await;
        client.say("here").await;
        client.hears("here").await;
        client.lose().await;
        assert_eq!(house.end().await, "4408 (the client stayed away) by Server in 1");
        let headers = format!("Channels-Session: {}\r\nChannels-Ack: 1\r\n", client.session);
        let last_words = client.ask("GET", &headers, "").await;
        assert_eq!(last_words.body, r#"{"close":{"code":4408,"reason":"the client stayed away"}}"#);
        within(async { while client.ask("GET", &headers, "").await.status != 410 {} }).await;
        assert_eq!(client.post(r#"{"from": 2, "messages": ["late"]}"#).await.status, 410);
        assert_eq!(client.ask("DELETE", &headers, "").await.status, 410);
        let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.1.{}\r\n", client.session);
        let mut socket = Raw::connect(house.server.address).await;
        socket.write(handshake("/do/as-told/", &offer)).await;
        assert_eq!(socket.response().await.status, 101);
        assert_eq!(socket.close().await.0, 4410);
    }
}

#[tokio::test]
async fn a_session_that_nobody_comes_for_ends_after_the_time_of_a_handshake() {
    let mut house = House::with(Config { handshake_timeout: Duration::from_secs(2), ..Config::default() });
    let mut visited = house.open(Kind::Poll).await;
    visited.say("here").await;
    let _unvisited = house.open(Kind::Poll).await;
    assert_eq!(house.end().await, "4408 (the client stayed away) by Server in 1");
    visited.hears("here").await;
    assert!(house.ends.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_polls_is_not_away_however_long_nothing_is_said() {
    let house = House::with(Config { poll_window: Duration::from_millis(300), ..Config::default() });
    let mut client = house.open(Kind::Poll).await;
    assert_eq!(client.window, 0.3);
    let headers = format!("Channels-Session: {}\r\nChannels-Ack: 0\r\n", client.session);
    let started = std::time::Instant::now();
    for _ in 0..10 {
        let empty = client.ask("GET", &headers, "").await;
        assert_eq!((empty.status, &*empty.body), (200, "{}"));
    }
    assert!(started.elapsed() >= Duration::from_secs(3));
    client.say("still here").await;
    client.hears("still here").await;
}

#[tokio::test]
async fn a_quiet_stream_has_comments_and_a_quiet_socket_pings() {
    let house = House::with(Config { ping_interval: Some(Duration::from_millis(100)), ..Config::default() });
    let mut stream = house.open(Kind::Stream).await;
    for _ in 0..3 {
        assert_eq!(within(stream.event()).await, Some(vec![(String::new(), String::new())]));
    }
    stream.say("here").await;
    while stream.event().await.unwrap().iter().all(|(name, _)| name != "data") {}
    let mut socket = house.open(Kind::Socket).await;
    for _ in 0..3 {
        assert_eq!(socket.down().frame().await, Some((0x89, Vec::new())));
        socket.down().write(crate::raw::frame(0x8a, [])).await;
    }
}

#[tokio::test]
async fn a_socket_whose_client_vanishes_without_a_word_leaves_the_session_to_the_next() {
    let mut house = House::with(Config {
        ping_interval: Some(Duration::from_millis(50)),
        ping_timeout: Duration::from_millis(50),
        ..Config::default()
    });
    let mut client = house.open(Kind::Socket).await;
    // It answers no ping: the connection ends without a close frame.
    while let Some((first, _)) = client.down().frame().await {
        assert_ne!(first, FIN | CLOSE);
    }
    let mut client = client.go_on(Kind::Poll, house.server.address).await;
    client.say("back").await;
    client.hears("back").await;
    assert!(house.ends.try_recv().is_err());
}
