//! The example `polling`: what its long polls promise, and that all three ways lead into one room.

#[path = "../../examples/polling/app/mod.rs"]
mod app;

use std::time::Duration;

use channels::Layer;
use serde_json::{Value, json};

use self::app::Patience;
use crate::{
    raw::{Raw, Response},
    support::{Served, serve, within},
};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(600);

/// The example, its worker listening, and its layer.
async fn start(patience: Patience) -> (Served, Layer) {
    let layer = Layer::from_url("memory://").unwrap();
    let served = serve(app::server(layer.clone(), patience).unwrap().workers(2));
    in_room(&layer, 1).await;
    (served, layer)
}

/// Waits until so many are in the room: the sockets, and the worker for all who poll.
async fn in_room(layer: &Layer, many: usize) {
    within(async {
        while layer.group_size("room").await.unwrap() != many {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Somebody who asks, over one connection.
struct Visitor {
    client: Raw,
    id: String,
}

impl Visitor {
    async fn enter(served: &Served) -> Self {
        let mut visitor = Self { client: Raw::connect(served.address).await, id: String::new() };
        let home = visitor.ask("HEAD /home/", "").await;
        visitor.id = home.header("visitor").unwrap().to_owned();
        visitor
    }

    async fn write(&mut self, what: &str, body: &str) {
        let Self { client, id } = self;
        let length = body.len();
        client
            .write(format!("{what} HTTP/1.1\r\nHost: here\r\nVisitor: {id}\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
    }

    async fn ask(&mut self, what: &str, body: &str) -> Response {
        self.write(what, body).await;
        if what.starts_with("HEAD") { self.client.head().await } else { self.client.response().await }
    }

    async fn say(&mut self, text: &str) {
        let said = self.ask("POST /send/msg/", &json!({"name": "Ann", "text": text}).to_string()).await;
        assert_eq!(said.status, 204, "{}", said.body);
    }

    async fn look(&mut self) -> Value {
        content(&self.ask("GET /look/msg/", "").await)
    }
}

fn content(response: &Response) -> Value {
    assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")), "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

fn texts(answer: &Value) -> Vec<&str> {
    answer["data"].as_array().unwrap().iter().map(|said| said["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_poll_is_answered_as_soon_as_there_is_a_message_and_with_all_that_waited() {
    let (served, _) = start(Patience { window: LONG, away: LONG }).await;
    let (mut ann, mut bob) = (Visitor::enter(&served).await, Visitor::enter(&served).await);
    assert_ne!(ann.id, bob.id);

    bob.write("GET /get/msg/", "").await;
    ann.say("<b>one</b>").await;
    let answer = content(&bob.client.response().await);
    assert_eq!(answer["status"], true);
    assert_eq!(texts(&answer), ["<b>one</b>"]);
    assert_eq!((&answer["data"][0]["from"], &answer["data"][0]["by"]), (&json!("Ann"), &json!("request")));

    // While nobody asks they wait, for the sender as for others.
    for text in ["two", "three"] {
        ann.say(text).await;
    }
    bob.write("GET /get/msg/", "").await;
    let mut heard = texts(&content(&bob.client.response().await)).iter().map(ToString::to_string).collect::<Vec<_>>();
    while heard.len() < 2 {
        bob.write("GET /get/msg/", "").await;
        heard.extend(texts(&content(&bob.client.response().await)).iter().map(ToString::to_string));
    }
    assert_eq!(heard, ["two", "three"]);
}

#[tokio::test]
async fn a_poll_without_a_message_is_answered_when_its_window_is_over() {
    assert_eq!(Patience::default().window, Duration::from_secs(10));
    let (served, _) = start(Patience { window: Duration::from_millis(50), away: LONG }).await;
    let mut ann = Visitor::enter(&served).await;
    let asked = std::time::Instant::now();
    assert_eq!(content(&ann.ask("GET /get/msg/", "").await), json!({"status": false, "data": null}));
    assert!(asked.elapsed() >= Duration::from_millis(50), "{:?}", asked.elapsed());
    assert_eq!(ann.look().await, json!({"status": false, "data": null}));
}

#[tokio::test]
async fn a_message_goes_from_each_way_to_each() {
    let (served, layer) = start(Patience { window: LONG, away: LONG }).await;
    let (mut long, mut short) = (Visitor::enter(&served).await, Visitor::enter(&served).await);
    let mut socket = served.connect("/ws/").await;
    assert!(socket.text().await.starts_with(r#"{"handshake":"#));
    in_room(&layer, 2).await;

    for by in ["socket", "request"] {
        long.write("GET /get/msg/", "").await;
        match by {
            "socket" => socket.send(r#"{"name": " Bob ", "text": "hi"}"#).await,
            _ => short.say("hi").await,
        }
        let said: Value = serde_json::from_str(&socket.text().await).unwrap();
        assert_eq!((&said["text"], &said["by"]), (&json!("hi"), &json!(by)));
        let polled = content(&long.client.response().await);
        assert_eq!(polled["data"], json!([said]), "all hear the same");
        assert_eq!(short.look().await["data"], json!([said]));
    }
}

#[tokio::test]
async fn a_queue_keeps_the_newest_hundred_and_says_how_many_are_missing() {
    let (served, _) = start(Patience { window: LONG, away: LONG }).await;
    let (mut ann, mut bob) = (Visitor::enter(&served).await, Visitor::enter(&served).await);
    let mut idle = Visitor::enter(&served).await;
    for number in 0..103 {
        ann.write("GET /get/msg/", "").await;
        bob.say(&number.to_string()).await;
        assert_eq!(texts(&content(&ann.client.response().await)), [number.to_string()]);
    }
    let answer = idle.look().await;
    let heard = texts(&answer);
    assert_eq!((heard.len(), heard[0], heard[99]), (100, "3", "102"));
    assert_eq!(answer["missed"], 3);
    assert_eq!(idle.look().await, json!({"status": false, "data": null}));
}

#[tokio::test]
async fn a_visitor_who_stays_away_is_forgotten_and_one_who_waits_is_not() {
    let away = Duration::from_secs(1);
    let (served, _) = start(Patience { window: LONG, away }).await;
    let (mut waits, mut leaves) = (Visitor::enter(&served).await, Visitor::enter(&served).await);
    waits.write("GET /get/msg/", "").await;
    tokio::time::sleep(away + away / 2).await; // the time itself is what is tested
    let gone = leaves.ask("GET /get/msg/", "").await;
    assert_eq!((gone.status, gone.body.contains("/home/")), (410, true));
    leaves.say("still there?").await;
    assert_eq!(texts(&content(&waits.client.response().await)), ["still there?"]);
}

#[tokio::test]
async fn a_client_that_leaves_its_poll_loses_nothing_and_a_newer_poll_ends_an_older() {
    let layer = Layer::from_url("memory://").unwrap();
    let server = app::server(layer.clone(), Patience { window: LONG, away: LONG }).unwrap();
    let stats = server.stats();
    let served = serve(server.workers(2));
    in_room(&layer, 1).await;
    let mut ann = Visitor::enter(&served).await;
    let mut again = Visitor { client: Raw::connect(served.address).await, id: ann.id.clone() };
    ann.write("GET /get/msg/", "").await;
    // Whichever of the two the server sees later waits; the other one is answered with nothing.
    again.write("GET /get/msg/", "").await;
    let (older, mut newer) = tokio::select! {
        older = ann.client.response() => (older, again),
        older = again.client.response() => (older, ann),
    };
    assert_eq!(content(&older), json!({"status": false, "data": null}));
    newer.client = Raw::connect(served.address).await; // the poll that waits is gone with its connection
    let polls = async || {
        let consumers = stats.consumers().await;
        let polls = consumers.iter().find(|(name, _)| name.ends_with("::GetMessage"));
        polls.map(|(_, counts)| counts.connections)
    };
    within(async { while polls().await != Some(0) {} }).await;
    Visitor::enter(&served).await.say("hello").await;
    newer.write("GET /get/msg/", "").await;
    assert_eq!(texts(&content(&newer.client.response().await)), ["hello"]);
}

#[tokio::test]
async fn garbage_is_refused_with_a_status_and_a_reason() {
    let (served, _) = start(Patience { window: LONG, away: LONG }).await;
    let mut ann = Visitor::enter(&served).await;
    let long = json!({"name": "", "text": "x".repeat(2_001)}).to_string();
    for (body, why) in [("", "JSON"), ("{", "JSON"), ("[]", "JSON"), (r#"{"name": "Ann"}"#, "text"), (&*long, "2000")] {
        let refused = ann.ask("POST /send/msg/", body).await;
        assert_eq!((refused.status, refused.body.contains(why)), (400, true), "{body}: {}", refused.body);
    }
    assert_eq!(ann.ask("POST /send/msg/", r#"{"name": "Ann", "text": "  "}"#).await.status, 400);
    let huge = "x".repeat(32 * 1024 + 1);
    assert_eq!(Visitor::enter(&served).await.ask("POST /send/msg/", &huge).await.status, 413);
    for (what, allowed) in [("GET /send/msg/", "POST"), ("POST /get/msg/", "GET"), ("DELETE /home/", "GET, HEAD")] {
        for body in [r#"{"name": "Ann", "text": "hi"}"#, ""] {
            let refused = Visitor::enter(&served).await.ask(what, body).await;
            assert_eq!((refused.status, refused.header("allow")), (405, Some(allowed)), "{what} {body}");
        }
    }
    for stranger in ["", "nobody", &"f".repeat(32)] {
        let mut stranger = Visitor { client: Raw::connect(served.address).await, id: stranger.to_owned() };
        assert_eq!(stranger.ask("GET /get/msg/", "").await.status, 410);
        assert_eq!(stranger.ask("GET /look/msg/", "").await.status, 410);
    }

    let mut socket = served.connect("/ws/").await;
    socket.text().await;
    socket.send("{").await;
    assert_eq!(socket.closed().await.0, 1007);
    let mut socket = served.connect("/ws/").await;
    socket.text().await;
    socket.send(long).await;
    assert_eq!(socket.closed().await, (1009, "a text has 1 to 2000 characters".to_owned()));
}

#[tokio::test]
async fn a_page_is_told_how_large_its_requests_are_and_has_its_visitor_in_it() {
    let (served, _) = start(Patience { window: LONG, away: LONG }).await;
    let mut client = Raw::connect(served.address).await;
    for body in ["", r#"{"name": "Ann", "text": "你好"}"#] {
        let (method, path) = if body.is_empty() { ("GET", "/home/?a=%20b") } else { ("POST", "/send/msg/") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: here\r\nX-Other:  spaced\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write(&request).await;
        let answer = client.response().await;
        // One space too many before a value is not counted.
        assert_eq!(answer.header("request-bytes"), Some(&*(request.len() - 1).to_string()));
        if method == "GET" {
            let id = answer.header("visitor").unwrap();
            assert!(answer.body.contains(&format!(r#"data-visitor="{id}""#)));
        }
    }

    // What the page adds for the answer to the handshake, which no script sees.
    let handshake = "GET /ws/ HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = Raw::connect(served.address).await;
    client.write(handshake).await;
    let answer = client.response().await;
    assert_eq!(answer.status, 101);
    let counted = format!("const ANSWER_TO_HANDSHAKE = {};", answer.head.len());
    assert!(include_str!("../../examples/polling/app/polling.js").contains(&counted), "{counted}\n{}", answer.head);
    assert_eq!(client.text().await, format!(r#"{{"handshake":{}}}"#, handshake.len()));
}
