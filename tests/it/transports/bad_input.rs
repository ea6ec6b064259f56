//! What strangers and broken clients send: a status, or a close, and the session that was there goes on.

use channels::Config;
use serde_json::json;

use super::{
    client::{Client, Heard, Kind, request},
    house::House,
};
use crate::raw::{BINARY, FIN, Raw, TEXT, frame, handshake};

async fn status(house: &House, method: &str, path: &str, headers: &str, body: &str) -> u16 {
    let mut raw = Raw::connect(house.server.address).await;
    raw.write(request(method, path, headers, body)).await;
    let response = raw.response().await;
    assert_eq!(response.header("Cache-Control"), Some("no-store"), "{method} {path} {headers}");
    response.status
}

#[tokio::test]
async fn an_id_that_is_unknown_is_answered_with_410() {
    let house = House::new();
    let client = house.open(Kind::Poll).await;
    let (home, rest) = client.session.split_once('~').unwrap();
    let (key, secret) = rest.split_once('.').unwrap();
    let node = "0123456789abcdef0123456789abcdef";
    let ids = [
        "x".to_owned(),
        String::new(),
        "x".repeat(10_000),
        format!("{home}~{key}.{}", "A".repeat(secret.len())),
        format!("{home}~{key}.{}", &secret[1..]),
        format!("{home}~{key}."),
        format!("{home}~ffff.{secret}"),
        format!("specific.{node}!{node}~{key}.{secret}"),
        format!("room~{key}.{secret}"),
    ];
    for id in ids {
        let headers = format!("Channels-Session: {id}\r\nChannels-Ack: 0\r\n");
        for (method, body) in [("GET", ""), ("DELETE", ""), ("POST", r#"{"from": 1, "messages": ["x"]}"#)] {
            assert_eq!(status(&house, method, "/do/as-told/", &headers, body).await, 410, "{method} {id}");
        }
        let stream = format!("Accept: text/event-stream\r\n{headers}");
        assert_eq!(status(&house, "GET", "/do/as-told/", &stream, "").await, 410, "{id}");
        let stream = format!("Accept: text/event-stream\r\nLast-Event-ID: {id}.0\r\n");
        assert_eq!(status(&house, "GET", "/do/as-told/", &stream, "").await, 410, "{id}");
        let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.0.{id}\r\n");
        let mut socket = Raw::connect(house.server.address).await;
        socket.write(handshake("/do/as-told/", &offer)).await;
        assert_eq!(socket.response().await.status, 101);
        assert_eq!(socket.close().await.0, 4410, "{id}");
    }
}

#[tokio::test]
async fn of_an_id_that_there_cannot_be_the_body_is_not_awaited() {
    let house = House::new();
    for method in ["POST", "DELETE"] {
        let mut raw = Raw::connect(house.server.address).await;
        raw.write(format!(
            "{method} /do/as-told/ HTTP/1.1\r\nHost: localhost\r\nChannels-Session: x\r\nContent-Length: 9\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.response().await.status, 410);
    }
}

#[tokio::test]
async fn a_session_is_not_reached_by_another_path() {
    let house = House::new();
    let client = house.open(Kind::Poll).await;
    let headers = format!("Channels-Session: {}\r\nChannels-Ack: 0\r\n", client.session);
    assert_eq!(status(&house, "GET", "/do/something-else/", &headers, "").await, 410);
    assert_eq!(status(&house, "POST", "/add/", &headers, r#"{"ack": 0}"#).await, 410);
    assert_eq!(status(&house, "POST", "/do/as-told/?another=query", &headers, r#"{"ack": 0}"#).await, 200);
}

#[tokio::test]
async fn what_is_no_batch_is_answered_with_400_and_changes_nothing() {
    let house = House::new();
    let mut client = house.open(Kind::Poll).await;
    let headers = format!("Channels-Session: {}\r\n", client.session);
    let bodies = [
        "",
        "hello",
        "[]",
        "{",
        r#"{"from": "1", "messages": []}"#,
        r#"{"from": -1, "messages": ["x"]}"#,
        r#"{"messages": ["x"]}"#,
        r#"{"from": 0, "messages": ["x"]}"#,
        r#"{"from": 2, "messages": ["x"]}"#,
        r#"{"from": 18446744073709551615, "messages": ["x", "y"]}"#,
        r#"{"from": 1, "messages": [7]}"#,
        r#"{"from": 1, "messages": [{"b": "?"}]}"#,
        r#"{"from": 1, "messages": ["x"], "ack": 1}"#,
        r#"{"ack": 18446744073709551615}"#,
    ];
    for body in bodies {
        assert_eq!(status(&house, "POST", "/do/as-told/", &headers, body).await, 400, "{body}");
    }
    let gets = ["", "Channels-Ack: x\r\n", "Channels-Ack: -1\r\n", "Channels-Ack: 1\r\n"];
    for ack in gets {
        assert_eq!(status(&house, "GET", "/do/as-told/", &format!("{headers}{ack}"), "").await, 400, "{ack}");
    }
    for body in ["x", "{}", r#"{"code": 1006}"#, r#"{"code": 0}"#, r#"{"code": 70000}"#] {
        assert_eq!(status(&house, "DELETE", "/do/as-told/", &headers, body).await, 400, "{body}");
    }
    assert_eq!(status(&house, "DELETE", "/do/as-told/", "", "").await, 400);
    let last = "Accept: text/event-stream\r\nLast-Event-ID: x\r\n";
    assert_eq!(status(&house, "GET", "/do/as-told/", last, "").await, 400);
    client.say("still here").await;
    client.hears("still here").await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_with_413_and_the_session_goes_on() {
    let house = House::with(Config { max_message_size: 1_000, ..Config::default() });
    let mut client = house.open(Kind::Poll).await;
    let many = json!({"from": 1, "messages": vec!["x".repeat(100); 2_000]}).to_string();
    assert_eq!(client.post(&many).await.status, 413);
    client.say("still here").await;
    client.hears("still here").await;
    let headers = format!("Channels-Session: {}\r\nContent-Type: application/json\r\n", client.session);
    assert_eq!(client.ask("DELETE", &headers, &" ".repeat(5_000)).await.status, 413);
}

#[tokio::test]
async fn what_the_route_does_not_offer_is_answered_with_405() {
    let house = House::new();
    let stream = "Accept: text/event-stream\r\n";
    for (method, path, headers) in [
        ("POST", "/plain/", ""),
        ("DELETE", "/plain/", ""),
        ("GET", "/plain/", stream),
        ("GET", "/plain/", "Channels-Session: x\r\n"),
        ("POST", "/stream/", ""),
        ("GET", "/stream/", "Channels-Session: x\r\nChannels-Ack: 0\r\n"),
        ("PUT", "/stream/", ""),
        ("PUT", "/plain/", ""),
        ("PATCH", "/do/as-told/", ""),
    ] {
        let mut raw = Raw::connect(house.server.address).await;
        raw.write(request(method, path, headers, "")).await;
        let response = raw.response().await;
        assert_eq!(response.status, 405, "{method} {path} {headers}");
        assert!(response.header("Allow").is_some());
        assert_eq!(response.header("Cache-Control"), Some("no-store"), "{method} {path} {headers}");
    }
    for offer in ["", "Sec-WebSocket-Protocol: channels.v1\r\n"] {
        let mut socket = Raw::connect(house.server.address).await;
        socket.write(handshake("/stream/", offer)).await;
        assert_eq!(socket.response().await.status, 405);
    }
    let mut page = Raw::connect(house.server.address).await;
    page.write(request("GET", "/plain/", "", "")).await;
    assert_eq!(page.response().await.status, 426);
    assert_eq!(status(&house, "POST", "/stream/", "Channels-Session: x\r\n", "{}").await, 410);
    let mut nowhere = Raw::connect(house.server.address).await;
    nowhere.write(request("POST", "/nowhere/", "", "")).await;
    assert_eq!(nowhere.response().await.status, 404);
}

/// RFC 6455, 4.1 forbids it; a client that does it all the same loses nothing.
#[tokio::test]
async fn frames_that_came_with_the_handshake_are_read() {
    let house = House::new();
    let mut socket = Raw::connect(house.server.address).await;
    let [one, two] = [(1, "one"), (2, "two")]
        .map(|(from, text)| frame(FIN | TEXT, json!({"from": from, "messages": [text]}).to_string()));
    let asked = handshake("/do/as-told/", "Sec-WebSocket-Protocol: channels.v1\r\n").into_bytes();
    socket.write([asked, one, two[..4].to_vec()].concat()).await;
    assert_eq!(socket.response().await.status, 101);
    while !socket.text().await.contains("\"one\"") {}
    socket.write(&two[4..]).await;
    while !socket.text().await.contains("\"two\"") {}
}

#[tokio::test]
async fn a_frame_that_is_none_ends_the_session_with_1007() {
    let mut house = House::new();
    for payload in ["hello", "{}", "[]", r#"{"from": 3, "messages": ["x"]}"#, r#"{"ack": 1}"#] {
        let mut client = house.open(Kind::Socket).await;
        client.down().write(frame(FIN | TEXT, payload)).await;
        match client.hear().await {
            Heard::Closed(1007, _) => {}
            other => panic!("{payload}: {other:?}"),
        }
        assert!(house.end().await.starts_with("1007 "), "{payload}");
    }
    let mut client = house.open(Kind::Socket).await;
    client.down().write(frame(BINARY, "a fragment")).await;
    client.down().write(frame(FIN | BINARY, "that another message breaks off")).await;
    assert_eq!(client.hear().await, Heard::Closed(1002, "a new message starts within another".to_owned()));
    assert!(house.end().await.starts_with("1002 "));
}

#[tokio::test]
async fn ids_are_long_and_no_two_are_alike() {
    let house = House::new();
    let mut ids = std::collections::HashSet::new();
    for kind in [Kind::Socket, Kind::Stream, Kind::Poll] {
        for _ in 0..10 {
            let Client { session, .. } = house.open(kind).await;
            let (_, secret) = session.rsplit_once('.').unwrap();
            assert!(secret.len() >= 22, "128 bits are 22 characters: {secret}");
            assert!(ids.insert(secret.to_owned()));
        }
    }
}
