//! The client, in a browser: what it does when a proxy lets no WebSocket pass, and then no event stream, and then all of them
//! again.
//!
//! As in `tests/browser.rs`, Debian's `chromium` is driven through its `chromedriver`.
#![allow(clippy::unwrap_used, reason = "a test that finds something wrong ends there")]

#[path = "../chromium/mod.rs"]
mod chromium;
mod elsewhere;
mod ends;
mod proxy;

use std::{
    env,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use channels::{
    InMemoryChannelLayer, Layer, OriginValidator,
    Transport::{EventStream, LongPoll, WebSocket},
    actix_web::{HttpResponse, web},
    prelude::*,
};
use fantoccini::Client;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::MissedTickBehavior,
};

use self::{
    chromium::{Browser, DEADLINE, Process},
    proxy::{Proxy, Rule, Rules},
};

const TRANSPORTS: [&str; 3] = ["websocket", "event-stream", "long-poll"];

const SCRIPT: &str = include_str!("../../channels-core/client/dist/channels.js");

const NO_SOCKETS: Rules = Rules { websocket: Rule::Cut, event_stream: Rule::Pass };
/// An event stream is answered, and the answer does not arrive.
const POLLS_ONLY: Rules = Rules { websocket: Rule::Cut, event_stream: Rule::HoldBack };
const HTTP_ONLY: Rules = Rules { websocket: Rule::Cut, event_stream: Rule::Cut };

/// Tells which numbers it hears, in texts and bytes, and how it ends; passes on the numbers that are sent to its group.
struct Numbers(mpsc::UnboundedSender<Told>);

#[derive(PartialEq, Debug)]
enum Told {
    Number(u64),
    Ended(u16),
}

#[consumer]
impl Consumer for Numbers {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("numbers").await?;
        Ok(())
    }

    async fn receive(&mut self, _: &mut Context, message: Message) -> Result<()> {
        let number = match &message {
            Message::Text(text) => text.parse()?,
            Message::Binary(bytes) => std::str::from_utf8(bytes)?.parse()?,
        };
        let _ = self.0.send(Told::Number(number));
        Ok(())
    }

    #[handler("number")]
    async fn number(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        let number: u64 = event.get("n").unwrap_or_default();
        if number.is_multiple_of(3) { cx.send(number.to_string().into_bytes()) } else { cx.send(number.to_string()) }
    }

    #[handler("end")]
    async fn end(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.close(event.get::<u16>("code").unwrap_or_default(), "that is why");
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(Told::Ended(close.code.get()));
    }
}

fn serve(layer: Layer) -> (SocketAddr, mpsc::UnboundedReceiver<Told>) {
    serve_pages_of("*", layer)
}

/// A server that lets in the pages of one origin.
fn serve_pages_of(origin: &str, layer: Layer) -> (SocketAddr, mpsc::UnboundedReceiver<Told>) {
    let (tell, told) = mpsc::unbounded_channel();
    let route = path("ws/numbers/", move || Numbers(tell.clone())).transports([WebSocket, EventStream, LongPoll]);
    let page = || async { HttpResponse::Ok().content_type("text/html").body(include_str!("page.html")) };
    let app = ProtocolTypeRouter::new()
        .http(move |services| {
            services.route("/", web::get().to(page));
        })
        .websocket(OriginValidator::new([origin]).unwrap().wrap(URLRouter::new([route]).unwrap()));
    let server = Server::new(app).layers(layer).client("/channels.js").workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addresses()[0];
    std::thread::spawn(|| channels::run(server.run_until(std::future::pending())));
    (address, told)
}

#[tokio::test]
async fn numbers_of_both_sides_arrive_once_and_in_order_on_every_way_and_between_them() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (server, mut told) = serve(layer.clone());
    let proxy = Proxy::start(server).await;
    let browser = Browser::start("numbers").await;
    let page = &browser.client;
    page.goto(&format!("http://{}/", proxy.address)).await.unwrap();
    waits_for(page, "return socket.transport", &json!("websocket")).await;

    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let talk = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = 0_u64;
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                _ = &mut stopped => return sent,
            }
            // A layer may drop an event for a consumer with a full queue; that is not what is looked at here.
            let report = layer.group_send("numbers", event!({"type": "number", "n": sent + 1})).report().await.unwrap();
            sent += report.delivered as u64;
        }
    });

    let ways = [
        (NO_SOCKETS, "event-stream"),
        (POLLS_ONLY, "long-poll"),
        (Rules::PASS, "websocket"),
        (POLLS_ONLY, "long-poll"),
        (Rules::PASS, "websocket"),
        (NO_SOCKETS, "event-stream"),
        (Rules::PASS, "websocket"),
    ];
    for (rules, transport) in ways {
        proxy.set(rules);
        waits_for(page, "return socket.transport", &json!(transport)).await;
        // Not one message, but a good number of them, before the next change.
        let so_far = page.execute("return page.heard.length", vec![]).await.unwrap().as_u64().unwrap();
        waits_for(page, &format!("return page.heard.length > {so_far} + 50"), &json!(true)).await;
    }

    page.execute("page.stop()", vec![]).await.unwrap();
    stop.send(()).unwrap();
    let sent = talk.await.unwrap();
    waits_for(page, "return page.heard.length", &json!(sent)).await;
    waits_for(page, "return socket.buffered", &json!(0)).await;

    let heard: Vec<u64> = serde_json::from_value(page.execute("return page.heard", vec![]).await.unwrap()).unwrap();
    assert!(heard.iter().copied().eq(1..=sent), "heard by the page: {heard:?}");
    let said = page.execute("return page.said", vec![]).await.unwrap().as_u64().unwrap();
    let mut taken = Vec::new();
    while let Ok(told) = told.try_recv() {
        let Told::Number(number) = told else { panic!("the session ended: {told:?}") };
        taken.push(number);
    }
    assert!(taken.iter().copied().eq(1..=said), "{said} were said, and these taken by the consumer: {taken:?}");
    assert_eq!(page.execute("return page.reopened", vec![]).await.unwrap(), json!(0), "one session for all of it");
}

#[tokio::test]
async fn chat_page_works_by_event_stream_and_by_long_polls_and_returns_to_websocket() {
    let (_chatroom, address) = chatroom();
    let proxy = Proxy::start(address).await;
    let browser = Browser::start("chat").await;
    let page = &browser.client;
    let (alice, bob) = (page.window().await.unwrap(), page.new_window(false).await.unwrap().handle);

    // Alice has a proxy before her; Bob has none.
    proxy.set(NO_SOCKETS);
    page.goto(&format!("http://{}/?num=7&name=Alice", proxy.address)).await.unwrap();
    page.switch_to_window(bob.clone()).await.unwrap();
    page.goto(&format!("http://{address}/?num=7&name=Bob")).await.unwrap();

    let mut bodies = Vec::new();
    let ways = [
        (NO_SOCKETS, "Connected, by event stream"),
        (HTTP_ONLY, "Connected, by long polling"),
        (Rules::PASS, "Connected"),
    ];
    for (rules, status) in ways {
        page.switch_to_window(alice.clone()).await.unwrap();
        proxy.set(rules);
        if status == "Connected" {
            // What the browser says when it is on another network; else the next attempt is half a minute away.
            page.execute("dispatchEvent(new Event('online'))", vec![]).await.unwrap();
        }
        waits_for(page, "return document.querySelector('#status').textContent", &json!(status)).await;
        waits_for(page, "return document.querySelectorAll('#members li').length", &json!(2)).await;
        for (person, name) in [(&alice, "Alice"), (&bob, "Bob")] {
            page.switch_to_window(person.clone()).await.unwrap();
            let text = format!("{name}, while Alice is {status}");
            let say = "document.querySelector('#text').value = arguments[0]; document.querySelector('#send-form').requestSubmit()";
            page.execute(say, vec![json!(text)]).await.unwrap();
            bodies.push(text);
            for person in [&alice, &bob] {
                page.switch_to_window(person.clone()).await.unwrap();
                let all = "return [...document.querySelectorAll('.body')].map((body) => body.textContent)";
                waits_for(page, all, &json!(bodies)).await;
            }
        }
    }
    // It was one session all the time: nobody came in again.
    page.switch_to_window(bob).await.unwrap();
    let lines = "return [...document.querySelectorAll('#log .system')].map((line) => line.textContent)";
    waits_for(page, lines, &json!(["[连接成功]", "来了呀年轻人!"])).await;
}

#[tokio::test]
async fn page_that_is_left_ends_its_session_at_once() {
    let (server, mut told) = serve(Layer::new(InMemoryChannelLayer::default()));
    let browser = Browser::start("left").await;
    let page = &browser.client;
    for transport in TRANSPORTS {
        page.goto(&format!("http://{server}/?transports={transport}")).await.unwrap();
        waits_for(page, "return socket.transport", &json!(transport)).await;
        waits_for(page, "page.stop(); return socket.buffered", &json!(0)).await;
        page.goto("about:blank").await.unwrap();
        // Long before the session would be missed.
        let ended = async { while !matches!(told.recv().await, Some(Told::Ended(1001 | 1005))) {} };
        tokio::time::timeout(Duration::from_secs(10), ended)
            .await
            .unwrap_or_else(|_| panic!("{transport}: nobody was told"));
    }
}

#[tokio::test]
async fn script_is_sent_once_and_confirmed_from_then_on() {
    let (server, _told) = serve(Layer::new(InMemoryChannelLayer::default()));
    let first = get(server, "").await;
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert!(first.starts_with("HTTP/1.1 200 ") && first.contains("content-type: text/javascript; charset=utf-8\r\n"));
    assert!(first.contains("cache-control: no-cache\r\n"), "a browser asks whether it is still the same");
    assert!(first.ends_with(SCRIPT));
    for tags in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}")] {
        let again = get(server, &format!("If-None-Match: {tags}\r\n")).await;
        assert!(again.starts_with("HTTP/1.1 304 ") && again.ends_with("\r\n\r\n"), "{again}");
    }
    assert!(get(server, "If-None-Match: \"other\"\r\n").await.ends_with(SCRIPT));
}

/// Asks for the script, and gives the answer as it is.
async fn get(server: SocketAddr, headers: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET /channels.js HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits until a script returns this; before the page's own script is there, it fails.
async fn waits_for(page: &Client, script: &str, expected: &serde_json::Value) {
    let started = Instant::now();
    loop {
        let seen = page.execute(script, vec![]).await;
        if seen.as_ref().is_ok_and(|seen| seen == expected) {
            return;
        }
        if started.elapsed() > DEADLINE {
            let history = page.execute("return window.page?.history", vec![]).await.unwrap();
            panic!("{script}: {seen:?} and not {expected}, after {DEADLINE:.0?}; before that: {history:#}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // between two looks
    }
}

/// The example, as `cargo test` has built it.
fn chatroom() -> (Process, SocketAddr) {
    let test = env::current_exe().unwrap(); // target/debug/deps/client-…
    let built = test.ancestors().nth(2).unwrap().join("examples/chatroom");
    assert!(built.exists(), "{} is missing: cargo build --all-features --example chatroom", built.display());
    let command = &mut Command::new(built);
    let (process, line) =
        Process::start(command.env("HOST", "127.0.0.1").env("PORT", "0"), "http://127.0.0.1:").expect("it listens");
    let port: u16 = line.split('/').next().and_then(|port| port.parse().ok()).unwrap();
    (process, ([127, 0, 0, 1], port).into())
}
