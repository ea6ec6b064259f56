//! Events and their handlers, between sockets.

mod groups;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
};

use channels::{InMemoryChannelLayer, Layer, event, prelude::*};
use serde::{Deserializer, Serializer, ser::SerializeStruct};

use crate::{
    logs,
    puppet::quiet_panics,
    raw::Raw,
    support::{Served, raise_file_limit, serve},
};

fn layer() -> Layer {
    Layer::new(InMemoryChannelLayer::default())
}

/// Serves a consumer on two threads.
fn serve_on_two<C: Consumer>(layer: &Layer, make: impl Fn() -> C + Send + Sync + 'static) -> Served {
    serve(Server::new(ProtocolTypeRouter::new().websocket(make)).layers(layer.clone()).workers(2))
}

/// An event that is never written or read: it does not leave this process.
struct Untouched {
    n: usize,
}

impl Event for Untouched {
    const NAME: &'static str = "untouched";
}

impl Serialize for Untouched {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("an event that stays in the process was serialized")
    }
}

impl<'de> Deserialize<'de> for Untouched {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("an event that stays in the process was deserialized")
    }
}

/// Which threads consumers ran on.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<HashSet<ThreadId>>>);

impl Threads {
    fn note(&self) {
        self.0.lock().expect("nobody panics here").insert(thread::current().id());
    }

    fn count(&self) -> usize {
        self.0.lock().expect("nobody panics here").len()
    }
}

struct Pure(Threads);

static PURE_RUNS: AtomicUsize = AtomicUsize::new(0);

#[consumer]
impl Consumer for Pure {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    async fn connect(&mut self, _: &mut Context) -> Result<()> {
        self.0.note();
        Ok(())
    }

    #[handler]
    fn untouched(event: &Untouched) -> Result<Message> {
        PURE_RUNS.fetch_add(1, Relaxed);
        Ok(event.n.to_string().into())
    }
}

#[tokio::test]
async fn a_pure_handler_runs_once_for_500_members_on_two_threads() {
    raise_file_limit();
    let (layer, threads) = (layer(), Threads::default());
    let server = serve_on_two(&layer, {
        let threads = threads.clone();
        move || Pure(threads.clone())
    });
    let mut members = Vec::new();
    for _ in 0..500 {
        members.push(Raw::open(server.address, "/").await);
    }
    assert_eq!(threads.count(), 2);
    for n in 0..3 {
        let report = layer.group_send("room", Untouched { n }).report().await.unwrap();
        assert_eq!((report.delivered, report.full, report.expired), (500, 0, 0));
    }
    for member in &mut members {
        for n in 0..3 {
            assert_eq!(member.text().await, n.to_string());
        }
    }
    assert_eq!(PURE_RUNS.load(Relaxed), 3);
}

/// Tells where in memory an event is.
struct Pointer(Threads);

#[consumer]
impl Consumer for Pointer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.0.note();
        cx.group_add("room").await?;
        Ok(())
    }

    #[handler]
    async fn untouched(&mut self, cx: &mut Context, event: &Untouched) -> Result<()> {
        cx.send(format!("{:p} {}", event, event.n))?;
        Ok(())
    }
}

#[tokio::test]
async fn a_typed_event_is_shared_by_all_members_and_never_serialized() {
    let (layer, threads) = (layer(), Threads::default());
    let server = serve_on_two(&layer, {
        let threads = threads.clone();
        move || Pointer(threads.clone())
    });
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(server.connect("/").await);
    }
    assert_eq!(threads.count(), 2);
    layer.group_send("room", Untouched { n: 7 }).await.unwrap();
    let first = members[0].text().await;
    assert!(first.ends_with(" 7"));
    for member in &mut members[1..] {
        assert_eq!(member.text().await, first, "another copy");
    }
}

/// Counts how often it is read.
struct Decoded {
    text: String,
}

static DECODED: AtomicUsize = AtomicUsize::new(0);

impl Event for Decoded {
    const NAME: &'static str = "decoded";
}

impl Serialize for Decoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Decoded", 1)?;
        fields.serialize_field("text", &self.text)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            text: String,
        }
        DECODED.fetch_add(1, Relaxed);
        Fields::deserialize(deserializer).map(|Fields { text }| Self { text })
    }
}

struct Reader;

#[consumer]
impl Consumer for Reader {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    #[handler]
    async fn decoded(&mut self, cx: &mut Context, event: &Decoded) -> Result<()> {
        cx.send(event.text.as_str())?;
        Ok(())
    }
}

#[tokio::test]
async fn an_untyped_event_is_decoded_once_for_all_members_on_two_threads() {
    let layer = layer();
    let server = serve_on_two(&layer, || Reader);
    let mut members = Vec::new();
    for _ in 0..40 {
        members.push(server.connect("/").await);
    }
    for text in ["one", "two"] {
        layer.group_send("room", event!({"type": "decoded", "text": text})).await.unwrap();
        for member in &mut members {
            assert_eq!(member.text().await, text);
        }
    }
    assert_eq!(DECODED.load(Relaxed), 2);
}

#[tokio::test]
async fn an_event_that_does_not_fit_its_handler_is_logged_once_with_its_field_and_closes_nobody() {
    logs::keep();
    let layer = layer();
    let server = serve_on_two(&layer, || Narrow);
    let mut members = Vec::new();
    for _ in 0..6 {
        members.push(server.connect("/").await);
    }
    for number in [serde_json::json!("seven"), 7.into()] {
        let event = event!({"type": "narrow", "number": number});
        assert_eq!(layer.group_send("room", event).report().await.unwrap().delivered, 6);
    }
    for member in &mut members {
        assert_eq!(member.text().await, "7");
    }
    let lines = logs::with(&["ERROR an event does not fit its handler", "events::Narrow", "event `narrow` is not a `"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("invalid type: string \"seven\", expected u8"), "{lines:?}");
}

#[derive(Serialize, Deserialize, Event)]
#[event("narrow")]
struct Number {
    number: u8,
}

struct Narrow;

#[consumer]
impl Consumer for Narrow {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    #[handler]
    async fn narrow(&mut self, cx: &mut Context, event: &Number) -> Result<()> {
        cx.send(event.number.to_string())?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event("typed.event")]
struct Typed {
    n: u8,
}

/// Handlers as people write them.
struct Names;

#[consumer]
impl Consumer for Names {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["names".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, text: Text) -> Result<()> {
        cx.send(format!("received {}", text.0))?;
        Ok(())
    }

    #[handler]
    async fn by_type(&mut self, cx: &mut Context, event: &Typed) -> Result<()> {
        cx.send(format!("by type {}", event.n))?;
        Ok(())
    }

    #[handler("xx.oo")]
    async fn by_name(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(format!("by name {}", event["n"]))?;
        Ok(())
    }

    #[handler]
    fn by_method(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(format!("by method {} {}", event.name(), event["n"]))?;
        Ok(())
    }
}

#[tokio::test]
async fn an_event_finds_its_handler_by_its_type_its_name_or_the_methods_name() {
    let layer = layer();
    let server = serve_on_two(&layer, || Names);
    let mut member = server.connect("/").await;
    layer.group_send("names", Typed { n: 1 }).await.unwrap();
    layer.group_send("names", event!({"type": "typed.event", "n": 2})).await.unwrap();
    layer.group_send("names", event!({"type": "xx_oo", "n": 3})).await.unwrap();
    layer.group_send("names", event!({"type": "xx.oo", "n": 4})).await.unwrap();
    layer.group_send("names", event!({"type": "by.method", "n": 5})).await.unwrap();
    for text in ["by type 1", "by type 2", "by name 3", "by name 4", "by method by.method 5"] {
        assert_eq!(member.text().await, text);
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_is_logged_once_for_its_type_and_changes_nothing() {
    logs::keep();
    let layer = layer();
    let server = serve_on_two(&layer, || Names);
    let mut members = [server.connect("/").await, server.connect("/").await];
    // The names of hooks, and of a method that answers to another name, are names that nobody handles.
    let names = ["nobodys.event", "receive", "disconnect", "by.type"];
    for _ in 0..3 {
        for name in names {
            let report = layer.group_send("names", event!({"type": name, "n": 1})).report().await.unwrap();
            assert_eq!(report.delivered, 2);
        }
    }
    layer.group_send("names", Typed { n: 1 }).await.unwrap();
    for member in &mut members {
        assert_eq!(member.text().await, "by type 1");
        member.send("hello").await;
        assert_eq!(member.text().await, "received hello");
    }
    for name in names {
        let mut lines = logs::with(&["WARN", "no handler for this event", "events::Names"]);
        lines.retain(|line| line.split(' ').any(|word| word == format!("event={name}")));
        assert_eq!(lines.len(), 1, "{name}");
    }
}

/// Pure handlers and others, side by side.
struct Mixed;

#[consumer]
impl Consumer for Mixed {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["mixed".to_owned()]
    }

    /// What it says to the group waits until it has said all of it.
    async fn receive(&mut self, cx: &mut Context, _: Text) -> Result<()> {
        cx.group_send("mixed", event!({"type": "slow", "n": 1})).await?;
        cx.group_send("mixed", event!({"type": "failing", "how": "late"})).await?;
        Ok(())
    }

    #[handler]
    async fn slow(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        // The others are on their way meanwhile.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        cx.send(format!("slow {}", event["n"]))?;
        Ok(())
    }

    #[handler]
    fn pure(event: &RawEvent) -> Result<Message> {
        Ok(format!("pure {}", event["n"]).into())
    }

    #[handler]
    fn failing(event: &RawEvent) -> Result<Message> {
        match event["how"].as_str() {
            Some("panic") => panic!("on purpose"),
            Some("error") => Err(channels::Error::msg("on purpose")),
            _ => Err(channels::Error::msg("it came late")),
        }
    }
}

#[tokio::test]
async fn events_of_one_sender_keep_their_order_whatever_handles_them() {
    let layer = layer();
    let server = serve_on_two(&layer, || Mixed);
    let mut members = [server.connect("/").await, server.connect("/").await];
    let kinds = ["slow", "pure", "pure", "slow", "pure", "slow", "slow", "pure"];
    for round in 0..10 {
        for (n, kind) in kinds.iter().enumerate() {
            let report = layer.group_send("mixed", event!({"type": *kind, "n": n})).report().await.unwrap();
            assert_eq!(report.delivered, 2);
        }
        for member in &mut members {
            for (n, kind) in kinds.iter().enumerate() {
                assert_eq!(member.text().await, format!("{kind} {n}"), "round {round}");
            }
        }
    }
}

#[tokio::test]
async fn a_pure_handler_that_fails_for_an_event_that_waited_is_counted() {
    quiet_panics();
    let layer = layer();
    let server = serve_on_two(&layer, || Mixed);
    let mut member = server.connect("/").await;
    member.send("go on").await;
    assert_eq!(member.text().await, "slow 1");
    layer.group_send("mixed", event!({"type": "slow", "n": 2})).await.unwrap();
    assert_eq!(member.text().await, "slow 2");
    assert_eq!(layer.dropped().gone, 1);
}

#[tokio::test]
async fn a_pure_handler_that_fails_is_logged_once_and_harms_no_member() {
    logs::keep();
    quiet_panics();
    let layer = layer();
    let server = Server::new(ProtocolTypeRouter::new().websocket(|| Mixed)).layers(layer.clone()).workers(1);
    let stats = server.stats();
    let server = serve(server);
    let mut members = Vec::new();
    for _ in 0..6 {
        members.push(server.connect("/").await);
    }
    for how in ["error", "panic"] {
        let report = layer.group_send("mixed", event!({"type": "failing", "how": how})).report().await.unwrap();
        assert_eq!((report.delivered, report.full), (0, 0));
    }
    layer.group_send("mixed", event!({"type": "pure", "n": 1})).await.unwrap();
    for member in &mut members {
        assert_eq!(member.text().await, "pure 1");
    }
    assert_eq!(logs::with(&["a pure handler failed", "events::Mixed", "failing", "on purpose"]).len(), 2);
    assert_eq!(stats.total().await.failures, 2);
}
