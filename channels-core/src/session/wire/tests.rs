//! What goes over a socket, write by write: on a pair of sockets of the kernel's, where one that keeps records tells its
//! reader what was written at once.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use futures_util::future::join_all;
use socket2::{Domain, Type};
use tokio::{io::AsyncReadExt, net::UnixStream, sync::oneshot, time::timeout};

use super::*;
use crate::{
    Config, Message, RawEvent,
    event::IntoEvent,
    layer::{GroupName, Hub, Limits, Seat},
    server::SlowClient,
    session::{
        Class, Counts, live_on_wire,
        nobody::{self, class},
    },
};

const HEAD: &[u8] = b"the answer to the handshake";
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const TEXT: u8 = 0x81;

/// A consumer's type whose pure handler says the name of the event.
fn pure() -> Class {
    Class { render: |event| Some(Ok(Message::from(event.name()))), ..class() }
}

fn open_port(class: Class) -> Rc<Port> {
    bounded_port(class, usize::MAX, SlowClient::DropNewest)
}

fn bounded_port(class: Class, max_waiting_bytes: usize, slow_client: SlowClient) -> Rc<Port> {
    nobody::open_port(Config { max_waiting_bytes, slow_client, ..Config::default() }, class)
}

/// Gives a port a socket of this type that the event loop knows to be writable, and returns the client's end.
async fn plug(port: &Rc<Port>, kind: Type, flusher: &Flusher) -> UnixStream {
    let (server, client) = socket2::Socket::pair(Domain::UNIX, kind, None).unwrap();
    let stream = |socket: socket2::Socket| {
        socket.set_nonblocking(true).unwrap();
        UnixStream::from_std(StdStream::from(OwnedFd::from(socket))).unwrap()
    };
    let server = stream(server);
    server.writable().await.unwrap();
    port.plug(Wire::new(server.into(), Bytes::from_static(HEAD), Encoder::Plain, flusher.clone()));
    stream(client)
}

/// One record: what one write has written.
async fn written_at_once(client: &mut UnixStream) -> Vec<u8> {
    let mut record = vec![0; 1 << 20];
    let length = within(client.read(&mut record)).await.unwrap();
    record.truncate(length);
    record
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(std::time::Duration::from_secs(20), future).await.expect("nothing happens")
}

/// The first byte and the payload of each frame; what is not whole is left out.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    for (length, _) in frames_in(bytes).collect::<Vec<_>>() {
        let (frame, rest) = bytes.split_at(length);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        frames.push((frame[0], &frame[header..]));
        bytes = rest;
    }
    frames
}

fn counts(port: &Port) -> Counts {
    let mut counts = Counts::default();
    port.stats.count(|now| counts = *now);
    counts
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn messages_of_one_turn_leave_in_one_write_whatever_their_size() {
    crate::run(async {
        let flusher = Flusher::start();
        for size in [5, SMALL + 1] {
            let port = open_port(class());
            let mut client = plug(&port, Type::SEQPACKET, &flusher).await;
            assert_eq!(written_at_once(&mut client).await, HEAD);
            let messages: Vec<_> = "abcdefg".chars().map(|letter| letter.to_string().repeat(size)).collect();
            messages.iter().for_each(|message| port.send(message.into()).unwrap());
            let written = written_at_once(&mut client).await;
            let wanted: Vec<_> = messages.iter().map(|message| (TEXT, message.as_bytes())).collect();
            assert_eq!(frames(&written), wanted);
        }
    });
}

#[test]
fn group_messages_of_one_turn_are_one_write_to_each_member_and_wake_no_session_if_their_handler_is_pure() {
    crate::run(async {
        let (hub, flusher, wakes) = (Hub::new(Limits::default()), Flusher::start(), Arc::new(Wakes::default()));
        let mut members = crowd(&hub, pure(), &wakes).await;
        let plugged = members.iter().map(|(port, _)| plug(port, Type::SEQPACKET, &flusher));
        let mut clients = join_all(plugged).await;
        for client in &mut clients {
            assert_eq!(written_at_once(client).await, HEAD);
        }
        say(&hub, &["one", "two", "three"]).await;
        for client in &mut clients {
            let written = written_at_once(client).await;
            assert_eq!(frames(&written), [(TEXT, &b"one"[..]), (TEXT, b"two"), (TEXT, b"three")]);
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        members.clear();
    });
}

#[test]
fn group_messages_of_one_turn_wake_each_session_once() {
    crate::run(async {
        let (hub, wakes) = (Hub::new(Limits::default()), Arc::new(Wakes::default()));
        let members = crowd(&hub, class(), &wakes).await;
        say(&hub, &["one", "two", "three"]).await;
        assert!(members.iter().all(|(port, _)| port.waiting_events() == 3));
        assert_eq!(wakes.0.load(Ordering::Relaxed), members.len());
    });
}

/// Ten members of a group, whose sessions wait.
async fn crowd(hub: &Hub, class: Class, wakes: &Arc<Wakes>) -> Vec<(Rc<Port>, Seat)> {
    let mut members = Vec::new();
    for _ in 0..10 {
        let port = open_port(class);
        port.register_session(&wakes.clone().into());
        let seat = hub.sit_down(port.clone());
        hub.group_add(&group(), seat.name()).await;
        members.push((port, seat));
    }
    members
}

fn group() -> GroupName {
    GroupName::new("room").unwrap()
}

async fn say(hub: &Hub, events: &[&str]) {
    for event in events {
        let event = RawEvent::new(*event, serde_json::Map::new()).unwrap().into_event().unwrap();
        hub.group_post(group(), Arc::new(event)).await;
    }
}

/// A session with a client that does not read, so many messages after its socket is full.
async fn full(size: usize) -> (Rc<Port>, UnixStream, usize, oneshot::Sender<()>) {
    let port = open_port(class());
    let client = plug(&port, Type::STREAM, &Flusher::start()).await;
    let (end, ended) = oneshot::channel();
    actix_rt::spawn(live_on_wire(port.clone(), Box::pin(async { drop(ended.await) })));
    // The task has its turn: it is the one to be woken.
    tokio::task::yield_now().await;
    let (mut sent, mut behind) = (0, 0);
    while behind < 200 {
        // What is sent in one turn is put together, and taken in part.
        for _ in 0..20 {
            port.send("x".repeat(size).into()).unwrap();
            sent += 1;
        }
        if port.flush() == Flushed::Blocked {
            behind += 20;
        }
    }
    (port, client, sent, end)
}

#[test]
fn a_large_message_counts_until_it_is_written() {
    const LARGE: usize = 4 << 20;
    crate::run(async {
        let port = bounded_port(class(), LARGE, SlowClient::DropNewest);
        let mut client = plug(&port, Type::STREAM, &Flusher::start()).await;
        actix_rt::spawn(live_on_wire(port.clone(), Box::pin(std::future::pending())));
        // The task has its turn: it is the one to be woken.
        tokio::task::yield_now().await;
        // It alone may be larger than what may wait.
        port.send("x".repeat(2 * LARGE).into()).unwrap();
        assert_eq!(port.flush(), Flushed::Blocked);
        let refused = port.send("y".into()).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("bytes wait for the client already (the most is {LARGE})")), "{refused}");
        let mut all = vec![0; HEAD.len() + 10 + 2 * LARGE];
        within(client.read_exact(&mut all)).await.unwrap();
        port.send("y".into()).unwrap();
    });
}

#[test]
fn a_client_that_is_behind_may_say_something_when_it_has_taken_something_and_there_is_room_for_an_answer() {
    const BOUND: usize = 16 << 20;
    for (slow_client, waiting, may) in [
        (SlowClient::DropOldest, BOUND * 3 / 4, true),
        (SlowClient::DropNewest, BOUND / 4, true),
        (SlowClient::DropNewest, BOUND * 3 / 4, false),
    ] {
        crate::run(async move {
            let port = bounded_port(class(), BOUND, slow_client);
            let client = plug(&port, Type::STREAM, &Flusher::start()).await;
            for _ in 0..waiting / BLOCK {
                port.send("x".repeat(BLOCK).into()).unwrap();
            }
            assert_eq!(port.flush(), Flushed::Blocked);
            port.takes_input();
            assert!(!port.takes_input(), "it has taken nothing since");
            let left = port.waiting_bytes();
            within(client.readable()).await.unwrap();
            while client.try_read(&mut [0; BLOCK]).is_ok() {}
            within(async {
                while port.waiting_bytes() == left {
                    tokio::task::yield_now().await;
                    assert_eq!(port.flush(), Flushed::Blocked);
                }
            })
            .await;
            assert_eq!(port.takes_input(), may, "{} bytes wait", port.waiting_bytes());
            assert!(!port.takes_input());
        });
    }
}

#[test]
fn control_frames_pass_what_waits_for_a_full_socket() {
    crate::run(async {
        // Messages that are put together, and messages by themselves.
        for size in [10, 300, SMALL + 1] {
            let (port, mut client, sent, end) = full(size).await;
            // What the kernel has, at the end of it a part of a message.
            let mut all = Vec::new();
            client.readable().await.unwrap();
            while client.try_read_buf(&mut all).is_ok() {}
            let whole: usize = frames_in(&all[HEAD.len()..]).map(|(length, _)| length).sum();
            let before = frames(&all[HEAD.len()..]).len() + usize::from(HEAD.len() + whole < all.len());
            port.pong(Bytes::from_static(b"heard"));
            port.ping();
            end.send(()).unwrap();
            port.finish();
            within(client.read_to_end(&mut all)).await.unwrap();
            let frames = frames(&all[HEAD.len()..]);
            let at = |first| frames.iter().position(|frame| frame.0 == first).unwrap();
            let mut controls = [at(PONG), at(PING)];
            controls.sort_unstable();
            assert_eq!(controls, [before, before + 1], "of {sent} messages of {size} bytes");
            assert_eq!(frames.len(), sent + 2);
            assert_eq!(counts(&port).dropped_gone, 0);
        }
    });
}

#[test]
fn every_message_is_read_or_counted_when_a_connection_is_cut() {
    crate::run(async {
        for size in [10, 300, SMALL + 1] {
            let (port, mut client, sent, _end) = full(size).await;
            port.cut("as the test wants it");
            let mut all = Vec::new();
            within(client.read_to_end(&mut all)).await.unwrap();
            let read = frames(&all[HEAD.len()..]).len();
            let lost = counts(&port).dropped_gone;
            assert!(read > 0 && lost > 0);
            assert_eq!(read as u64 + lost, sent as u64, "of messages of {size} bytes");
        }
    });
}
