//! The example `chatroom` in two processes that share a Redis, and clients whose requests go to either.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::{Client, Heard, Kind, asked, request};
use crate::{
    raw::Raw,
    redis::{chatroom::Chatroom, server::RedisServer},
    support::within,
};

const PATH: &str = "/ws/tea/?name=Ada";

/// What somebody said, if this tells of it.
fn said(told: &str) -> Option<String> {
    let told: Value = serde_json::from_str(told).expect("it is JSON");
    told["text"].as_str().filter(|_| told["type"] == "message").map(str::to_owned)
}

/// What all that was said comes to: of each person, in order.
fn assert_all_once_and_in_order(heard: &[String], each: u64) {
    for name in ["Ada", "Bob"] {
        let wanted: Vec<_> = (1..=each).map(|n| format!("{name} {n}")).collect();
        let his: Vec<_> = heard.iter().filter(|text| text.starts_with(name)).cloned().collect();
        assert_eq!(his, wanted);
    }
}

#[tokio::test]
async fn a_poller_whose_requests_go_to_either_process_misses_nothing_and_hears_nothing_twice() {
    const EACH: u64 = 100;
    let redis = RedisServer::start();
    let rooms = [Chatroom::start(&redis.url()), Chatroom::start(&redis.url())];
    let mut bob = rooms[1].enter("Bob").await;
    let ada = Client::open(Kind::Poll, rooms[0].address, PATH).await;
    let session = format!("Channels-Session: {}\r\n", ada.session);
    let ask = async |turn: u64, method: &str, headers: &str, body: &str| {
        let room = &rooms[turn as usize % 2];
        let response = asked(room.address, method, PATH, &format!("{session}{headers}"), body).await;
        assert_eq!(response.status, 200, "{}", response.body);
        serde_json::from_str::<Value>(&response.body).expect("it is JSON")
    };
    let ada_says = async {
        for n in 1..=EACH {
            let text = json!({"text": format!("Ada {n}")}).to_string();
            // Every batch is sent to both, as by a client that does not know whether the first one arrived.
            for turn in [n, n + 1] {
                let batch = json!({"from": n, "messages": [text]}).to_string();
                assert_eq!(ask(turn, "POST", "", &batch).await, json!({"taken": n}));
            }
        }
    };
    let ada_hears = async {
        let (mut heard, mut has) = (Vec::new(), 0);
        for turn in 0.. {
            let batch = ask(turn, "GET", &format!("Channels-Ack: {has}\r\n"), "").await;
            let messages = batch["messages"].as_array().into_iter().flatten();
            assert_eq!(batch["from"].as_u64().unwrap_or(has + 1), has + 1);
            for message in messages {
                has += 1;
                heard.extend(said(message.as_str().expect("it is a text")));
            }
            if heard.len() as u64 >= 2 * EACH {
                break;
            }
        }
        heard
    };
    let bob_talks = async {
        let mut heard = Vec::new();
        for n in 1..=EACH {
            bob.send(&*json!({"text": format!("Bob {n}")}).to_string()).await;
        }
        while (heard.len() as u64) < 2 * EACH {
            heard.extend(said(&bob.text().await));
        }
        heard
    };
    let ((), ada_heard, bob_heard) = within(async { tokio::join!(ada_says, ada_hears, bob_talks) }).await;
    assert_all_once_and_in_order(&ada_heard, EACH);
    assert_all_once_and_in_order(&bob_heard, EACH);
}

#[tokio::test]
async fn who_waits_at_another_process_hears_soon_that_the_sessions_own_one_has_died() {
    let redis = RedisServer::start();
    let (home, other) = (Chatroom::start(&redis.url()), Chatroom::start(&redis.url()));
    let away = async |kind| {
        let client = Client::open(Kind::Poll, home.address, PATH).await;
        client.go_on(kind, other.address).await
    };
    let (mut socket, mut stream, mut poll) =
        (away(Kind::Socket).await, away(Kind::Stream).await, away(Kind::Poll).await);
    for client in [&mut socket, &mut stream, &mut poll] {
        client.say(r#"{"text": "here"}"#).await;
    }
    let headers = |has: u64| format!("Channels-Session: {}\r\nChannels-Ack: {has}\r\n", poll.session);
    let mut waiting = Raw::connect(other.address).await;
    waiting.write(request("GET", PATH, &headers(0), "")).await;
    let mut has = 0;
    while has == 0 {
        let batch: Value = serde_json::from_str(&waiting.response().await.body).expect("it is JSON");
        has = batch["messages"].as_array().map_or(0, |messages| messages.len() as u64);
    }
    waiting.write(request("GET", PATH, &headers(has), "")).await;

    let died = Instant::now();
    drop(home);
    let poll_ends = async {
        let mut response = waiting.response().await;
        while response.status == 200 {
            // What it said before it died.
            let batch: Value = serde_json::from_str(&response.body).expect("it is JSON");
            has += batch["messages"].as_array().map_or(0, |messages| messages.len() as u64);
            waiting.write(request("GET", PATH, &headers(has), "")).await;
            response = waiting.response().await;
        }
        assert_eq!(response.status, 410, "{}", response.body);
    };
    let stream_ends = async { while stream.event().await.is_some() {} };
    let socket_ends = async {
        loop {
            if let Heard::Closed(code, _) = socket.hear().await {
                break assert_eq!(code, 4410);
            }
        }
    };
    within(async { tokio::join!(poll_ends, stream_ends, socket_ends) }).await;
    // It is asked every 2 s, twice, and has 3 s each time.
    assert!(died.elapsed() < Duration::from_secs(12), "{:?}", died.elapsed());
}
