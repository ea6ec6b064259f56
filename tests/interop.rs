//! Clients by other authors, with compression and without: a browser, Python's `websockets`, Node's `ws`, and
//! `tokio-tungstenite`, which has no compression. `scripts/test` installs them.
//!
//! Each sends texts and bytes of every form of length, fragments and pings where it can, answers the server's pings, offers
//! subprotocols, and closes and is closed with a code and a reason. What the client sees its own script judges; what the
//! server saw of it is judged here.
#![allow(clippy::unwrap_used, reason = "a test that finds something wrong ends there")]

mod chromium;

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use channels::{Compression, Config, prelude::*};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{process, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{
        Message as Sent,
        client::IntoClientRequest,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use self::chromium::{Browser, DEADLINE};

/// Sends back what it gets, speaks `chat.v2`, closes at once if the query says so, and tells how it ended.
struct Peer(mpsc::UnboundedSender<String>);

#[consumer]
impl Consumer for Peer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let offered = cx.scope().subprotocols().iter().any(|name| name == "chat.v2");
        let accept = if offered { Accept::new().subprotocol("chat.v2") } else { Accept::new() };
        cx.accept_with(accept)?;
        if let Some(code) = cx.scope().query("close") {
            cx.close(code.parse::<u16>()?, "no such room");
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        let _ = self.0.send(format!("{} {close}", cx.scope().path()));
    }
}

/// A server of peers, which serves until the test ends.
fn serve() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let make = move || Peer(tell.clone());
    let compressed = Compression { min_size: 0, ..Compression::default() };
    let kept = Compression { server_context_takeover: true, client_context_takeover: true, ..compressed.clone() };
    let narrow = Compression { server_max_window_bits: 9, client_max_window_bits: 9, ..compressed.clone() };
    let kept_narrow = Compression { server_max_window_bits: 10, client_max_window_bits: 10, ..kept.clone() };
    let compresses = |settings: Compression| move |config: &mut Config| config.compression = Some(settings.clone());
    let pinged = |config: &mut Config| {
        config.ping_interval = Some(Duration::ZERO);
        config.ping_timeout = Duration::from_secs(1);
    };
    let routes = URLRouter::new([
        path("plain/<str:client>", make.clone()),
        path("deflate/<str:client>", make.clone()).config(compresses(compressed)),
        path("deflate-kept/<str:client>", make.clone()).config(compresses(kept)),
        path("deflate-narrow/<str:client>", make.clone()).config(compresses(narrow)),
        path("deflate-kept-narrow/<str:client>", make.clone()).config(compresses(kept_narrow)),
        path("pinged/<str:client>", make).config(pinged),
    ]);
    let app = ProtocolTypeRouter::new().websocket(routes.unwrap());
    let server = Server::new(app).workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addresses()[0];
    std::thread::spawn(|| channels::run(server.run_until(std::future::pending())));
    (address, told)
}

/// The routes that compress, and what is agreed on there: with no window kept, with both, with narrow ones, and with narrow
/// ones that are kept.
const AGREED: [(&str, &str); 4] = [
    ("deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
    ("deflate-kept", "permessage-deflate"),
    (
        "deflate-narrow",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; \
         client_max_window_bits=9",
    ),
    ("deflate-kept-narrow", "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
];

/// The same, as the clients' scripts are given it.
fn agreed() -> Value {
    AGREED.into_iter().map(|(route, extensions)| (route, Value::from(extensions))).collect()
}

/// The routes on which a client connects: some without what it might compress, and once those that compress.
fn and_deflate(others: &[&'static str]) -> Vec<&'static str> {
    others.iter().copied().chain(AGREED.map(|(route, _)| route)).collect()
}

/// Expects so many connections of a client to have ended with its own close on these routes, and as many with the server's.
async fn ended(mut told: mpsc::UnboundedReceiver<String>, client: &str, routes: &[&str]) {
    let closes = ["4001 (再见)", "4007 (no such room)"];
    let mut wanted: Vec<String> =
        routes.iter().flat_map(|route| closes.map(|close| format!("/{route}/{client} {close}"))).collect();
    wanted.sort();
    let mut seen = Vec::new();
    while seen.len() < wanted.len() {
        let end = timeout(DEADLINE, told.recv()).await.expect("each connection ends").unwrap();
        if !end.starts_with("/pinged/") {
            seen.push(end);
        }
    }
    seen.sort();
    assert_eq!(seen, wanted);
}

/// Runs a client's program with its script, up to its good end.
async fn run(program: &Path, script: &str, server: SocketAddr) {
    assert!(program.exists(), "{} is missing: `scripts/test tests` installs it", program.display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script);
    let mut command = process::Command::new(program);
    command.arg(script).arg(format!("ws://{server}")).arg(agreed().to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(2 * DEADLINE, command.output()).await.expect("the client comes to an end").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn python_websockets() {
    let (server, told) = serve();
    run(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"), "client.py", server).await;
    ended(told, "python", &and_deflate(&["plain", "plain", "deflate"])).await;
}

#[tokio::test]
async fn node_ws() {
    let (server, told) = serve();
    let node = chromium::installed("node").expect("node is not installed; on Debian: apt-get install nodejs npm");
    run(&node, "client.js", server).await;
    ended(told, "node", &and_deflate(&["plain", "plain", "deflate"])).await;
}

#[tokio::test]
async fn a_browser() {
    let (server, told) = serve();
    let browser = Browser::start("interop").await;
    // Browsers keep pages from elsewhere away from this machine; that there is no such page does not matter.
    browser.client.goto(&format!("http://{server}/")).await.unwrap();
    let script = include_str!("interop/page.js");
    let said = browser.client.execute_async(script, vec![json!(format!("ws://{server}")), agreed()]).await.unwrap();
    assert_eq!(said, "ok");
    ended(told, "browser", &and_deflate(&["plain"])).await;
}

/// What a client without compression says and hears on a route, whether that offers compression or not.
async fn tungstenite_on(server: SocketAddr, route: &str) {
    const UNICODE: &str = "é读🦀";
    let mut request = format!("ws://{server}/{route}/tungstenite").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "chat.v1, chat.v2".parse().unwrap());
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "chat.v2");
    assert_eq!(response.headers().get("Sec-WebSocket-Extensions"), None);
    let mut next = async |sent: Vec<Sent>| {
        for sent in sent {
            socket.send(sent).await.unwrap();
        }
        timeout(DEADLINE, socket.next()).await.expect("an answer").unwrap().unwrap()
    };

    for size in [0, 1, 125, 126, 65_535, 65_536, 1_048_575] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        for message in [Sent::text("x".repeat(size)), Sent::text(UNICODE.repeat(size / 16)), Sent::binary(bytes)] {
            assert!(next(vec![message.clone()]).await == message, "{size} come back otherwise");
        }
    }
    let fragment = |data, part: &str, last| Sent::Frame(Frame::message(part.to_owned(), OpCode::Data(data), last));
    let fragments = vec![
        fragment(Data::Text, UNICODE, false),
        fragment(Data::Continue, "", false),
        fragment(Data::Continue, "and more", true),
    ];
    assert_eq!(next(fragments).await, Sent::text(format!("{UNICODE}and more")));
    for payload in [vec![], vec![0xff, 0], vec![b'x'; 125]] {
        assert_eq!(next(vec![Sent::Ping(payload.clone().into())]).await, Sent::Pong(payload.into()));
    }
    let close = CloseFrame { code: 4001.into(), reason: "再见".into() };
    let answer = CloseFrame { code: 4001.into(), reason: "".into() };
    assert_eq!(next(vec![Sent::Close(Some(close))]).await, Sent::Close(Some(answer)));

    let (mut socket, _) = connect_async(format!("ws://{server}/{route}/tungstenite?close=4007")).await.unwrap();
    let close = CloseFrame { code: 4007.into(), reason: "no such room".into() };
    assert_eq!(socket.next().await.unwrap().unwrap(), Sent::Close(Some(close)));
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn tokio_tungstenite() {
    let (server, told) = serve();
    // On the second it offers no extension and gets none.
    let routes = ["plain", "deflate"];
    for route in routes {
        tungstenite_on(server, route).await;
    }
    ended(told, "tungstenite", &routes).await;

    // The server pings each second, and closes when it is not answered; a read answers it.
    let (mut socket, _) = connect_async(format!("ws://{server}/pinged/tungstenite")).await.unwrap();
    for _ in 0..3 {
        assert!(timeout(DEADLINE, socket.next()).await.expect("a ping").unwrap().unwrap().is_ping());
    }
    socket.send(Sent::text("here")).await.unwrap();
    while socket.next().await.unwrap().unwrap() != Sent::text("here") {}
}
