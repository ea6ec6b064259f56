//! Events between sockets: handlers, groups over several threads, and the layer from outside.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context as Task, Poll, Wake, Waker},
    thread::{self, Thread, ThreadId},
    time::Duration,
};

use channels::{InMemoryChannelLayer, Layer, LayerError, event, prelude::*};
use serde::{Deserializer, Serializer, ser::SerializeStruct};

use crate::{
    logs,
    puppet::{Strings, quiet_panics},
    raw::Raw,
    support::{Served, Socket, raise_file_limit, serve, within},
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
        if event["how"] == "panic" {
            panic!("on purpose");
        }
        Err(channels::Error::msg("on purpose"))
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
async fn a_pure_handler_that_fails_is_logged_once_and_harms_no_member() {
    logs::keep();
    quiet_panics();
    let layer = layer();
    let server = serve_on_two(&layer, || Mixed);
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
}

/// Joins and leaves groups, and speaks to others, as it is told.
struct Guest(Threads);

#[consumer]
impl Consumer for Guest {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.0.note();
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match verb {
            "join" => cx.group_add(rest).await?,
            "leave" => cx.group_discard(rest).await?,
            "tell" => {
                let (group, what) = rest.split_once(' ').unwrap_or((rest, ""));
                let report = cx.group_send(group, event!({"type": "said", "what": what})).report().await?;
                return cx.send(format!("told {}", report.delivered));
            }
            "whisper" => {
                let (channel, what) = rest.split_once(' ').unwrap_or((rest, ""));
                cx.send_to(channel, event!({"type": "said", "what": what})).await?;
            }
            _ => {}
        }
        let groups: Vec<_> = cx.groups().iter().map(|group| group.as_str()).collect();
        cx.send(format!("in {}", groups.join(" ")))?;
        Ok(())
    }

    #[handler]
    async fn said(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(format!("heard {}", event.get::<String>("what").unwrap_or_default()))?;
        Ok(())
    }
}

/// Two guests on two threads, and their names.
async fn two_guests(layer: &Layer) -> (Served, [(Socket, String); 2]) {
    let threads = Threads::default();
    let server = serve_on_two(layer, {
        let threads = threads.clone();
        move || Guest(threads.clone())
    });
    let mut guests = Vec::new();
    for _ in 0..2 {
        let mut guest = server.connect("/").await;
        let name = guest.text().await;
        guests.push((guest, name));
    }
    while threads.count() < 2 {
        let mut guest = server.connect("/").await;
        let name = guest.text().await;
        guests[1] = (guest, name);
    }
    let Ok(guests) = guests.try_into() else { unreachable!("two were made") };
    (server, guests)
}

#[tokio::test]
async fn groups_reach_over_threads_and_are_left_one_by_one() {
    let layer = layer();
    let (_server, [(mut a, _), (mut b, _)]) = two_guests(&layer).await;
    for guest in [&mut a, &mut b] {
        guest.send("join blue").await;
        assert_eq!(guest.text().await, "in blue");
    }
    a.send("join green").await;
    assert_eq!(a.text().await, "in blue green");
    a.send("join green").await;
    assert_eq!(a.text().await, "in blue green", "joining twice is being a member once");

    a.send("tell blue hello").await;
    assert_eq!(b.text().await, "heard hello");
    let mut both = [a.text().await, a.text().await];
    both.sort();
    assert_eq!(both, ["heard hello", "told 2"]);

    b.send("tell green to you").await;
    assert_eq!(b.text().await, "told 1");
    assert_eq!(a.text().await, "heard to you");

    a.send("leave blue").await;
    assert_eq!(a.text().await, "in green");
    a.send("leave blue").await;
    assert_eq!(a.text().await, "in green", "leaving twice is no error");
    b.send("tell blue anybody?").await;
    let mut both = [b.text().await, b.text().await];
    both.sort();
    assert_eq!(both, ["heard anybody?", "told 1"]);
    a.send("").await;
    assert_eq!(a.text().await, "in green", "nothing came from a group that it left");
}

#[tokio::test]
async fn a_channel_is_reached_by_its_name_from_another_thread_until_it_ends() {
    let layer = layer();
    let (_server, [(mut a, a_name), (mut b, b_name)]) = two_guests(&layer).await;
    assert_ne!(a_name, b_name);
    a.send(format!("whisper {b_name} psst")).await;
    assert_eq!(a.text().await, "in ");
    assert_eq!(b.text().await, "heard psst");
    b.send(format!("whisper {b_name} to myself")).await;
    let mut both = [b.text().await, b.text().await];
    both.sort();
    assert_eq!(both, ["heard to myself", "in "]);

    b.0.close(None).await.unwrap();
    b.closed().await;
    a.send(format!("whisper {b_name} still there?")).await;
    assert_eq!(a.text().await, "in ", "that nobody is there any more is no error");
    assert_eq!(layer.dropped().gone, 1);
}

#[tokio::test]
async fn a_report_counts_the_delivered_the_full_and_the_expired() {
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(1).group_expiry(Duration::ZERO));
    let mut strings = Strings::new();
    let server = serve(strings.server(&layer).workers(2));
    let mut busy = server.connect("/?name=busy").await;
    busy.send("wait").await;
    while strings.told().await != "busy waits" {}
    let _idle = [server.connect("/").await, server.connect("/").await];
    layer.group_add("room", "thumbnails").await.unwrap();

    let say = event!({"type": "puppet.do", "what": "say hello"});
    let report = layer.group_send("room", say.clone()).report().await.unwrap();
    assert_eq!((report.delivered, report.full, report.expired), (3, 0, 1), "the first fits into the queue");
    let mut heard = _idle;
    for idle in &mut heard {
        assert_eq!(idle.text().await, "hello");
    }
    let report = layer.group_send("room", say).report().await.unwrap();
    assert_eq!((report.delivered, report.full, report.expired), (2, 1, 0), "who has expired is no member any more");
    assert_eq!(layer.group_send("nobodys-room", event!({"type": "x"})).report().await.unwrap(), Default::default());
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Task::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test]
async fn a_layer_works_from_a_thread_without_any_runtime() {
    let layer = layer();
    let (_server, [(mut a, a_name), (mut b, _)]) = two_guests(&layer).await;
    let plain = thread::spawn({
        let layer = layer.clone();
        move || {
            block_on(async {
                layer.group_add("staff", a_name.as_str()).await?;
                let report =
                    layer.group_send("staff", event!({"type": "said", "what": "from outside"})).report().await?;
                assert_eq!(report.delivered, 1);
                assert_eq!(layer.group_size("staff").await?, 1);
                assert_eq!(layer.group_channels("staff").await?, [a_name.as_str()]);
                layer.send(a_name.as_str(), event!({"type": "said", "what": "to you"})).await.unwrap();
                layer.group_discard("staff", a_name.as_str()).await?;
                assert_eq!(layer.group_size("staff").await?, 0);
                Ok::<_, LayerError>(())
            })
        }
    });
    assert_eq!(a.text().await, "heard from outside");
    assert_eq!(a.text().await, "heard to you");
    tokio::task::spawn_blocking(|| plain.join()).await.unwrap().unwrap().unwrap();
    b.send("").await;
    assert_eq!(b.text().await, "in ");
}

#[tokio::test]
async fn a_layer_outlives_the_threads_of_its_server() {
    let layer = layer();
    let strings = Strings::new();
    let server = serve(strings.server(&layer).workers(2));
    let mut client = server.connect("/").await;
    let stopped = server.stop();
    assert_eq!(client.closed().await.0, 1012);
    stopped.await;
    let report = within(layer.group_send("room", event!({"type": "x"})).report()).await.unwrap();
    assert_eq!((report.delivered, layer.group_size("room").await.unwrap()), (0, 0));

    let server = serve(strings.server(&layer).workers(2));
    let mut client = server.connect("/").await;
    layer.group_send("room", event!({"type": "puppet.do", "what": "say again"})).await.unwrap();
    assert_eq!(client.text().await, "again");
}
