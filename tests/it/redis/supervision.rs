//! A broker that goes away takes nobody with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use channels::{
    ChannelLayer, Layer, LayerError, event,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
    prelude::*,
    testing::{StubBroker, WebsocketCommunicator},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message;

use super::{proxy::Proxy, server::RedisServer, until_ready};
use crate::support::{DEADLINE, Socket, serve, within};

/// Delivery resumes within this time of the broker's return.
const RESUMES: Duration = Duration::from_secs(2);

/// Members of the room, half of them in each of two processes.
const MEMBERS: usize = 20;

/// More of them, with a real connection to a server in the first process.
const SOCKETS: usize = 2;

struct Member;

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        cx.accept()?;
        Ok(())
    }

    #[handler("broker.lost")]
    async fn broker_lost(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.send("lost")?;
        Ok(())
    }

    #[handler("broker.back")]
    async fn broker_back(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.send("back")?;
        Ok(())
    }

    #[handler("load.tick")]
    async fn tick(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        Ok(())
    }

    #[handler]
    async fn numbered(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event["n"].to_string())?;
        Ok(())
    }
}

pub(super) async fn member(layer: &Layer) -> WebsocketCommunicator {
    let mut client = WebsocketCommunicator::new(|| Member, "/").layers(layer.clone()).timeout(DEADLINE);
    assert!(client.connect().await.unwrap().accepted);
    client
}

/// One who sends to the room all the time, whatever becomes of it.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(u64, u64)>,
}

impl Load {
    pub(super) fn on(layer: &Layer) -> Self {
        let (stop, layer) = (Arc::<AtomicBool>::default(), layer.clone());
        let stopped = stop.clone();
        let task = channels::actix_web::rt::spawn(async move {
            let (mut sent, mut errors) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                match layer.group_send("room", event!({"type": "load.tick"})).await {
                    Ok(()) => sent += 1,
                    Err(LayerError::Broker { .. }) => errors += 1,
                    Err(other) => panic!("{other}"),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (sent, errors)
        });
        Self { stop, task }
    }

    /// How many of its messages were taken, and how many were not.
    pub(super) async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        within(self.task).await.unwrap()
    }
}

pub(super) async fn told(client: &mut WebsocketCommunicator) -> String {
    client.receive_text_from().await.unwrap()
}

/// What a client is told next.
async fn heard(socket: &mut Socket) -> String {
    loop {
        if let Message::Text(text) = socket.receive().await {
            return text.to_string();
        }
    }
}

/// Kills the broker five times under the members' feet, while others send.
async fn survives<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>, knows_all: bool) {
    let mut server = RedisServer::start();
    let layer = || {
        let options = RedisOptions::from(server.url()).timeout(Duration::from_secs(1));
        Layer::new(make(options.on_disconnect("broker.lost").on_reconnect("broker.back")).unwrap())
    };
    let (near, far) = (layer(), layer());
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        members.push(member(if n < MEMBERS / 2 { &near } else { &far }).await);
    }
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", || Member)]).unwrap());
    let served = serve(Server::new(app).layers(near.clone()));
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(served.connect("/ws/").await);
    }
    // Those of all processes, or those of each.
    let sizes = async |gone: usize| {
        let expected = match knows_all {
            true => [MEMBERS + SOCKETS - gone; 2],
            false => [MEMBERS / 2 + SOCKETS - gone, MEMBERS / 2],
        };
        assert_eq!([near.group_size("room").await.unwrap(), far.group_size("room").await.unwrap()], expected);
    };
    let load = [Load::on(&near), Load::on(&far)];
    for round in 0..5 {
        server.kill();
        for member in &mut members {
            assert_eq!(told(member).await, "lost");
        }
        for socket in &mut sockets {
            assert_eq!(heard(socket).await, "lost");
        }
        assert!(!near.is_ready() && !far.is_ready());
        let asked = Instant::now();
        let error = far.group_send("room", event!({"type": "numbered", "n": round})).await.unwrap_err();
        assert!(matches!(error, LayerError::Broker { .. }), "{error}");
        assert!(asked.elapsed() < RESUMES, "an error within the deadline, not a hang");

        server.restart();
        let back = Instant::now();
        for member in &mut members {
            assert_eq!(told(member).await, "back");
        }
        for socket in &mut sockets {
            assert_eq!(heard(socket).await, "back");
        }
        for (layer, is_first) in [(&far, true), (&near, false)] {
            layer.group_send("room", event!({"type": "numbered", "n": round})).await.unwrap();
            for member in &mut members {
                assert_eq!(told(member).await, round.to_string());
            }
            for socket in &mut sockets {
                assert_eq!(heard(socket).await, round.to_string());
            }
            assert!(!is_first || back.elapsed() < RESUMES, "delivered after {:?}", back.elapsed());
        }
        sizes(0).await;
    }
    let [(near_sent, near_errors), (far_sent, far_errors)] =
        futures_util::future::join_all(load.map(Load::stop)).await.try_into().expect("there are two");
    assert!(near_sent > 0 && far_sent > 0 && near_errors > 0 && far_errors > 0);
    assert_eq!(near.dropped().lost, near_errors, "what was lost is counted by its sender");
    assert_eq!(far.dropped().lost, far_errors + 5, "and each of the rounds had one of its own");

    // Who leaves while the broker is away has left when it returns.
    let first = members.remove(0);
    let third = members.pop().unwrap();
    let mut second = members.remove(0);
    server.kill();
    assert_eq!(told(&mut second).await, "lost");
    let leaves = Instant::now();
    first.disconnect(1000).await.unwrap();
    assert!(leaves.elapsed() < RESUMES, "nobody waits for a broker to say goodbye");
    server.restart();
    assert_eq!(told(&mut second).await, "back");
    until_ready(&far, true).await;
    sizes(1).await;
    // Every socket is open still.
    for member in members.into_iter().chain([second, third]) {
        member.disconnect(1000).await.unwrap();
    }
    for socket in &mut sockets {
        assert_eq!([heard(socket).await, heard(socket).await], ["lost", "back"]);
    }
    served.stop().await;
}

/// What waited in a mailbox while its process was away would have it refuse what is sent from then on.
#[channels::actix_web::test]
async fn the_core_layer_is_back_when_it_has_taken_what_waited_for_it() {
    let server = RedisServer::start();
    let options = RedisOptions::from(server.url()).on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = Layer::new(RedisChannelLayer::new(options).unwrap());
    until_ready(&layer, true).await;
    let mut client = member(&layer).await;
    let channel = layer.group_channels("room").await.unwrap().remove(0);
    let mailbox = format!("asgi{}", layer.get_ref().hub().head());
    let mut raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut body = b"twelve bytes\x83\xa4type\xa8numbered\xa1n\x07\xb0__asgi_channel__\x91\xd9".to_vec();
    body.push(channel.len() as u8);
    body.extend(channel.as_bytes());
    let sent = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let mut lose = redis::pipe();
    lose.atomic().cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").zadd(&mailbox, body, sent);
    let _: () = lose.query(&mut raw).unwrap();
    assert_eq!([told(&mut client).await, told(&mut client).await, told(&mut client).await], ["lost", "7", "back"]);
}

/// A master that becomes a replica ends so what waits there.
#[channels::actix_web::test]
async fn a_mailbox_that_the_broker_lets_nobody_wait_for_is_a_broker_that_is_lost() {
    let server = RedisServer::start();
    let options = RedisOptions::from(server.url()).on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = Layer::new(RedisChannelLayer::new(options).unwrap());
    until_ready(&layer, true).await;
    let mut client = member(&layer).await;
    server.unblock();
    assert_eq!([told(&mut client).await, told(&mut client).await], ["lost", "back"]);
}

#[channels::actix_web::test]
async fn our_own_layer_survives_its_broker() {
    survives(RedisLayer::new, true).await;
}

#[channels::actix_web::test]
async fn the_core_layer_survives_its_broker() {
    survives(RedisChannelLayer::new, true).await;
}

#[channels::actix_web::test]
async fn the_pubsub_layer_survives_its_broker() {
    survives(RedisPubSubChannelLayer::new, false).await;
}

async fn readiness(address: std::net::SocketAddr) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_server_is_ready_while_its_broker_is_there() {
    let broker = StubBroker::default();
    let layer = Layer::new(RedisLayer::new(RedisOptions::drivers([broker.driver()])).unwrap());
    until_ready(&layer, true).await;
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", || Member)]).unwrap());
    let served = serve(Server::new(app).layers(layer.clone()).readiness("/readyz"));
    assert_eq!(readiness(served.address).await, "200");
    broker.stop();
    until_ready(&layer, false).await;
    assert_eq!(readiness(served.address).await, "503");
    broker.start();
    until_ready(&layer, true).await;
    assert_eq!(readiness(served.address).await, "200");
    served.stop().await;
}

#[tokio::test]
async fn a_connection_that_carries_nothing_makes_the_layer_not_ready() {
    let broker = StubBroker::default();
    let options = || RedisOptions::drivers([broker.driver()]).probe_interval(Duration::from_millis(20));
    let layers =
        [Layer::new(RedisLayer::new(options()).unwrap()), Layer::new(RedisPubSubChannelLayer::new(options()).unwrap())];
    for layer in layers {
        until_ready(&layer, true).await;
        broker.mute(true);
        until_ready(&layer, false).await;
        broker.mute(false);
        until_ready(&layer, true).await;
    }
}

/// Waits until the layer says that its broker takes at least so long.
async fn until_lag(layer: &Layer, least: Duration) {
    let lags = async {
        while layer.lag().is_none_or(|lag| lag < least) {
            tokio::time::sleep(Duration::from_millis(10)).await; // between two looks
        }
    };
    within(lags).await;
}

/// What a layer has heard nothing of for too long it makes anew. A connection that waits for a message would hear of nothing for
/// six seconds.
async fn hears_again<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>) {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port).await;
    let options = RedisOptions::from(format!("redis://127.0.0.1:{}", proxy.port)).timeout(Duration::from_secs(1));
    let options = options.on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = Layer::new(make(options.probe_interval(Duration::from_millis(200))).unwrap());
    until_ready(&layer, true).await;
    let mut client = member(&layer).await;
    proxy.silence();
    assert_eq!(told(&mut client).await, "lost");
    let lost = Instant::now();
    assert_eq!(told(&mut client).await, "back");
    assert!(lost.elapsed() < 2 * RESUMES, "back after {:?}", lost.elapsed());
}

#[channels::actix_web::test]
async fn our_own_layer_makes_a_connection_anew_that_carries_nothing() {
    hears_again(RedisLayer::new).await;
}

#[channels::actix_web::test]
async fn the_core_layer_makes_a_connection_anew_that_carries_nothing() {
    hears_again(RedisChannelLayer::new).await;
}

#[channels::actix_web::test]
async fn the_pubsub_layer_makes_a_connection_anew_that_carries_nothing() {
    hears_again(RedisPubSubChannelLayer::new).await;
}

/// A broker that stands still with its connections open is as bad as one that is gone.
async fn is_not_held_up<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>) {
    let server = RedisServer::start();
    let options = RedisOptions::from(server.url()).timeout(Duration::from_millis(300));
    let layer = Layer::new(make(options.probe_interval(Duration::from_millis(200))).unwrap());
    until_ready(&layer, true).await;
    until_lag(&layer, Duration::ZERO).await;
    let mut client = member(&layer).await;
    server.freeze(true);
    let asked = Instant::now();
    let error = layer.group_send("room", event!({"type": "numbered", "n": 1})).await.unwrap_err();
    assert!(matches!(error, LayerError::Broker { .. }), "{error}");
    assert!(asked.elapsed() < RESUMES, "an error within the deadline, not a hang");
    until_ready(&layer, false).await;
    until_lag(&layer, Duration::from_millis(400)).await;
    server.freeze(false);
    until_ready(&layer, true).await;
    layer.group_send("room", event!({"type": "numbered", "n": 2})).await.unwrap();
    // Whether the first was delivered in the end the sender cannot know.
    while told(&mut client).await != "2" {}
}

#[channels::actix_web::test]
async fn our_own_layer_is_not_held_up_by_a_broker_that_stands_still() {
    is_not_held_up(RedisLayer::new).await;
}

#[channels::actix_web::test]
async fn the_core_layer_is_not_held_up_by_a_broker_that_stands_still() {
    is_not_held_up(RedisChannelLayer::new).await;
}

#[channels::actix_web::test]
async fn the_pubsub_layer_is_not_held_up_by_a_broker_that_stands_still() {
    is_not_held_up(RedisPubSubChannelLayer::new).await;
}
