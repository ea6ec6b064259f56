//! A connection while it lives: the handshake, and messages in both directions.

use channels::{InMemoryChannelLayer, Layer, event, prelude::*};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

use crate::{
    puppet::Strings,
    raw::{self, FIN, Raw, TEXT},
    support::serve,
};

fn layer() -> Layer {
    Layer::new(InMemoryChannelLayer::default())
}

struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }
}

#[tokio::test]
async fn texts_and_bytes_come_back_and_an_empty_text_is_a_text() {
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Echo)));
    let mut client = server.connect("/").await;
    let long = "读".repeat(30_000);
    for text in ["", "hello", "哈哈", &"x".repeat(125), &"x".repeat(126), &long] {
        client.send(text).await;
        assert_eq!(client.receive().await, tungstenite::Message::text(text));
    }
    for bytes in [&b""[..], b"\0\xff", long.as_bytes()] {
        client.send(bytes).await;
        assert_eq!(client.receive().await, tungstenite::Message::binary(bytes.to_vec()));
    }
}

#[tokio::test]
async fn connect_decides_before_the_handshake_is_answered() {
    let mut strings = Strings::new();
    let server = serve(strings.server(&layer()));
    let mut client = Raw::connect(server.address).await;
    client.write(raw::handshake("/wait", "")).await;
    assert_eq!(strings.told().await, "connect");
    assert_eq!(strings.told().await, "waits");
    let early = client.stream.try_read(&mut [0]).expect_err("nothing is answered yet");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    strings.open();
    assert_eq!(client.response().await.status, 101);

    // A refusal after a while is a refusal, too.
    let mut strings = Strings::new();
    let server = serve(strings.server(&layer()));
    let mut client = Raw::connect(server.address).await;
    client.write(raw::handshake("/wait-and-deny", "")).await;
    assert_eq!(strings.told().await, "connect");
    assert_eq!(strings.told().await, "waits");
    strings.open();
    assert_eq!(client.response().await.status, 401);
}

#[tokio::test]
async fn nothing_is_sent_before_the_handshake_is_accepted() {
    let mut strings = Strings::new();
    let server = serve(strings.server(&layer()));
    let mut client = server.connect("/say-early").await;
    assert_eq!(strings.told().await, "connect");
    assert_eq!(strings.told().await, "the handshake is not accepted yet; call `cx.accept()` before sending");
    client.send("say now").await;
    assert_eq!(client.text().await, "now");
}

#[tokio::test]
async fn a_handshake_is_accepted_once() {
    let mut strings = Strings::new();
    let server = serve(strings.server(&layer()));
    let mut client = server.connect("/accept-twice").await;
    assert_eq!(strings.told().await, "connect");
    assert_eq!(strings.told().await, "the handshake is accepted already");
    client.send("say still here").await;
    assert_eq!(client.text().await, "still here");
}

struct Choosy;

#[consumer]
impl Consumer for Choosy {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let offered = cx.scope().subprotocols().join(" ");
        let accept = Accept::new().header(("X-Node", "7")).header(("X-Node", "8"));
        let chosen = cx.scope().subprotocols().iter().find(|name| *name == "chat.v2").cloned();
        cx.accept_with(match chosen {
            Some(name) => accept.subprotocol(name),
            None => accept,
        })?;
        cx.send(offered)?;
        Ok(())
    }
}

#[tokio::test]
async fn the_chosen_subprotocol_and_the_headers_are_in_the_answer() {
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Choosy)));
    let mut request = server.url("/").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "chat.v1, chat.v2".parse().unwrap());
    let (mut client, response) = server.handshake(request).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "chat.v2");
    assert_eq!(response.headers().get_all("X-Node").iter().collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(client.text().await, "chat.v1 chat.v2");
}

#[tokio::test]
async fn a_subprotocol_that_is_not_chosen_is_not_answered_and_the_consumer_sees_it() {
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Choosy)));
    let mut client = Raw::connect(server.address).await;
    client
        .write(raw::handshake("/", "Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: chat.v1, wamp\r\n"))
        .await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("Sec-WebSocket-Protocol")), (101, None));
    assert_eq!(client.text().await, "soap chat.v1 wamp");
}

struct Surroundings;

#[consumer]
impl Consumer for Surroundings {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        let scope = cx.scope();
        let seen = serde_json::json!({
            "path": scope.path(),
            "raw_path": scope.raw_path(),
            "query": scope.query_string(),
            "cookie": scope.cookie("session"),
            "header": scope.header("x-tag"),
            "client": scope.client(),
            "server": scope.server(),
        });
        cx.send_json(&seen)
    }
}

#[tokio::test]
async fn the_scope_is_what_the_request_and_the_socket_say() {
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Surroundings)));
    let mut request = server.url("/caf%C3%A9/?name=%20x").into_client_request().unwrap();
    request.headers_mut().insert("Cookie", "a=1; session=s%20s".parse().unwrap());
    request.headers_mut().insert("X-Tag", "blue".parse().unwrap());
    let (mut client, _) = server.handshake(request).await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&client.text().await).unwrap();
    let expected = serde_json::json!({
        "path": "/café/",
        "raw_path": "/caf%C3%A9/",
        "query": "name=%20x",
        "cookie": "s s",
        "header": "blue",
        "client": client.0.get_ref().local_addr().unwrap(),
        "server": server.address,
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_a_hook_sends_leaves_before_the_hook_ends() {
    let mut strings = Strings::new();
    let layer = layer();
    let server = serve(strings.server(&layer));
    let mut client = server.connect("/accept-and-wait").await;
    assert_eq!(client.text().await, "welcome");
    strings.open();

    client.send("say-and-wait received").await;
    assert_eq!(client.text().await, "received");
    strings.open();

    layer.group_send("room", event!({"type": "puppet.do", "what": "say-and-wait handled"})).await.unwrap();
    assert_eq!(client.text().await, "handled");
    strings.open();

    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "did say-and-wait handled") {
        told.push(strings.told().await);
    }
    assert_eq!(told.iter().filter(|told| *told == "waits").count(), 3);
}

#[tokio::test]
async fn what_comes_before_the_handshake_is_answered_is_handled_after_it() {
    let mut strings = Strings::new();
    let layer = layer();
    let server = serve(strings.server(&layer));
    let mut client = Raw::connect(server.address).await;
    let mut bytes = raw::handshake("/wait", "").into_bytes();
    bytes.extend(raw::frame(FIN | TEXT, "say too fast"));
    client.write(bytes).await;
    assert_eq!(strings.told().await, "connect");
    assert_eq!(strings.told().await, "waits");
    let report = layer.group_send("room", event!({"type": "puppet.do", "what": "say so soon"})).report().await.unwrap();
    assert_eq!(report.delivered, 1);
    strings.open();
    assert_eq!(client.response().await.status, 101);
    let mut both = [client.text().await, client.text().await];
    both.sort();
    assert_eq!(both, ["so soon", "too fast"]);
}

#[tokio::test]
async fn inputs_are_handled_one_at_a_time_and_in_order() {
    let mut strings = Strings::new();
    let layer = layer();
    let server = serve(strings.server(&layer).workers(1));
    let mut client = server.connect("/").await;
    assert_eq!(strings.told().await, "connect");
    for n in 0..5 {
        client.send(format!("wait {n}")).await;
        layer.group_send("room", event!({"type": "puppet.do", "what": format!("wait e{n}")})).await.unwrap();
    }
    // A conversation on the same thread gives it every chance to start the others as well.
    let mut other = server.connect("/?name=other").await;
    other.send("say x").await;
    assert_eq!(other.text().await, "x");

    let (mut told, mut others) = (Vec::new(), 0);
    while told.len() < 30 {
        match strings.told().await {
            line if line.starts_with("other") => others += 1,
            line => {
                if line == "waits" {
                    strings.open();
                }
                told.push(line);
            }
        }
    }
    assert!(others >= 3, "the other one was served meanwhile");
    let mut order = Vec::new();
    for three in told.chunks(3) {
        let what = three[0].split_once(' ').unwrap().1;
        assert_eq!(three[1..], ["waits".to_owned(), format!("did {what}")], "{told:?}");
        order.push(what);
    }
    let of = |kind: fn(&&str) -> bool| order.iter().copied().filter(kind).collect::<Vec<_>>();
    assert_eq!(of(|what| !what.contains('e')), ["wait 0", "wait 1", "wait 2", "wait 3", "wait 4"]);
    assert_eq!(of(|what| what.contains('e')), ["wait e0", "wait e1", "wait e2", "wait e3", "wait e4"]);
}
