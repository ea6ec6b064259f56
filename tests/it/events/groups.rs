//! Groups over several threads, and the layer from outside.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use channels::{InMemoryChannelLayer, Layer, LayerError, event, prelude::*};

use super::{Threads, layer, serve_on_two};
use crate::{
    puppet::Strings,
    support::{Served, Socket, serve, within},
};

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
