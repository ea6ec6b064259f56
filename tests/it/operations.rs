//! What operators ask a server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use channels::{
    ChannelNameRouter, Config, InMemoryChannelLayer, Layer, Layers, Server, SlowClient, event, metrics::Prometheus,
    prelude::*,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, watch},
};

use crate::{
    raw::{FIN, Raw, TEXT, frame},
    support::{serve, within},
};

#[derive(Clone)]
struct Echo {
    /// `disconnect` ends when this becomes true.
    may_end: watch::Receiver<bool>,
}

#[consumer]
impl Consumer for Echo {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["all".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        let _ = self.may_end.wait_for(|may| *may).await;
    }
}

fn server(may_end: watch::Receiver<bool>) -> Server {
    let make = move || Echo { may_end: may_end.clone() };
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", make)]).unwrap());
    Server::new(app).health("/healthz").readiness("/readyz").inspection("/inspect/")
}

/// Headers of a handshake.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Status and body of a `GET` on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, path, "Connection: close\r\n").await
}

async fn ask(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let answer = answer(address, path, headers).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The head of the answer to a `GET`.
async fn head(address: SocketAddr, path: &str) -> String {
    answer(address, path, "Connection: close\r\n")
        .await
        .split_inclusive("\r\n")
        .take_while(|line| *line != "\r\n")
        .collect()
}

async fn answer(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_draining_server_lives_but_is_not_ready_and_refuses_handshakes() {
    let (end, may_end) = watch::channel(false);
    let served = serve(server(may_end));
    let mut socket = served.connect("/ws/").await;
    assert_eq!(get(served.address, "/healthz").await.0, 200);
    assert_eq!(get(served.address, "/readyz").await.0, 200);

    let address = served.address;
    let stopped = served.stop();
    within(async { while get(address, "/readyz").await.0 != 503 {} }).await;
    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(ask(address, "/ws/", &format!("{UPGRADE}Connection: close\r\n")).await.0, 503);
    end.send(true).unwrap();
    assert_eq!(socket.closed().await.0, 1012);
    stopped.await;
}

async fn inspect(address: SocketAddr, query: &str) -> Value {
    let (status, body) = get(address, &format!("/inspect/data.json{query}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// What each row of a list says under one key.
fn column<'a>(report: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    report[list]["rows"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_inspection_page_may_have_its_icon_and_is_found_without_its_slash() {
    let (_end, may_end) = watch::channel(true);
    let served = serve(server(may_end));
    let page = head(served.address, "/inspect/").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("content-security-policy: default-src 'self' 'unsafe-inline'; img-src data:\r\n"), "{page}");
    assert!(get(served.address, "/inspect/").await.1.contains(r#"<link rel="icon" href="data:"#));

    let bare = head(served.address, "/inspect").await;
    assert!(bare.starts_with("HTTP/1.1 308 ") && bare.contains("\r\nlocation: inspect/\r\n"), "{bare}");
}

#[tokio::test]
async fn inspection_shows_connections_groups_queues_and_counts() {
    let (_end, may_end) = watch::channel(true);
    let layer = Layer::new(InMemoryChannelLayer::default());
    let served = serve(server(may_end).workers(2).layers(layer.clone()));
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let mut socket = served.connect("/ws/").await;
        socket.send("hello").await;
        assert_eq!(socket.text().await, "hello");
        sockets.push(socket);
    }
    for _ in 0..2 {
        layer.send("thumbnails", event!({"type": "make"})).await.unwrap();
    }
    layer.group_add("workers", "thumbnails").await.unwrap();

    let report = inspect(served.address, "").await;
    let counts = &report["consumers"]["it::operations::Echo"];
    assert_eq!(counts["connections"], 4, "{report:#}");
    assert_eq!(counts["inputs"], 4);
    assert_eq!(counts["deliveries"], 4);
    assert_eq!(report["draining"], false);
    assert_eq!(
        (&report["layers"]["default"]["groups"], &report["layers"]["default"]["queues"]),
        (&2.into(), &1.into())
    );

    assert_eq!((&report["connections"]["total"], &report["connections"]["offset"]), (&4.into(), &0.into()));
    for connection in report["connections"]["rows"].as_array().unwrap() {
        assert_eq!((&connection["path"], &connection["group_count"]), (&"/ws/".into(), &1.into()));
        assert_eq!(connection["groups"], serde_json::json!(["all"]));
    }
    assert_eq!(column(&report, "groups", "group"), ["all", "workers"]);
    let mut members: Vec<_> = report["groups"]["rows"][0]["channels"].as_array().unwrap().clone();
    let mut channels: Vec<_> = column(&report, "connections", "channel").into_iter().map(Value::from).collect();
    members.sort_by_key(Value::to_string);
    channels.sort_by_key(Value::to_string);
    assert_eq!((members.len(), members), (4, channels));
    assert_eq!(report["groups"]["rows"][1]["channels"], serde_json::json!(["thumbnails"]));
    let queue = &report["queues"]["rows"][0];
    assert_eq!((&queue["channel"], &queue["waiting"], &queue["readers"]), (&"thumbnails".into(), &2.into(), &0.into()));
}

#[tokio::test]
async fn inspection_shows_a_page_however_much_there_is() {
    const MANY: usize = 1_200;
    let (_end, may_end) = watch::channel(true);
    let layer = Layer::new(InMemoryChannelLayer::default());
    let served = serve(server(may_end).workers(2).layers(layer.clone()));
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(served.connect("/ws/").await);
    }
    for n in 0..MANY {
        layer.group_add(format!("group_{n:04}"), "somebody").await.unwrap();
        layer.send(format!("channel_{n:04}"), event!({"type": "wait"})).await.unwrap();
    }
    let report = inspect(served.address, "").await;
    assert_eq!((&report["groups"]["total"], &report["queues"]["total"]), (&(MANY + 1).into(), &MANY.into()));
    assert_eq!(column(&report, "groups", "group").len(), 100);
    let most = inspect(served.address, "?limit=1000000&queues=100").await;
    assert_eq!((column(&most, "groups", "group").len(), column(&most, "queues", "channel").len()), (1_000, 1_000));
    assert_eq!(column(&most, "queues", "channel")[..2], ["channel_0100", "channel_0101"]);
    let last = inspect(served.address, &format!("?groups={MANY}&queues={MANY}&connections=5")).await;
    assert_eq!(column(&last, "groups", "group"), ["group_1199"]);
    assert_eq!((column(&last, "queues", "channel").len(), column(&last, "connections", "channel").len()), (0, 0));

    // Pages go on from one thread to the next.
    let mut all = Vec::new();
    for offset in [0, 2, 4] {
        let page = inspect(served.address, &format!("?limit=2&connections={offset}")).await;
        assert_eq!(page["connections"]["total"], 5);
        all.extend(column(&page, "connections", "channel").into_iter().map(str::to_owned));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5);

    layer.group_add("some", all[0].as_str()).await.unwrap();
    layer.group_add("some", all[3].as_str()).await.unwrap();
    let some = inspect(served.address, "?group=some").await;
    let mut members = column(&some, "connections", "channel");
    members.sort_unstable();
    assert_eq!((&some["connections"]["total"], members), (&2.into(), vec![all[0].as_str(), all[3].as_str()]));
    assert_eq!(inspect(served.address, "?group=nobody").await["connections"]["total"], 0);
    assert_eq!(inspect(served.address, "?limit=0").await["connections"]["rows"], Value::Array(Vec::new()));
    for bad in ["?group=two%20words", "?limit=-1"] {
        assert_eq!(get(served.address, &format!("/inspect/data.json{bad}")).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_application_reads_what_its_servers_connections_have_done() {
    #[derive(Default)]
    struct Parrot;
    #[consumer]
    impl Consumer for Parrot {
        async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
            cx.send(message.clone())?;
            cx.send(message)
        }
    }
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", Parrot::default)]).unwrap());
    let server = Server::new(app).workers(2);
    let stats = server.stats();
    assert!(stats.consumers().await.is_empty(), "it does not run yet");

    let served = serve(server);
    let (mut first, mut second) = (served.connect("/ws/").await, served.connect("/ws/").await);
    for socket in [&mut first, &mut second] {
        socket.send("hello").await;
        assert_eq!([socket.text().await, socket.text().await], ["hello", "hello"]);
    }
    let consumers = stats.consumers().await;
    let (name, counts) = consumers.first_key_value().unwrap();
    assert!(name.ends_with("::Parrot") && consumers.len() == 1, "{consumers:?}");
    assert_eq!((counts.connections, counts.opened, counts.inputs, counts.deliveries), (2, 2, 2, 4));
    assert_eq!(stats.total().await, *counts);
    drop(first);
    within(async { while stats.total().await.connections != 1 {} }).await;
    assert_eq!(stats.total().await.opened, 2);
    second.0.close(None).await.unwrap();
    let closes = async || serde_json::to_value(stats.total().await.closes).unwrap();
    within(async { while closes().await != serde_json::json!({"1005": 1, "1006": 1}) {} }).await;
}

#[tokio::test]
async fn nothing_is_shown_unless_it_is_asked_for() {
    let app = ProtocolTypeRouter::new();
    let served = serve(Server::new(app));
    for path in ["/healthz", "/readyz", "/inspect/", "/inspect/data.json", "/metrics"] {
        assert_eq!(get(served.address, path).await.0, 404, "{path}");
    }
}

/// Does what its client asks for: it waits at the gate, fails, or sends so many messages of 8 KiB.
#[derive(Clone)]
struct Busy {
    gate: Arc<Semaphore>,
}

#[consumer]
impl Consumer for Busy {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["busy".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        match &*text {
            "wait" => {
                cx.send("waiting")?;
                self.gate.acquire().await?.forget();
            }
            "fail" => return Err(channels::Error::msg("as it was asked")),
            count => {
                for _ in 0..count.parse::<usize>()? {
                    // What there is no room for is counted.
                    let _ = cx.send("x".repeat(8 * 1_024));
                }
            }
        }
        Ok(())
    }

    #[handler]
    async fn note(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.send("noted")
    }
}

/// Its layer keeps no event for any time.
struct Late;

#[consumer]
impl Consumer for Late {
    const LAYER: &'static str = "hasty";

    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["late".to_owned()]
    }

    #[handler]
    async fn note(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        Ok(())
    }
}

/// Reads a channel, and fails at each event.
struct Fails;

#[consumer]
impl Consumer for Fails {
    #[handler]
    async fn note(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        Err(Error::msg("as it was made"))
    }
}

/// The value of a metric in Prometheus' text: the name, and parts of its labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    let (_, value) = lines.find(|(found, _)| labels.iter().all(|label| found.contains(label)))?;
    value.parse().ok()
}

#[tokio::test]
async fn metrics_tell_what_connections_and_layers_did_and_dropped() {
    const MANY: usize = 8 * 1_024;
    let prometheus = Prometheus::install().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let busy = Busy { gate: gate.clone() };
    let routes = URLRouter::new([path("busy/", move || busy.clone()), path("late/", || Late)]).unwrap();
    let default = Layer::new(InMemoryChannelLayer::default().capacity(1));
    let hasty = Layer::new(InMemoryChannelLayer::default().expiry(Duration::ZERO));
    let layers = Layers::default().with("default", default.clone()).with("hasty", hasty.clone());
    let config = Config { max_waiting_bytes: 64 * 1_024, slow_client: SlowClient::DropNewest, ..Config::default() };
    let channels = ChannelNameRouter::new([("fails", || Fails)]).unwrap();
    let app = ProtocolTypeRouter::new().websocket(routes).channel(channels);
    let server = Server::new(app).layers(layers).config(config).workers(1);
    let stats = server.stats();
    let served = serve(server.metrics("/metrics", prometheus));
    let note = || event!({"type": "note"});

    default.send("fails", note()).await.unwrap();
    // One event waits for a consumer that is busy; for the second there is no room.
    let mut busy = served.connect("/busy/").await;
    busy.send("wait").await;
    assert_eq!(busy.text().await, "waiting");
    for delivered in [1, 0] {
        let report = default.group_send("busy", note()).report().await.unwrap();
        assert_eq!((report.delivered, report.full), (delivered, 1 - delivered));
    }
    gate.add_permits(1);
    assert_eq!(busy.text().await, "noted");
    // One has waited too long at once.
    let _late = served.connect("/late/").await;
    hasty.group_send("late", note()).await.unwrap();
    // A hook fails.
    let mut failing = served.connect("/busy/").await;
    failing.send("fail").await;
    assert_eq!(failing.closed().await.0, 1011);
    // And somebody does not read what they asked for: more than sockets hold.
    let mut deaf = Raw::connect_narrow(served.address).await.upgrade("/busy/").await;
    deaf.write(frame(FIN | TEXT, MANY.to_string())).await;

    let worker = &["operations::Busy\"", "worker=\"0\""][..];
    let consumer = &["operations::Busy\""][..];
    let hook = |hook: &'static str| vec![consumer[0], hook];
    let dropped = |cause: &'static str| vec![consumer[0], cause];
    let wanted = [
        ("channels_connections", worker.to_vec(), 2.0),
        ("channels_connections_total", consumer.to_vec(), 3.0),
        ("channels_inputs_total", consumer.to_vec(), 3.0),
        ("channels_events_total", consumer.to_vec(), 1.0),
        ("channels_failures_total", consumer.to_vec(), 1.0),
        ("channels_failures_total", vec!["operations::Fails\""], 1.0),
        ("channels_events_total", vec!["operations::Fails\""], 1.0),
        ("channels_connections", vec!["operations::Fails\"", "worker=\"channels\""], 1.0),
        ("channels_connections_total", vec!["operations::Fails\""], 2.0),
        ("channels_closes_total", vec![consumer[0], "code=\"1011\""], 1.0),
        ("channels_closes_total", vec![consumer[0], "code=\"1006\""], 0.0),
        ("channels_stalled_total", consumer.to_vec(), 0.0),
        ("channels_dropped_total", dropped("cause=\"full\""), 1.0),
        ("channels_dropped_total", dropped("cause=\"expired\""), 0.0),
        ("channels_dropped_total", vec!["operations::Late\"", "cause=\"expired\""], 1.0),
        ("channels_hook_seconds_count", hook("hook=\"connect\""), 3.0),
        ("channels_hook_seconds_count", hook("hook=\"receive\""), 3.0),
        ("channels_hook_seconds_count", hook("hook=\"handler\""), 1.0),
        ("channels_hook_seconds_count", hook("hook=\"disconnect\""), 1.0),
        ("channels_hook_seconds_bucket", vec![consumer[0], "hook=\"connect\"", "le=\"10\""], 3.0),
        ("channels_event_lag_seconds_count", consumer.to_vec(), 1.0),
        ("channels_event_lag_seconds_bucket", vec![consumer[0], "le=\"10\""], 1.0),
        ("channels_layer_dropped_total", vec!["layer=\"hasty\"", "cause=\"expired\""], 1.0),
        ("channels_layer_dropped_total", vec!["layer=\"hasty\"", "cause=\"lost\""], 0.0),
    ];
    let told = async {
        loop {
            let (_, text) = get(served.address, "/metrics").await;
            if wanted.iter().all(|(name, labels, wanted)| value(&text, name, labels) == Some(*wanted)) {
                return text;
            }
        }
    };
    let text = within(told).await;
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        assert!(text.contains(&format!("# HELP {name} ")), "{kind} {name}");
    }
    // How much a socket holds nobody knows; but each of the messages was sent or dropped, besides two that were read.
    let sent = value(&text, "channels_deliveries_total", consumer);
    let slow = value(&text, "channels_dropped_total", &dropped("cause=\"slow\""));
    assert_eq!(sent.zip(slow).map(|(sent, slow)| sent + slow), Some(MANY as f64 + 2.0));
    assert!(slow > Some(0.0), "{text}");
    let counts = stats.consumers().await["it::operations::Busy"];
    assert_eq!(Some((counts.deliveries as f64, counts.dropped_slow as f64)), sent.zip(slow));
    assert!(value(&text, "channels_waiting_bytes", worker) > Some(0.0), "{text}");
    drop(deaf);
    let lost = async {
        while value(&get(served.address, "/metrics").await.1, "channels_dropped_total", &dropped("cause=\"gone\""))
            <= Some(0.0)
        {}
    };
    within(lost).await;
}

#[tokio::test]
async fn events_that_waited_when_their_connection_ended_are_counted() {
    let gate = Arc::new(Semaphore::new(0));
    let busy = Busy { gate: gate.clone() };
    let routes = URLRouter::new([path("busy/", move || busy.clone())]).unwrap();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let server = Server::new(ProtocolTypeRouter::new().websocket(routes)).layers(layer.clone()).workers(1);
    let stats = server.stats();
    let served = serve(server);
    let mut client = served.connect("/busy/").await;
    client.send("wait").await;
    assert_eq!(client.text().await, "waiting");
    let note = async || layer.group_send("busy", event!({"type": "note"})).report().await.unwrap().delivered;
    assert_eq!(note().await, 1);
    drop(client);
    let mut waiting = 1;
    within(async {
        while note().await == 1 {
            waiting += 1;
            assert!(waiting < 100, "that is when it is full");
        }
    })
    .await;
    gate.add_permits(1);
    within(async { while stats.total().await.connections > 0 {} }).await;
    assert_eq!(stats.total().await.dropped_gone, waiting);
    assert_eq!(layer.dropped().gone, waiting + 1, "and the one that came too late");
}
