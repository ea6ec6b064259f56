//! Channel layers: what is sent arrives once, in order, in time, and at those it is meant for.

mod aliases;
mod crowd;
mod threads;

use std::{sync::Arc, thread, time::Duration};

use channels::{
    ChannelName, GroupReport, InMemoryChannelLayer, Layer, event,
    layer::{CapacityPattern, Dropped},
    prelude::*,
    testing::WebsocketCommunicator,
};
use futures_util::FutureExt;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::yield_now,
    time::advance,
};

use crate::support::{DEADLINE, within};

/// What every layer promises.
mod promises {
    use channels::{InMemoryChannelLayer, Layer, layer::Limits, testing::suite::Subject};

    fn in_memory(limits: Limits) -> Subject {
        let layer = Layer::new(InMemoryChannelLayer::new(limits));
        Subject::new(layer.clone(), layer)
    }

    channels::layer_suite!(in_memory);
}

const SECOND: Duration = Duration::from_secs(1);
const NOTHING: [usize; 0] = [];

/// A layer whose channels hold three events, as in Channels' own tests.
fn small() -> Layer {
    Layer::new(InMemoryChannelLayer::default().capacity(3))
}

fn numbered(n: usize) -> RawEvent {
    event!({"type": "numbered", "n": n})
}

/// The number of the next event on a channel.
async fn next(layer: &Layer, channel: &str) -> usize {
    let event = within(layer.receive(channel)).await.expect("the name is one");
    event.decode::<RawEvent>().expect("it is untyped").get("n").expect("it has a number")
}

/// The numbers of the events that wait on a channel.
async fn waiting(layer: &Layer, channel: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(event) = layer.receive(channel).now_or_never() {
        let event = event.expect("the name is one");
        numbers.push(event.decode::<RawEvent>().expect("it is untyped").get("n").expect("it has a number"));
    }
    numbers
}

fn report(delivered: usize, full: usize, expired: usize) -> GroupReport {
    let mut report = GroupReport::default();
    (report.delivered, report.full, report.expired) = (delivered, full, expired);
    report
}

fn dropped(full: u64, expired: u64, gone: u64) -> Dropped {
    let mut dropped = Dropped::default();
    (dropped.full, dropped.expired, dropped.gone) = (full, expired, gone);
    dropped
}

fn sorted(channels: Vec<ChannelName>) -> Vec<String> {
    let mut names: Vec<_> = channels.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Runs a future on a thread that knows nothing of actix.
fn outside<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it starts").block_on(future)
}

/// A connection that does what its client's texts say, and tells what it does.
#[derive(Clone)]
struct Member {
    gate: Arc<Semaphore>,
}

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        match text.split_once(' ') {
            Some(("join", group)) => cx.group_add(group).await?,
            Some(("leave", group)) => cx.group_discard(group).await?,
            _ => {
                cx.send("waits")?;
                self.gate.acquire().await?.forget();
            }
        }
        cx.send(format!("did {text}"))?;
        Ok(())
    }

    #[handler]
    async fn numbered(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event["n"].to_string())?;
        Ok(())
    }
}

/// The client of a [`Member`].
struct Client {
    channel: String,
    gate: Arc<Semaphore>,
    socket: WebsocketCommunicator,
}

impl Client {
    async fn new(layer: &Layer) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let member = Member { gate: gate.clone() };
        let mut socket =
            WebsocketCommunicator::new(move || member.clone(), "/").layers(layer.clone()).timeout(DEADLINE);
        assert!(socket.connect().await.expect("it is answered").accepted);
        let channel = socket.receive_text_from().await.expect("it tells its channel");
        Self { channel, gate, socket }
    }

    async fn told(&mut self) -> String {
        self.socket.receive_text_from().await.expect("it tells something")
    }

    /// Has it do something to the end.
    async fn does(&mut self, what: &str) {
        self.socket.send_to(what).await.expect("it is connected");
        assert_eq!(self.told().await, format!("did {what}"));
    }

    /// Keeps it busy until it is [let go](Self::let_go).
    async fn hold(&mut self) {
        self.socket.send_to("wait").await.expect("it is connected");
        assert_eq!(self.told().await, "waits");
    }

    async fn let_go(&mut self) {
        self.gate.add_permits(1);
        assert_eq!(self.told().await, "did wait");
    }
}

// test_layers: send_receive. What is sent as a Rust type is lent as it is, and so need not be compared field by field.
#[tokio::test]
async fn a_typed_event_is_received_as_the_same_value() {
    #[derive(Serialize, Deserialize, Event)]
    #[event("test.message")]
    struct TestMessage {
        text: String,
    }

    let layer = small();
    let text = "Ahoy-hoy!".to_owned();
    let address = text.as_ptr();
    layer.send("test.channel", TestMessage { text }).await.unwrap();
    let event = within(layer.receive("test.channel")).await.unwrap();
    assert_eq!(event.decode::<TestMessage>().unwrap().text.as_ptr(), address);
    assert_eq!(event.decode::<RawEvent>().unwrap()["text"], "Ahoy-hoy!");
}

// test_inmemorychannel: race_empty. There the queue is deleted under the receiver; here another receiver that gives up, a
// flush and the clean-up of expired mail are what may remove a queue.
#[tokio::test(start_paused = true)]
async fn one_who_waits_is_served_whatever_becomes_of_the_queue() {
    let layer = small();
    let mut waits = Box::pin(layer.receive("test-channel-1"));
    assert!((&mut waits).now_or_never().is_none());

    let mut gives_up = Box::pin(layer.receive("test-channel-1"));
    assert!((&mut gives_up).now_or_never().is_none());
    drop(gives_up);
    layer.flush().await.unwrap();
    layer.send("test-channel-2", numbered(1)).await.unwrap();
    advance(SECOND * 60).await;
    layer.send("test-channel-2", numbered(2)).await.unwrap();
    assert_eq!(layer.dropped().expired, 1);

    layer.send("test-channel-1", numbered(3)).await.unwrap();
    let event = within(waits).await.unwrap();
    assert_eq!(event.decode::<RawEvent>().unwrap()["n"], 3);
}

// test_inmemorychannel: send_capacity, groups_channel_full, for connections
#[channels::actix_web::test]
async fn a_connection_that_is_busy_holds_as_much_as_a_channel() {
    let layer = small();
    let mut busy = Client::new(&layer).await;
    let mut idle = Client::new(&layer).await;
    busy.does("join room").await;
    idle.does("join room").await;
    busy.hold().await;
    for n in 0..3 {
        assert_eq!(layer.group_send("room", numbered(n)).report().await.unwrap(), report(2, 0, 0));
        assert_eq!(idle.told().await, n.to_string());
    }
    assert_eq!(layer.group_send("room", numbered(3)).report().await.unwrap(), report(1, 1, 0));
    assert_eq!(idle.told().await, "3");
    let error = layer.send(&busy.channel, numbered(4)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("channel \"{}\" is full (3 messages)", busy.channel));
    assert_eq!(layer.dropped(), dropped(2, 0, 0));

    busy.let_go().await;
    for n in 0..3 {
        assert_eq!(busy.told().await, n.to_string());
    }
    layer.send(&busy.channel, numbered(5)).await.unwrap();
    assert_eq!(busy.told().await, "5");
}

// channels_redis test_core: send_specific_capacity
#[channels::actix_web::test]
async fn the_first_pattern_that_fits_says_how_much_a_channel_holds() {
    let regex = CapacityPattern::regex("numbers[.][0-9]+$").unwrap();
    let glob = |text: &str| text.parse::<CapacityPattern>().unwrap();
    let layer = Layer::new(
        InMemoryChannelLayer::default()
            .capacity(4)
            .channel_capacity(glob("mail.urgent"), 3)
            .channel_capacity(glob("mail.*"), 1)
            .channel_capacity(regex, 2)
            .channel_capacity(glob("specific.*"), 0),
    );
    for (channel, capacity) in [
        ("mail.urgent", 3),
        ("mail.slow", 1),
        ("mail", 4),
        ("numbers.7", 2),
        ("numbers.x", 4),
        ("my.numbers.7", 4),
        ("other", 4),
    ] {
        for n in 0..capacity {
            layer.send(channel, numbered(n)).await.unwrap();
        }
        let error = layer.send(channel, numbered(capacity)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("channel \"{channel}\" is full ({capacity} messages)"));
    }
    // A connection is a channel, too; `specific.` is what their names start with.
    let member = Client::new(&layer).await;
    let error = layer.send(&member.channel, numbered(0)).await.unwrap_err();
    assert!(error.to_string().ends_with("is full (0 messages)"), "{error}");
}

// test_inmemorychannel: multi_send_receive, for those who wait before anything is sent
#[tokio::test]
async fn those_who_wait_on_one_channel_share_its_events() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let receivers = (0..4).map(|_| {
        let layer = layer.clone();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..25 {
                numbers.push(next(&layer, "shared").await);
                yield_now().await;
            }
            numbers
        })
    });
    let receivers: Vec<_> = receivers.collect();
    yield_now().await;
    for n in 0..100 {
        within(async {
            while layer.send("shared", numbered(n)).await.is_err() {
                yield_now().await;
            }
        })
        .await;
    }
    let mut all = Vec::new();
    for receiver in receivers {
        let numbers = within(receiver).await.unwrap();
        assert!(numbers.is_sorted(), "{numbers:?}");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
}

// test_inmemorychannel: groups_basic, for connections
#[channels::actix_web::test]
async fn connections_and_named_channels_are_members_alike() {
    let layer = small();
    let (mut first, mut second) = (Client::new(&layer).await, Client::new(&layer).await);
    layer.group_add("room", "log").await.unwrap();
    first.does("join room").await;
    first.does("join room").await;
    // Somebody else may add a connection, too.
    layer.group_add("room", &second.channel).await.unwrap();

    let everybody = sorted(layer.group_channels("room").await.unwrap());
    let mut expected = vec![first.channel.clone(), second.channel.clone(), "log".to_owned()];
    expected.sort();
    assert_eq!(everybody, expected);
    assert_eq!(layer.group_size("room").await.unwrap(), 3);
    assert_eq!(layer.group_size("no-room").await.unwrap(), 0);
    assert!(layer.group_channels("no-room").await.unwrap().is_empty());

    assert_eq!(layer.group_send("room", numbered(1)).report().await.unwrap(), report(3, 0, 0));
    assert_eq!((first.told().await.as_str(), second.told().await.as_str()), ("1", "1"));
    first.does("leave room").await;
    first.does("leave room").await;
    assert_eq!(layer.group_send("room", numbered(2)).report().await.unwrap(), report(2, 0, 0));
    assert_eq!(second.told().await, "2");
    assert!(first.socket.receive_nothing().await);

    second.socket.disconnect(1000).await.unwrap();
    assert_eq!(layer.group_send("room", numbered(3)).report().await.unwrap(), report(1, 0, 0));
    assert_eq!(waiting(&layer, "log").await, [1, 2, 3]);
    layer.group_discard("room", "log").await.unwrap();
    assert_eq!(layer.group_size("room").await.unwrap(), 0);
}

// test_inmemorychannel: expiry_single
#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_takes_in_time_is_gone() {
    let layer = Layer::new(InMemoryChannelLayer::default().expiry(SECOND));
    layer.send("test-channel-1", numbered(1)).await.unwrap();
    layer.send("test-channel-2", numbered(2)).await.unwrap();
    advance(SECOND - Duration::from_millis(1)).await;
    assert_eq!(waiting(&layer, "test-channel-1").await, [1]);
    advance(Duration::from_millis(1)).await;
    assert_eq!(waiting(&layer, "test-channel-2").await, NOTHING);
    assert_eq!(layer.dropped(), dropped(0, 1, 0));
}

// test_inmemorychannel: expiry_unread
#[tokio::test(start_paused = true)]
async fn traffic_on_one_channel_cleans_up_the_mail_that_nobody_reads_on_another() {
    let layer = Layer::new(InMemoryChannelLayer::default().expiry(SECOND));
    for channel in ["test-channel-1", "test-channel-2", "test-channel-3"] {
        layer.send(channel, numbered(1)).await.unwrap();
    }
    advance(SECOND).await;
    layer.send("test-channel-4", numbered(2)).await.unwrap();
    assert_eq!(layer.dropped(), dropped(0, 3, 0));
    assert_eq!(waiting(&layer, "test-channel-4").await, [2]);
}

// test_inmemorychannel: expiry_multi
#[tokio::test(start_paused = true)]
async fn only_the_old_events_of_a_channel_expire() {
    let layer = Layer::new(InMemoryChannelLayer::default().expiry(SECOND).capacity(3));
    for n in 1..=3 {
        layer.send("test-channel-1", numbered(n)).await.unwrap();
    }
    assert_eq!(next(&layer, "test-channel-1").await, 1);
    advance(SECOND / 2).await;
    layer.send("test-channel-1", numbered(4)).await.unwrap();
    advance(SECOND / 2).await;
    // The expired ones are out of the way, too: there is room again.
    for n in [5, 6] {
        layer.send("test-channel-1", numbered(n)).await.unwrap();
    }
    assert_eq!(waiting(&layer, "test-channel-1").await, [4, 5, 6]);
    assert_eq!(layer.dropped(), dropped(0, 2, 0));
}

// test_inmemorychannel: expiry_single, expiry_multi, for connections
#[channels::actix_web::test]
async fn a_connection_that_was_busy_for_too_long_is_spared_the_old_events() {
    tokio::time::pause();
    let layer = Layer::new(InMemoryChannelLayer::default().expiry(SECOND));
    let mut member = Client::new(&layer).await;
    member.hold().await;
    layer.send(&member.channel, numbered(1)).await.unwrap();
    layer.send(&member.channel, numbered(2)).await.unwrap();
    advance(SECOND / 2).await;
    layer.send(&member.channel, numbered(3)).await.unwrap();
    advance(SECOND / 2).await;
    member.let_go().await;
    assert_eq!(member.told().await, "3");
    assert_eq!(layer.dropped(), dropped(0, 2, 0));
}

// test_inmemorychannel: groups_basic (the layer's `group_expiry`)
#[channels::actix_web::test]
async fn a_named_channel_leaves_its_groups_after_a_while_and_a_connection_stays() {
    tokio::time::pause();
    let layer = Layer::new(InMemoryChannelLayer::default().group_expiry(SECOND * 10));
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    layer.group_add("room", "forgotten").await.unwrap();
    layer.group_add("room", "renewed").await.unwrap();
    advance(SECOND * 5).await;
    layer.group_add("room", "renewed").await.unwrap();
    assert_eq!(layer.group_size("room").await.unwrap(), 3);
    advance(SECOND * 5).await;
    assert_eq!(layer.group_size("room").await.unwrap(), 2);
    assert!(!sorted(layer.group_channels("room").await.unwrap()).contains(&"forgotten".to_owned()));

    assert_eq!(layer.group_send("room", numbered(1)).report().await.unwrap(), report(2, 0, 1));
    assert_eq!(layer.group_send("room", numbered(2)).report().await.unwrap(), report(2, 0, 0));
    assert_eq!(waiting(&layer, "renewed").await, [1, 2]);
    assert_eq!(waiting(&layer, "forgotten").await, NOTHING);
    assert_eq!((member.told().await.as_str(), member.told().await.as_str()), ("1", "2"));
}

// test_inmemorychannel (its fixture flushes after each test)
#[channels::actix_web::test]
async fn a_flushed_layer_has_forgotten_groups_and_events_but_keeps_its_connections() {
    let layer = small();
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    layer.group_add("room", "log").await.unwrap();
    layer.send("log", numbered(1)).await.unwrap();
    member.hold().await;
    layer.send(&member.channel, numbered(1)).await.unwrap();

    layer.flush().await.unwrap();
    assert_eq!(layer.group_size("room").await.unwrap(), 0);
    assert_eq!(layer.group_send("room", numbered(2)).report().await.unwrap(), report(0, 0, 0));
    assert_eq!(waiting(&layer, "log").await, NOTHING);

    member.let_go().await;
    layer.send(&member.channel, numbered(3)).await.unwrap();
    assert_eq!(member.told().await, "3");
    member.does("join room").await;
    assert_eq!(layer.group_send("room", numbered(4)).report().await.unwrap(), report(1, 0, 0));
    assert_eq!(member.told().await, "4");
}

// Ours: a group that is joined while the layer is flushed from another thread is either forgotten or joined, not between.
#[channels::actix_web::test]
async fn who_joins_after_a_flush_is_reached_whoever_joined_during_it() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (first, second) = (Client::new(&layer).await, Client::new(&layer).await);
    let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let flushed = layer.clone();
    let flusher = thread::spawn(move || {
        outside(async {
            while let Some(answer) = asked.recv().await {
                flushed.flush().await.expect("it can");
                let _ = answer.send(());
            }
        });
    });
    for _ in 0..100 {
        let (answer, mut answered) = oneshot::channel();
        ask.send(answer).expect("the flusher runs");
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while answered.try_recv().is_err() {
            assert!(tokio::time::Instant::now() < deadline, "a flush ends");
            layer.group_discard("room", &first.channel).await.unwrap();
            layer.group_add("room", &first.channel).await.unwrap();
            yield_now().await;
        }
        layer.group_add("room", &second.channel).await.unwrap();
        let members = layer.group_size("room").await.unwrap();
        assert!(sorted(layer.group_channels("room").await.unwrap()).contains(&second.channel));
        assert_eq!(layer.group_send("room", numbered(0)).report().await.unwrap().delivered, members);
        // Both sides of the index agree again when the group is empty.
        layer.group_discard("room", &first.channel).await.unwrap();
        layer.group_discard("room", &second.channel).await.unwrap();
    }
    drop(ask);
    flusher.join().unwrap();
}

// Ours: what is sent to a connection that has ended is counted.
#[channels::actix_web::test]
async fn what_is_sent_to_a_connection_that_has_ended_is_counted_and_no_error() {
    let layer = small();
    let mut member = Client::new(&layer).await;
    member.does("join room").await;
    let channel = member.channel.clone();
    member.hold().await;
    layer.send(&channel, numbered(1)).await.unwrap();
    let go_on = async {
        yield_now().await;
        member.gate.add_permits(1);
    };
    let (ended, ()) = tokio::join!(member.socket.vanish(), go_on);
    ended.unwrap();
    assert_eq!(layer.dropped(), dropped(0, 0, 1), "it had not come to this event");

    layer.send(&channel, numbered(2)).await.unwrap();
    layer.group_add("room", &channel).await.unwrap();
    assert_eq!(layer.group_send("room", numbered(3)).report().await.unwrap(), report(0, 0, 0));
    assert_eq!(layer.dropped(), dropped(0, 0, 2));

    // The next one gets the place, not the mail.
    let mut next = Client::new(&layer).await;
    assert_ne!(next.channel, channel);
    layer.send(&channel, numbered(4)).await.unwrap();
    layer.send(&next.channel, numbered(5)).await.unwrap();
    assert_eq!(next.told().await, "5");
}
