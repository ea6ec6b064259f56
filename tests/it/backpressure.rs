//! Slow clients and busy consumers: what waits is bounded, on both sides.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use channels::{Config, InMemoryChannelLayer, Layer, SendError, SlowClient, event, prelude::*, server::ServerStats};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    mount::serve_app,
    puppet::Strings,
    raw::{BINARY, CLOSE, FIN, PING, PONG, Raw, TEXT, frame},
    support::{Served, serve, within},
};

const KIB: usize = 1_024;

/// More than a socket's buffers on both sides hold.
const MORE_THAN_SOCKETS_HOLD: usize = 64 * KIB * KIB;

/// Waits at a gate with each message, and tells its first byte.
struct Gated {
    gate: Arc<Semaphore>,
    tell: mpsc::UnboundedSender<u8>,
}

#[consumer]
impl Consumer for Gated {
    async fn receive(&mut self, _: &mut Context, Binary(bytes): Binary) -> Result<()> {
        self.gate.acquire().await?.forget();
        let _ = self.tell.send(bytes[0]);
        Ok(())
    }
}

#[tokio::test]
async fn while_a_hook_awaits_no_more_is_read_than_one_message_and_what_the_socket_holds() {
    let (gate, (tell, mut told)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
    let consumer = {
        let gate = gate.clone();
        move || Gated { gate: gate.clone(), tell: tell.clone() }
    };
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(consumer)));
    let mut client = Raw::open(server.address, "/").await;
    let message = frame(FIN | BINARY, vec![0; 64 * KIB]);
    // Writes for as long as something is taken.
    let (mut sent, mut partly) = (0u8, 0);
    while timeout(Duration::from_millis(500), client.stream.writable()).await.is_ok() {
        match client.stream.try_write(&message[partly..]) {
            Ok(bytes) => partly += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        }
        if partly == message.len() {
            (sent, partly) = (sent + 1, 0);
            assert!(usize::from(sent) * message.len() < MORE_THAN_SOCKETS_HOLD / 4, "everything is read");
        }
    }
    assert_eq!(told.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    client.write(&message[partly..]).await;
    client.write(frame(FIN | BINARY, [1])).await;
    for _ in 0..=sent {
        assert_eq!(within(told.recv()).await, Some(0));
    }
    assert_eq!(within(told.recv()).await, Some(1), "nothing is lost");
}

/// A member of the room, which says what events ask for and tells how it ended.
struct Listener(mpsc::UnboundedSender<String>);

const BYTES: usize = 8 * KIB;

fn long(event: &RawEvent) -> String {
    format!("{:>BYTES$}", event["n"].to_string())
}

#[consumer]
impl Consumer for Listener {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(count): Text) -> Result<()> {
        for n in 0..count.parse()? {
            if let Err(error) = cx.send(long(&event!({"type": "x", "n": n}))) {
                let _ = self.0.send(error.to_string());
            }
        }
        let _ = self.0.send("sent".to_owned());
        Ok(())
    }

    #[handler]
    async fn long(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(long(event))?;
        Ok(())
    }

    #[handler]
    fn long_and_pure(event: &RawEvent) -> Result<Message> {
        Ok(long(event).into())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(format!("disconnect {close}"));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.send("dropped".to_owned());
    }
}

fn listeners(config: Config) -> (Server, Layer, mpsc::UnboundedReceiver<String>) {
    // What waits for a consumer is less than what may wait for its client.
    let ((tell, told), layer) = (mpsc::unbounded_channel(), Layer::new(InMemoryChannelLayer::default().capacity(4)));
    let server = Server::new(ProtocolTypeRouter::new().websocket(move || Listener(tell.clone()))).layers(layer.clone());
    (server.config(Config { max_waiting_bytes: 64 * KIB, ..config }), layer, told)
}

/// Sends events to the room until a member cannot take one; the member that reads gets each of them. How many it were.
async fn flood(layer: &Layer, name: &str, reads: &mut Raw) -> usize {
    for n in 0..MORE_THAN_SOCKETS_HOLD / BYTES {
        let report = layer.group_send("room", event!({"type": name, "n": n})).report().await.unwrap();
        assert_eq!(reads.text().await.trim(), n.to_string());
        if report.delivered == 1 {
            return n;
        }
    }
    panic!("everything waits for somebody who does not read")
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_closed_with_4429_and_the_others_get_everything() {
    let (server, layer, mut told) = listeners(Config::default());
    let server = serve(server);
    let mut reads = Raw::open(server.address, "/").await;
    let mut sleeps = Raw::connect_narrow(server.address).await.upgrade("/").await;
    let count = flood(&layer, "long.and.pure", &mut reads).await;
    assert_eq!((layer.dropped().slow, layer.dropped().full), (1, 0));
    // What had left before is whole and in order; then comes the reason.
    let mut n = 0;
    let close = loop {
        let (first, payload) = sleeps.frame().await.expect("a close frame comes before the end");
        if first == FIN | CLOSE {
            break payload;
        }
        assert_eq!(String::from_utf8(payload).unwrap().trim(), n.to_string());
        n += 1;
    };
    assert!(n < count, "{n} of {count}");
    assert_eq!(close, [&4429u16.to_be_bytes()[..], b"the client reads too slowly"].concat());
    assert_eq!(within(told.recv()).await.unwrap(), "disconnect 4429 (the client reads too slowly)");
    layer.group_send("room", event!({"type": "long", "n": 7})).await.unwrap();
    assert_eq!(reads.text().await.trim(), "7");
}

#[tokio::test]
async fn a_client_that_never_reads_again_gets_its_disconnect_and_leaves_its_groups() {
    const SOON: Duration = Duration::from_millis(500);
    // A client that is to be closed for what waits must not be cut first, however long a busy machine takes to fill its room.
    for (name, slow_client, stall_timeout, code) in [
        ("long", SlowClient::Close, Duration::from_secs(60), 4429),
        ("long.and.pure", SlowClient::Close, Duration::from_secs(60), 4429),
        ("long.and.pure", SlowClient::DropNewest, SOON, 1006),
    ] {
        let config = Config { stall_timeout, slow_client, close_timeout: SOON, ..Config::default() };
        let (server, layer, mut told) = listeners(config);
        let stats = server.stats();
        let server = serve(server);
        let mut reads = Raw::open(server.address, "/").await;
        let sleeps = Raw::connect_narrow(server.address).await.upgrade("/").await;
        flood(&layer, name, &mut reads).await;
        let end = within(told.recv()).await.unwrap();
        assert!(end.starts_with(&format!("disconnect {code}")), "{end}");
        assert_eq!(within(told.recv()).await.unwrap(), "dropped");
        assert_eq!(layer.group_size("room").await.unwrap(), 1);
        assert_eq!(stats.total().await.stalled, u64::from(code == 1006));
        drop(sleeps);
    }
}

#[tokio::test]
async fn in_a_server_of_others_a_consumer_waits_for_its_client_and_what_it_misses_is_counted() {
    let (server, layer, _told) = listeners(Config::default());
    let (address, host) = serve_app(server.mount().unwrap()).await;
    let mut reads = Raw::open(address, "/").await;
    let mut sleeps = Raw::connect_narrow(address).await.upgrade("/").await;
    let count = flood(&layer, "long", &mut reads).await;
    assert_eq!(layer.dropped().full, 1);
    for n in 0..count {
        assert_eq!(sleeps.text().await.trim(), n.to_string());
    }
    layer.group_send("room", event!({"type": "long", "n": "more"})).await.unwrap();
    assert_eq!(sleeps.text().await.trim(), "\"more\"");
    host.stop(false).await;
}

/// How many messages were taken for clients, and how many of all were dropped because a client reads too slowly.
async fn sent_and_dropped(stats: &ServerStats) -> (usize, usize) {
    let counts = stats.total().await;
    (counts.deliveries.try_into().unwrap(), counts.dropped_slow.try_into().unwrap())
}

/// A member that asked for more messages than can wait for it and has read none of them, with the errors its consumer met.
async fn overwhelmed(server: Server, told: &mut mpsc::UnboundedReceiver<String>) -> (Raw, Served, Vec<String>) {
    let server = serve(server);
    let (client, errors) = overwhelmed_at(server.address, told).await;
    (client, server, errors)
}

async fn overwhelmed_at(address: SocketAddr, told: &mut mpsc::UnboundedReceiver<String>) -> (Raw, Vec<String>) {
    let mut client = Raw::connect_narrow(address).await.upgrade("/").await;
    client.write(frame(FIN | TEXT, MANY.to_string())).await;
    let mut errors = Vec::new();
    loop {
        match within(told.recv()).await.unwrap() {
            line if line == "sent" => return (client, errors),
            line => errors.push(line),
        }
    }
}

const MANY: usize = MORE_THAN_SOCKETS_HOLD / BYTES;
/// Messages that may wait: each counts 32 bytes more than it has.
const ROOM: usize = 64 * KIB / (BYTES + 32);
const FULL: &str = "57568 bytes wait for the client already (the most is 65536)";

#[tokio::test]
async fn a_hook_that_sends_more_than_may_wait_is_told_and_its_client_closed_with_4429() {
    let (server, _, mut told) = listeners(Config::default());
    let stats = server.stats();
    let (mut client, _server, errors) = overwhelmed(server, &mut told).await;
    assert_eq!(errors[0], FULL);
    assert!(errors[1..].iter().all(|error| error == "the connection is closed"));
    assert_eq!(within(told.recv()).await.unwrap(), "disconnect 4429 (the client reads too slowly)");
    // What was about to be written is, and then the reason.
    for n in 0.. {
        let (first, payload) = client.frame().await.expect("a close frame comes before the end");
        if first == FIN | CLOSE {
            let sent = MANY - errors.len();
            assert!(n > 0 && n <= sent, "{n} of {MANY}");
            // What waited, and the one for which there was no room.
            assert_eq!(sent_and_dropped(&stats).await, (sent, sent - n + 1));
            break;
        }
        assert_eq!(String::from_utf8(payload).unwrap().trim(), n.to_string());
    }
}

#[tokio::test]
async fn a_slow_client_may_lose_messages_instead_of_its_connection() {
    for slow_client in [SlowClient::DropNewest, SlowClient::DropOldest] {
        let (server, _, mut told) = listeners(Config { slow_client, ..Config::default() });
        let stats = server.stats();
        let (mut client, _server, errors) = overwhelmed(server, &mut told).await;
        client.write(frame(FIN | TEXT, "1")).await;
        let mut kept: Vec<usize> = Vec::new();
        while kept.len() < 2 || kept.last() != Some(&0) {
            kept.push(client.text().await.trim().parse().unwrap());
        }
        kept.pop();
        let gaps: Vec<_> = kept.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
        assert_eq!(kept[0], 0);
        let lost = MANY - kept.len();
        if matches!(slow_client, SlowClient::DropNewest) {
            assert_eq!(sent_and_dropped(&stats).await, (kept.len() + 1, lost));
            assert_eq!(errors, vec![FULL; lost]);
            assert!(gaps.is_empty(), "{gaps:?}");
        } else {
            assert_eq!(sent_and_dropped(&stats).await, (MANY + 1, lost));
            assert!(errors.is_empty(), "{errors:?}");
            assert!(gaps.len() == 1 && gaps[0][1] == MANY - ROOM, "{gaps:?}");
            assert_eq!(kept.last(), Some(&(MANY - 1)));
        }
    }
}

#[tokio::test]
async fn a_client_that_is_behind_is_heard_when_it_pings_and_closes() {
    for slow_client in [SlowClient::DropNewest, SlowClient::DropOldest] {
        let (server, _, mut told) = listeners(Config { slow_client, ..Config::default() });
        let (mut client, _server, _) = overwhelmed(server, &mut told).await;
        client.write(frame(FIN | PING, "?")).await;
        client.write(frame(FIN | CLOSE, 1000u16.to_be_bytes())).await;
        assert_eq!(within(told.recv()).await.unwrap(), "disconnect 1000");
        // The answer to the ping passes what waits, and that is not lost.
        let mut kinds = Vec::new();
        while let Some((first, _)) = client.frame().await {
            kinds.push(first);
        }
        let pong = kinds.iter().position(|first| *first == FIN | PONG).expect("an answer");
        assert!(kinds[..pong].iter().chain(&kinds[pong + 1..kinds.len() - 1]).all(|first| *first == FIN | TEXT));
        assert!(kinds.len() - 2 - pong >= ROOM && kinds.last() == Some(&(FIN | CLOSE)), "{kinds:?}");
    }
}

fn number(message: &[u8]) -> usize {
    std::str::from_utf8(message).unwrap().trim().parse().unwrap()
}

fn parity(message: &Message) -> Option<String> {
    Some((number(message.as_bytes()) % 2).to_string())
}

#[tokio::test]
async fn a_slow_client_may_get_the_newest_message_of_each_key() {
    let (server, _, mut told) = listeners(Config { slow_client: SlowClient::Coalesce(parity), ..Config::default() });
    let stats = server.stats();
    let (mut client, _server, errors) = overwhelmed(server, &mut told).await;
    assert!(errors.is_empty(), "{errors:?}");
    let mut kept = Vec::new();
    while !kept.contains(&(MANY - 1)) || !kept.contains(&(MANY - 2)) {
        kept.push(number(client.text().await.as_bytes()));
    }
    let unbroken = kept.iter().enumerate().take_while(|(n, kept)| n == *kept).count();
    assert!(unbroken < MANY && kept.len() == unbroken + 2, "{unbroken} of {}: {:?}", kept.len(), &kept[unbroken..]);
    assert_eq!(sent_and_dropped(&stats).await, (MANY, MANY - kept.len()));
}

#[tokio::test]
async fn in_a_server_of_others_a_slow_client_is_treated_as_the_server_is_told() {
    for slow_client in [SlowClient::Close, SlowClient::DropNewest, SlowClient::DropOldest, SlowClient::Coalesce(parity)]
    {
        let (server, _, mut told) = listeners(Config { slow_client, ..Config::default() });
        let stats = server.stats();
        let (address, host) = serve_app(server.mount().unwrap()).await;
        let (mut client, errors) = overwhelmed_at(address, &mut told).await;
        let mut kept = Vec::new();
        if matches!(slow_client, SlowClient::DropNewest) {
            client.write(frame(FIN | TEXT, "1")).await;
        }
        let is_over = |kept: &[usize]| match slow_client {
            SlowClient::DropNewest => kept.len() > 1 && kept.ends_with(&[0]),
            SlowClient::Coalesce(_) => kept.contains(&(MANY - 1)) && kept.contains(&(MANY - 2)),
            _ => kept.ends_with(&[MANY - 1]),
        };
        let close = loop {
            if is_over(&kept) {
                break None;
            }
            match client.frame().await.expect("a close frame comes before the end") {
                (first, payload) if first == FIN | CLOSE => break payload.first_chunk().copied(),
                (_, payload) => kept.push(number(&payload)),
            }
        };
        assert_eq!(close.map(u16::from_be_bytes), matches!(slow_client, SlowClient::Close).then_some(4429));
        let (_, dropped) = sent_and_dropped(&stats).await;
        match slow_client {
            SlowClient::Close => {
                let sent = MANY - errors.len();
                assert!(kept.iter().copied().eq(0..kept.len()) && errors[0] == FULL, "{kept:?} {}", errors[0]);
                assert_eq!(dropped, sent - kept.len() + 1, "what waited, and the one for which there was no room");
            }
            SlowClient::DropNewest => {
                kept.pop();
                assert!(kept.iter().copied().eq(0..kept.len()), "{kept:?}");
                assert_eq!((errors, dropped), (vec![FULL.to_owned(); MANY - kept.len()], MANY - kept.len()));
            }
            SlowClient::DropOldest => {
                assert!(kept[kept.len() - ROOM..].iter().copied().eq(MANY - ROOM..MANY), "{kept:?}");
                assert_eq!((errors.len(), dropped), (0, MANY - kept.len()));
            }
            _ => assert_eq!((errors.len(), dropped), (0, MANY - kept.len())),
        }
        assert!(kept.len() < MANY, "everything waited");
        host.stop(false).await;
    }
}

#[tokio::test]
async fn events_for_a_busy_consumer_are_bounded_and_counted() {
    let mut strings = Strings::new();
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(2));
    let server = serve(strings.server(&layer));
    let mut busy = server.connect("/?name=busy").await;
    busy.send("wait").await;
    while strings.told().await != "busy waits" {}
    let mut free = server.connect("/").await;

    let say = |n: u8| event!({"type": "puppet.do", "what": format!("say {n}")});
    let mut full = Vec::new();
    for n in 0..4 {
        let report = layer.group_send("room", say(n)).report().await.unwrap();
        assert_eq!(report.delivered + report.full, 2);
        full.push(report.full);
        assert_eq!(free.text().await, n.to_string());
    }
    assert_eq!(full, [0, 0, 1, 1]);
    let channel = layer.group_channels("room").await.unwrap();
    let mut refused = 0;
    for name in &channel {
        if let Err(SendError::ChannelFull { channel, capacity }) = layer.send(name, say(4)).await {
            assert_eq!((&channel, capacity), (name, 2));
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(layer.dropped().full, 3);
    assert_eq!(free.text().await, "4");
    strings.open();
    assert_eq!([busy.text().await, busy.text().await], ["0", "1"]);
    busy.send("say done").await;
    assert_eq!(busy.text().await, "done");
}

#[tokio::test]
async fn neither_messages_nor_events_starve_the_other() {
    let mut strings = Strings::new();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let server = serve(strings.server(&layer));
    let mut client = Raw::open(server.address, "/").await;
    let messages: Vec<_> = (0..10).flat_map(|n| frame(FIN | TEXT, format!("say m{n}"))).collect();
    client.write([frame(FIN | TEXT, "wait"), messages].concat()).await;
    while strings.told().await != "waits" {}
    for n in 0..10 {
        let report = layer
            .group_send("room", event!({"type": "puppet.do", "what": format!("say e{n}")}))
            .report()
            .await
            .unwrap();
        assert_eq!(report.delivered, 1);
    }
    strings.open();
    let mut said = Vec::new();
    while said.len() < 20 {
        said.push(client.text().await);
    }
    for pair in said.chunks(2) {
        let mut kinds: Vec<_> = pair.iter().map(|said| &said[..1]).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["e", "m"], "{said:?}");
    }
}

/// Fills what may wait for its client, while an event for the pure handler waits.
struct Filler(mpsc::UnboundedSender<()>);

#[consumer]
impl Consumer for Filler {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        for name in ["first", "huge", "last"] {
            cx.group_send("room", event!({"type": name})).await?;
        }
        let message = Message::from("x".repeat(KIB * KIB));
        for _ in 0..60 {
            cx.send(message.clone())?;
        }
        Ok(())
    }

    /// It waits until this hook is over, and so does what comes after it.
    #[handler]
    async fn first(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        Ok(())
    }

    /// More than sockets take of what waits: there is no room for it.
    #[handler]
    fn huge(_: &RawEvent) -> Result<Message> {
        Ok("x".repeat(MORE_THAN_SOCKETS_HOLD / 2).into())
    }

    #[handler]
    async fn last(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        let _ = self.0.send(());
        Ok(())
    }
}

#[tokio::test]
async fn a_pure_handlers_message_that_waited_and_finds_no_room_is_counted() {
    let ((tell, mut told), layer) = (mpsc::unbounded_channel(), Layer::new(InMemoryChannelLayer::default()));
    let slow_client = SlowClient::DropNewest;
    let config = Config { max_waiting_bytes: MORE_THAN_SOCKETS_HOLD, slow_client, ..Config::default() };
    let app = ProtocolTypeRouter::new().websocket(move || Filler(tell.clone()));
    let server = serve(Server::new(app).layers(layer.clone()).config(config).workers(1));
    let mut sleeps = Raw::connect_narrow(server.address).await.upgrade("/").await;
    sleeps.write(frame(FIN | TEXT, "go on")).await;
    within(told.recv()).await.unwrap();
    assert_eq!((layer.dropped().slow, layer.dropped().full, layer.dropped().gone), (1, 0, 0));
}
