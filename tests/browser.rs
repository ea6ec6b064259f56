//! The examples `chatroom`, `auth`, `polling` and `dashboard`, as people meet them: in a browser; and what a browser does by itself.
//!
//! These tests start the examples that `cargo test` has built, and drive Debian's `chromium` through its `chromedriver`
//! (`apt-get install chromium chromium-driver`). Each window is one person.

mod chromium;
#[path = "browser/inspection.rs"]
mod inspection;

use std::{env, process::Command, sync::Arc, time::Instant};

use channels::{
    InMemoryChannelLayer, Layer, Transport,
    actix_web::{HttpResponse, web},
    event,
    prelude::*,
};

use fantoccini::{Client, Locator, wd::WindowHandle};
use serde_json::json;

use self::chromium::{Browser, DEADLINE, Process};

const CONNECTED: &str = "[连接成功]";
const DISCONNECTED: &str = "[断开连接]";
const GREETING: &str = "来了呀年轻人!";

#[tokio::test]
async fn people_meet_in_the_room_that_they_chose_and_in_no_other() {
    let server = Server::start("chatroom", 0);
    let browser = Browser::start("meet").await;

    // Alice fills in the form; Bob follows the link that it makes, and is asked for his name only.
    let alice = browser.open(&server.url).await;
    alice.fill("#name", "Alice").await;
    alice.fill("#room", "42").await;
    alice.click("#enter").await;
    alice.waits_for("#status", &["Connected"]).await;
    let link = alice.address().await;
    assert_eq!(link, format!("{}?num=42", server.url));

    let bob = browser.open(&link).await;
    assert_eq!(bob.value("#room").await, "42");
    bob.fill("#name", "Bob").await;
    bob.click("#enter").await;

    let carol = browser.open(&format!("{}?num=43&name=Carol", server.url)).await;

    bob.waits_for("#log .system", &[CONNECTED, GREETING]).await;
    carol.waits_for("#log .system", &[CONNECTED, GREETING]).await;
    alice.waits_for("#log .system", &[CONNECTED, GREETING, "Bob came in"]).await;
    for person in [&alice, &bob] {
        person.waits_for_members(&["Alice", "Bob"]).await;
        person.waits_for("#count", &["2"]).await;
    }
    carol.waits_for_members(&["Carol"]).await;
    assert_eq!(bob.texts("#members .you").await, ["you"]);

    // Both hear each other, in order; what looks like markup is text.
    alice.says("Hello, Bob").await;
    bob.waits_for(".body", &["Hello, Bob"]).await;
    bob.says("<img src=x onerror=alert(1)>").await;
    bob.says("  你好 🦀  ").await;
    for person in [&alice, &bob] {
        person.waits_for(".body", &["Hello, Bob", "<img src=x onerror=alert(1)>", "你好 🦀"]).await;
        assert!(person.texts("#log img").await.is_empty(), "a message became an element");
    }
    assert_eq!(alice.texts(".mine .body").await, ["Hello, Bob"]);
    assert_eq!(bob.texts("#log article:not(.mine) .name").await, ["Alice"]);

    // Had any of it gone to the other room, it would stand before what Carol says now.
    carol.says("Is anybody there?").await;
    carol.waits_for(".body", &["Is anybody there?"]).await;

    // Bob leaves, and comes back.
    bob.click("#close").await;
    bob.waits_for("#status", &["Not connected"]).await;
    assert!(bob.texts("#log .system").await.last().expect("a line").starts_with(DISCONNECTED));
    alice.waits_for_members(&["Alice"]).await;
    alice.waits_for("#log .system", &[CONNECTED, GREETING, "Bob came in", "Bob left"]).await;
    assert_eq!(bob.texts("#close").await, ["Connect"]);
    bob.click("#close").await;
    bob.waits_for_members(&["Alice", "Bob"]).await;

    // Everything on the page came from the server.
    let foreign =
        "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith(location.origin))";
    assert_eq!(alice.run(foreign).await, json!([]));
}

#[tokio::test]
async fn a_person_in_two_windows_is_one_who_comes_once_and_leaves_once() {
    let server = Server::start("chatroom", 0);
    let browser = Browser::start("windows").await;
    let alice = browser.open(&format!("{}?num=7&name=Alice", server.url)).await;
    alice.waits_for_members(&["Alice"]).await;
    assert_eq!(alice.texts("#hint").await, ["Only you are here. Send someone the link, or open a second tab."]);
    let bob = browser.open(&format!("{}?num=7&name=Bob", server.url)).await;
    alice.waits_for_members(&["Alice", "Bob"]).await;
    assert!(alice.texts("#members .windows").await.is_empty());

    let again = browser.open(&format!("{}?num=7&name=Bob", server.url)).await;
    for person in [&alice, &bob, &again] {
        person.waits_for("#members .windows", &["2 windows"]).await;
        person.waits_for_members(&["Alice", "Bob"]).await;
        person.waits_for("#count", &["2"]).await;
        person.waits_for("#members .you", &["you"]).await;
    }
    again.click("#close").await;
    alice.waits_for("#members .windows", &[]).await;
    alice.waits_for_members(&["Alice", "Bob"]).await;
    bob.click("#close").await;
    alice.waits_for_members(&["Alice"]).await;
    alice.waits_for("#log .system", &[CONNECTED, GREETING, "Bob came in", "Bob left"]).await;
}

#[tokio::test]
async fn a_member_is_greeted_by_name_and_a_logout_closes_the_socket_in_every_window() {
    let server = Server::start("auth", 0);
    let browser = Browser::start("auth").await;
    let ann = browser.open(&server.url).await;
    ann.waits_for("h1", &["Hello, stranger"]).await;
    ann.fill("#login input[name=name]", "ann").await;
    ann.fill("#login input[name=password]", "not registered").await;
    ann.click("#login button").await;
    ann.waits_for("#message", &["Wrong name or password."]).await;

    ann.fill("#register input[name=name]", "ann").await;
    ann.fill("#register input[name=password]", "correct horse").await;
    ann.click("#register button").await;
    ann.waits_for("h1", &["Hello, ann"]).await;
    ann.waits_for("#status", &["open"]).await;
    ann.waits_for("#log li", &["Welcome, ann. Say something."]).await;
    ann.fill("#text", "<b>hi</b> 你好").await;
    ann.click("#say button").await;
    ann.waits_for("#log li", &["Welcome, ann. Say something.", "ann: <b>hi</b> 你好"]).await;

    // Another window of the same browser is logged in with it, and logs out.
    let again = browser.open(&server.url).await;
    again.waits_for("#status", &["open"]).await;
    again.click("#logout button").await;
    again.waits_for("h1", &["Hello, stranger"]).await;
    ann.waits_for("#status", &["closed: you are logged out"]).await;
}

#[tokio::test]
async fn three_ways_lead_into_one_room_and_the_page_counts_what_each_costs() {
    const WAYS: [&str; 3] = ["short", "long", "socket"];
    let server = Server::start("polling", 0);
    let browser = Browser::start("polling").await;
    let (alice, bob) = (browser.open(&server.url).await, browser.open(&server.url).await);
    for person in [&alice, &bob] {
        person.waits_for(".status", &["Asking.", "Asking.", "Connected."]).await;
    }

    // What is said by one way comes by each, to each; what looks like markup is text.
    let mut said = Vec::new();
    for (way, text) in WAYS.into_iter().zip(["Hello by asking", "<img src=x onerror=alert(1)>", "你好 🦀"]) {
        alice.click(&format!("#tab-{way}")).await;
        alice.says_by(way, text).await;
        said.push(text);
        for (person, way) in [&alice, &bob].into_iter().flat_map(|person| WAYS.map(|way| (person, way))) {
            person.waits_for(&format!("#panel-{way} .said"), &said).await;
            assert!(person.texts("#panels img").await.is_empty(), "a message became an element");
        }
    }
    assert_eq!(bob.texts("#panel-long .by").await, ["by request", "by request", "by socket"]);

    // The counters: who asks goes on asking, a socket does not.
    let asked = |row: &str| format!("return Number(document.querySelector('#row-{row} .requests').textContent)");
    assert!(bob.run(&asked("long")).await.as_u64() >= Some(4), "a poll for each message, and one that waits");
    let before = bob.run(&asked("short")).await;
    bob.run("const slider = document.querySelector('#interval'); slider.value = 0.25; slider.dispatchEvent(new Event('input'))").await;
    bob.sees(&asked("short").replace("return", &format!("return {before} + 4 <="))).await;
    assert_eq!(bob.run(&asked("socket")).await, json!(1));
    let bytes = async |row: &str| {
        let cell =
            format!("return Number(document.querySelector('#row-{row} .bytes').firstChild.data.replaceAll(',', ''))");
        bob.run(&cell).await.as_u64().expect("a number")
    };
    let (short, long, socket) = (bytes("short").await, bytes("long").await, bytes("socket").await);
    assert!(0 < socket && socket < long && socket < short, "{socket} bytes by socket, {long} and {short} by polls");
    for way in WAYS {
        let delay = bob.texts(&format!("#row-{way} .delay")).await.concat();
        assert!(delay.contains(" ms") && delay.contains("max "), "{delay}");
    }

    // What is said while a poll is away waits for it; the socket, which is closed, misses it.
    for way in ["long", "socket"] {
        bob.click(&format!("#tab-{way}")).await;
        bob.click(&format!("#panel-{way} .stop")).await;
    }
    alice.says_by("socket", "Are you there?").await;
    said.push("Are you there?");
    bob.waits_for("#panel-short .said", &said).await;
    for way in ["long", "socket"] {
        bob.click(&format!("#tab-{way}")).await;
        bob.click(&format!("#panel-{way} .stop")).await;
    }
    bob.waits_for("#panel-long .said", &said).await;
    bob.waits_for("#panel-socket .status", &["Connected."]).await;
    assert_eq!(bob.texts("#panel-socket .said").await, said[..3]);

    // Nothing is wider than a narrow phone.
    browser.at(&bob).await.set_window_size(320, 640).await.expect("it can be as narrow");
    bob.sees("return innerWidth === 320").await;
    let fits = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth <= clientWidth";
    assert_eq!(bob.run(fits).await, json!(true));
}

#[tokio::test]
async fn two_viewers_of_the_dashboard_see_numbers_move_that_one_sampler_reads() {
    let server = Server::start("dashboard", 0);
    let browser = Browser::start("dashboard").await;
    let (ann, bob) = (browser.open(&server.url).await, browser.open(&server.url).await);
    for person in [&ann, &bob] {
        person.waits_for("#status", &["Live"]).await;
        person.waits_for("#connections", &["2"]).await;
    }

    // One sample a second, however many look: three more take longer than two seconds.
    let number = "return Number(document.querySelector('#number').textContent)";
    let (first, started) = (ann.run(number).await.as_u64().expect("a number"), Instant::now());
    ann.sees(&number.replace("return", &format!("return {first} + 3 <="))).await;
    assert!(started.elapsed().as_secs_f64() > 1.9, "three samples in {:?}", started.elapsed());
    let (anns, bobs) = (ann.run(number).await.as_u64(), bob.run(number).await.as_u64());
    let (anns, bobs) = (anns.expect("a number"), bobs.expect("a number"));
    assert!(anns.abs_diff(bobs) <= 2, "{anns} and then {bobs}");

    // All kinds of charts, with words for those who do not see them; traffic of one window moves the numbers in the other.
    bob.run("const slider = document.querySelector('#traffic'); slider.value = 300; slider.dispatchEvent(new Event('input'))").await;
    ann.sees("return Number(document.querySelector('#deliveries').textContent) > 50").await;
    let drawn = "return ['#cpu-chart .curve', '#messages-chart .curve', '#memory-chart .slice'].map(css => document.querySelectorAll(css).length)";
    assert_eq!(ann.run(drawn).await, json!([2, 2, 3]));
    assert!(!ann.texts("#processors-chart .bar").await.is_empty());
    ann.sees("return document.querySelector('#cpu-chart .curve').getAttribute('d').split('L').length > 3").await;
    let labels = "return [...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))";
    let labels: Vec<String> = serde_json::from_value(ann.run(labels).await).expect("four labels");
    assert!(
        labels.len() == 4 && labels.iter().all(|label| label.contains(|letter: char| letter.is_ascii_digit())),
        "{labels:?}"
    );
}

#[tokio::test]
async fn page_reconnects_when_the_server_is_back_and_keeps_what_was_being_written() {
    let server = Server::start("chatroom", 0);
    let browser = Browser::start("reconnect").await;
    let alice = browser.open(&format!("{}?num=7&name=Alice", server.url)).await;
    let bob = browser.open(&format!("{}?num=7&name=Bob", server.url)).await;
    alice.waits_for_members(&["Alice", "Bob"]).await;

    let port = server.port;
    drop(server);
    for person in [&alice, &bob] {
        person.waits_for("#status", &["Reconnecting…"]).await;
        person.waits_for("#log .system:last-child", &[DISCONNECTED]).await;
    }
    alice.fill("#text", "Still here").await;
    alice.press_enter("#text").await;
    assert!(alice.is_disabled("#send").await);
    assert_eq!(alice.value("#text").await, "Still here");

    let _server = Server::start("chatroom", port);
    for person in [&alice, &bob] {
        person.waits_for("#status", &["Connected"]).await;
        person.waits_for_members(&["Alice", "Bob"]).await;
    }
    assert_eq!(alice.value("#text").await, "Still here");
    alice.click("#send").await;
    bob.waits_for(".body", &["Still here"]).await;
    alice.waits_for(".body", &["Still here"]).await;
    assert_eq!(alice.value("#text").await, "");
}

#[tokio::test]
async fn form_asks_for_a_name_and_explains_a_room_that_cannot_be() {
    let server = Server::start("chatroom", 0);
    let browser = Browser::start("form").await;
    let alice = browser.open(&format!("{}?num=no%20way", server.url)).await;
    alice.click("#enter").await;
    assert!(alice.shows("#name-error").await && alice.shows("#room-error").await);

    alice.fill("#name", "Alice").await;
    alice.fill("#room", "way_42-b").await;
    alice.press_enter("#room").await;
    alice.waits_for("#log .system", &[CONNECTED, GREETING]).await;
    alice.waits_for("#title", &["way_42-b"]).await;

    // The way back leads out of the room; the tab still knows the name, and so the way forward leads in again.
    browser.at(&alice).await.back().await.expect("the way back");
    assert!(alice.shows("#lobby").await);
    browser.at(&alice).await.forward().await.expect("the way forward");
    alice.waits_for_members(&["Alice"]).await;
}

/// Says what events ask for, and is closed by one.
#[derive(Default)]
struct Herald;

#[consumer]
impl Consumer for Herald {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        cx.accept()?;
        cx.send("welcome")
    }

    #[handler]
    async fn say(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        match event["text"].as_str() {
            Some("close") => cx.close(4042, "the end"),
            Some(text) => cx.send(text)?,
            None => cx.send(vec![0, 1, 2])?,
        }
        Ok(())
    }
}

const LISTENING: &str = r##"<!doctype html><title>Listening</title><ol id="log"></ol><script>
    const add = (text) => document.querySelector("#log").append(
        Object.assign(document.createElement("li"), { textContent: text }));
    const source = new EventSource("/ws/");
    source.onmessage = ({ data }) => add(data);
    source.addEventListener("json", ({ data }) => add(`json ${data}`));
    source.addEventListener("binary", ({ data }) => add(`binary ${data}`));
    source.addEventListener("close", ({ data }) => { add(`close ${data}`); source.close(); });
</script>"##;

/// Passes connections on to a server, and cuts all of them when it is told to.
async fn pass_on(listener: tokio::net::TcpListener, server: std::net::SocketAddr, cut: Arc<tokio::sync::Notify>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let cut = cut.clone();
        tokio::spawn(async move {
            let Ok(mut upstream) = tokio::net::TcpStream::connect(server).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
                () = cut.notified() => {}
            }
        });
    }
}

#[tokio::test]
async fn a_plain_event_source_of_a_guarded_page_goes_on_after_a_cut_and_misses_nothing() {
    let routes = URLRouter::new([path("ws/", Herald::default).transports([Transport::EventStream])]).expect("a route");
    let app = ProtocolTypeRouter::new()
        .http(|services| {
            let page = || async { HttpResponse::Ok().content_type("text/html").body(LISTENING) };
            services.route("/", web::get().to(page));
        })
        .websocket(AllowedHosts::from(["127.0.0.1"]).wrap(routes));
    let layer = Layer::new(InMemoryChannelLayer::default());
    let server = channels::Server::new(app).layers(layer.clone()).workers(2).bind("127.0.0.1:0").expect("a free port");
    let (address, (stop, stopped)) = (server.addresses()[0], tokio::sync::oneshot::channel::<()>());
    let serving = std::thread::spawn(|| {
        channels::run(server.run_until(async {
            let _ = stopped.await;
        }))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (url, cut) = (format!("http://{}/", listener.local_addr().expect("an address")), Arc::default());
    tokio::spawn(pass_on(listener, address, Arc::clone(&cut)));
    let say = |text: serde_json::Value| {
        let layer = layer.clone();
        async move { layer.group_send("room", event!({"type": "say", "text": text})).await.expect("it is sent") }
    };

    let browser = Browser::start("event-source").await;
    let page = browser.open(&url).await;
    page.waits_for("#log li", &["welcome"]).await;
    for text in [json!("two\nlines"), json!("carriage\r\nreturn"), json!(null), json!("")] {
        say(text).await;
    }
    let mut seen = vec!["welcome", "two\nlines", r#"json "carriage\r\nreturn""#, "binary AAEC", ""];
    page.waits_for("#log li", &seen).await;
    cut.notify_waiters();
    for text in ["while it is away", "and more"] {
        say(json!(text)).await;
        seen.push(text);
    }
    page.waits_for("#log li", &seen).await;
    say(json!("close")).await;
    seen.push(r#"close {"code":4042,"reason":"the end"}"#);
    page.waits_for("#log li", &seen).await;
    drop(stop);
    serving.join().expect("it does not panic").expect("it ends well");
}

/// One window of the browser, and whoever sits before it.
struct Person<'a> {
    browser: &'a Browser,
    window: WindowHandle,
}

impl Person<'_> {
    async fn fill(&self, css: &str, text: &str) {
        let field = self.browser.at(self).await.find(Locator::Css(css)).await.expect(css);
        field.clear().await.expect(css);
        field.send_keys(text).await.expect(css);
    }

    async fn press_enter(&self, css: &str) {
        let field = self.browser.at(self).await.find(Locator::Css(css)).await.expect(css);
        field.send_keys("\u{e007}").await.expect(css);
    }

    async fn says(&self, text: &str) {
        self.script("document.querySelector('#text').value = arguments[0]", text).await;
        self.press_enter("#text").await;
    }

    /// Says something in one of the chats of `polling`.
    async fn says_by(&self, way: &str, text: &str) {
        let field = format!("#panel-{way} form .text");
        self.script(&format!("document.querySelector('{field}').value = arguments[0]"), text).await;
        self.press_enter(&field).await;
    }

    /// Waits until a script returns `true`.
    async fn sees(&self, script: &str) {
        let started = Instant::now();
        while self.run(script).await != json!(true) {
            assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:.0?}: {script}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // between two looks
        }
    }

    async fn click(&self, css: &str) {
        let button = self.browser.at(self).await.find(Locator::Css(css)).await.expect(css);
        button.click().await.expect(css);
    }

    async fn address(&self) -> String {
        self.browser.at(self).await.current_url().await.expect("an address").to_string()
    }

    async fn shows(&self, css: &str) -> bool {
        let element = self.browser.at(self).await.find(Locator::Css(css)).await.expect(css);
        element.is_displayed().await.expect(css)
    }

    async fn is_disabled(&self, css: &str) -> bool {
        self.script("return document.querySelector(arguments[0]).disabled", css).await == json!(true)
    }

    async fn value(&self, css: &str) -> String {
        let value = self.script("return document.querySelector(arguments[0]).value", css).await;
        value.as_str().expect(css).to_owned()
    }

    /// The texts of all elements that `css` finds, in the order of the page.
    async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(found => found.textContent)";
        serde_json::from_value(self.script(script, css).await).expect(css)
    }

    /// Waits until `css` finds exactly these texts.
    async fn waits_for(&self, css: &str, expected: &[&str]) {
        let started = Instant::now();
        loop {
            let seen = self.texts(css).await;
            if seen == expected {
                return;
            }
            if started.elapsed() > DEADLINE {
                let page = self.texts("#status, #members, #log").await.join(" | ");
                assert_eq!(seen, expected, "{css}, after {DEADLINE:.0?}, on a page that reads: {page}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // between two looks
        }
    }

    /// Waits until the list of those present names these people; the order is the server's affair.
    async fn waits_for_members(&self, expected: &[&str]) {
        let started = Instant::now();
        loop {
            let mut seen = self.texts("#members .name").await;
            seen.sort_unstable();
            if seen == expected {
                return;
            }
            if started.elapsed() > DEADLINE {
                assert_eq!(seen, expected, "members after {DEADLINE:.0?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn run(&self, script: &str) -> serde_json::Value {
        self.script(script, "").await
    }

    async fn script(&self, script: &str, argument: &str) -> serde_json::Value {
        self.browser.at(self).await.execute(script, vec![json!(argument)]).await.expect(script)
    }
}

impl Browser {
    async fn open(&self, url: &str) -> Person<'_> {
        let window = self.client.new_window(false).await.expect("a new window").handle;
        let person = Person { browser: self, window };
        self.at(&person).await.goto(url).await.expect(url);
        person
    }

    /// The browser, with this person's window in front.
    async fn at(&self, person: &Person<'_>) -> &Client {
        self.client.switch_to_window(person.window.clone()).await.expect("the window");
        &self.client
    }
}

/// The chatroom example, on a port of its own (`0`: whichever is free).
struct Server {
    _process: Process,
    port: u16,
    url: String,
}

impl Server {
    fn start(example: &str, port: u16) -> Self {
        let test = env::current_exe().expect("the path of this test"); // target/debug/deps/browser-…
        let built = test.ancestors().nth(2).expect("a target directory").join("examples").join(example);
        assert!(built.exists(), "{} is missing: cargo build --all-features --example {example}", built.display());
        let command = &mut Command::new(built);
        let (process, line) =
            Process::start(command.env("HOST", "127.0.0.1").env("PORT", port.to_string()), "http://127.0.0.1:")
                .expect("it listens");
        let port = line.split('/').next().and_then(|port| port.parse().ok()).expect("the port of the example");
        Self { _process: process, port, url: format!("http://127.0.0.1:{port}/") }
    }
}
