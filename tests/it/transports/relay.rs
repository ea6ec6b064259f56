//! A session is reached by every server that shares its layer: no load balancer need be sticky.

use std::time::Duration;

use channels::{
    Config, Layer, event,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
    testing::StubBroker,
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use super::{
    client::{Client, Heard, Kind, asked, request},
    house::server,
};
use crate::{
    raw::{CLOSE, FIN, Raw, TEXT, frame, handshake},
    redis::{
        server::{RedisServer, prefix, shared},
        until_ready,
    },
    support::{Served, serve, within},
};

/// Two servers, each with a layer of its own over one broker.
struct Two {
    home: Served,
    ends: mpsc::UnboundedReceiver<String>,
    layer: Layer,
    other: Served,
}

impl Two {
    async fn new(config: Config, layer: impl Fn() -> Layer) -> Self {
        let [here, there] = [layer(), layer()];
        until_ready(&here, true).await;
        until_ready(&there, true).await;
        let (home, _, ends) = server(config.clone(), &here);
        let (other, ..) = server(config, &there);
        Self { home: serve(home.workers(2)), ends, layer: here, other: serve(other.workers(2)) }
    }

    /// Opened at home, and gone on elsewhere.
    async fn open(&self, kind: Kind) -> Client {
        let client = Client::open(Kind::Poll, self.home.address, "/do/as-told/").await;
        client.go_on(kind, self.other.address).await
    }
}

const CARRIERS: [Kind; 3] = [Kind::Socket, Kind::Stream, Kind::Poll];

async fn one_process_carries_what_lives_in_another(layer: impl Fn() -> Layer) {
    let mut two = Two::new(Config::default(), layer).await;
    for kind in CARRIERS {
        let mut client = two.open(kind).await;
        for n in 0..30 {
            client.say(&format!("mine {n}")).await;
            two.layer.group_send("room", event!({"type": "said", "text": n.to_string()})).await.unwrap();
        }
        let mut heard = Vec::new();
        while heard.len() < 60 {
            heard.push(client.hear().await);
        }
        for sender in ["mine", "untyped"] {
            let wanted: Vec<_> = (0..30).map(|n| Heard::text(format!("{sender} {n}"))).collect();
            let is_his = |heard: &&Heard| matches!(heard, Heard::Text(text) if text.starts_with(sender));
            assert_eq!(heard.iter().filter(is_his).cloned().collect::<Vec<_>>(), wanted, "{kind:?}");
        }
        // Home, and away again.
        let client = client.go_on(Kind::Poll, two.home.address).await;
        let mut client = client.go_on(kind, two.other.address).await;
        client.say("close 4042").await;
        assert_eq!(client.hear().await, Heard::Closed(4042, "as you wish".to_owned()));
        assert_eq!(within(two.ends.recv()).await.unwrap(), "4042 (as you wish) by Server in 1");
        let mut client = two.open(kind).await;
        client.close(4011, "bored").await;
        assert_eq!(within(two.ends.recv()).await.unwrap(), "4011 (bored) by Client in 1");
    }
}

fn options() -> RedisOptions {
    RedisOptions::from(shared()[0].as_str()).prefix(prefix())
}

#[tokio::test]
async fn sessions_are_relayed_over_our_own_layer() {
    let options = options();
    one_process_carries_what_lives_in_another(|| Layer::new(RedisLayer::new(options.clone()).unwrap())).await;
}

#[tokio::test]
async fn sessions_are_relayed_over_channels_redis_pubsub_layer() {
    let options = options();
    one_process_carries_what_lives_in_another(|| Layer::new(RedisPubSubChannelLayer::new(options.clone()).unwrap()))
        .await;
}

#[tokio::test]
async fn sessions_are_relayed_over_channels_redis_queue_layer() {
    let options = options();
    one_process_carries_what_lives_in_another(|| Layer::new(RedisChannelLayer::new(options.clone()).unwrap())).await;
}

async fn two_over(options: &RedisOptions, config: Config) -> Two {
    Two::new(config, || Layer::new(RedisLayer::new(options.clone()).unwrap())).await
}

#[tokio::test]
async fn a_relayed_carrier_that_is_lost_leaves_the_session_away() {
    let config = Config { poll_window: Duration::from_millis(400), ..Config::default() };
    let mut two = two_over(&options(), config).await;
    for kind in CARRIERS {
        let mut client = two.open(kind).await;
        client.say("here").await;
        client.hears("here").await;
        let lost = Instant::now();
        client.lose().await;
        assert_eq!(within(two.ends.recv()).await.unwrap(), "4408 (the client stayed away) by Server in 1");
        assert!(lost.elapsed() < Duration::from_secs(5), "{kind:?}: {:?}", lost.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_go_of_sessions_of_others_without_an_end() {
    let two = two_over(&options(), Config::default()).await;
    let mut socket = two.open(Kind::Socket).await;
    let mut stream = two.open(Kind::Stream).await;
    let poll = two.open(Kind::Poll).await;
    let mut waiting = Raw::connect(two.other.address).await;
    let headers = format!("Channels-Session: {}\r\nChannels-Ack: 0\r\n", poll.session);
    waiting.write(request("GET", "/do/as-told/", &headers, "")).await;
    for client in [&mut socket, &mut stream] {
        client.say("here").await;
        client.hears("here").await;
    }
    let Two { home, other, .. } = two;
    let started = Instant::now();
    other.stop().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    while let Some((first, _)) = socket.down().frame().await {
        assert_ne!(first, FIN | CLOSE);
    }
    while let Some(event) = within(stream.event()).await {
        assert!(event.iter().all(|(_, value)| value != "close"));
    }
    for client in [socket, stream, poll] {
        let mut client = client.go_on(Kind::Poll, home.address).await;
        client.say("back").await;
        client.hears("back").await;
    }
}

#[tokio::test]
async fn what_the_layer_does_not_carry_is_refused_or_ends_the_session_with_1009() {
    let config = Config { max_message_size: 4 * 1024 * 1024, ..Config::default() };
    let mut two = two_over(&options(), config).await;
    // The layer carries 1 MiB.
    let long = "x".repeat(1_500_000);
    let is_too_big = |heard: &Heard| matches!(heard, Heard::Closed(1009, _));

    let mut poll = two.open(Kind::Poll).await;
    let status = poll.post(&json!({"from": 1, "messages": [long]}).to_string()).await.status;
    assert_eq!(status, 413);
    poll.say("still here").await;
    poll.hears("still here").await;

    let mut socket = two.open(Kind::Socket).await;
    let third = "x".repeat(500_000);
    let batch = json!({"from": 1, "messages": [third, third, third]}).to_string();
    socket.down().write(frame(FIN | TEXT, batch)).await;
    for _ in 0..3 {
        socket.hears(&*third).await;
    }
    socket.sent = 3;
    socket.say(&long).await;
    let heard = socket.hear().await;
    assert!(is_too_big(&heard), "{heard:?}");
    assert!(within(two.ends.recv()).await.unwrap().starts_with("1009 "));

    for kind in CARRIERS {
        let mut client = Client::open(Kind::Poll, two.home.address, "/do/as-told/").await;
        client.say(&long).await;
        let mut client = client.go_on(kind, two.other.address).await;
        let heard = client.hear().await;
        assert!(is_too_big(&heard), "{kind:?}: {heard:?}");
        assert!(within(two.ends.recv()).await.unwrap().starts_with("1009 "));
    }
}

#[tokio::test]
async fn a_session_whose_process_has_gone_is_given_up() {
    let two = two_over(&options(), Config::default()).await;
    let mut client = two.open(Kind::Poll).await;
    client.say("here").await;
    client.hears("here").await;
    let Two { home, other, .. } = two;
    home.stop().await;
    let headers = format!("Channels-Session: {}\r\n", client.session);
    let started = Instant::now();
    let mut raw = Raw::connect(other.address).await;
    raw.write(request("POST", "/do/as-told/", &headers, r#"{"ack": 0}"#)).await;
    assert_eq!(raw.response().await.status, 410);
    // A client that opens gives up after 5 s.
    assert!(started.elapsed() < Duration::from_millis(4_500), "{:?}", started.elapsed());
    let mut socket = Raw::connect(other.address).await;
    let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.0.{}\r\n", client.session);
    socket.write(handshake("/do/as-told/", &offer)).await;
    assert_eq!(socket.response().await.status, 101);
    assert_eq!(socket.close().await.0, 4410);
}

#[tokio::test]
async fn while_the_broker_is_away_a_client_is_told_to_ask_again_and_nothing_is_lost() {
    let mut broker = RedisServer::start();
    let two = two_over(&RedisOptions::from(broker.url().as_str()), Config::default()).await;
    let mut client = two.open(Kind::Poll).await;
    client.say("before").await;
    broker.kill();
    let headers = format!("Channels-Session: {}\r\n", client.session);
    let mut raw = Raw::connect(two.other.address).await;
    raw.write(request("POST", "/do/as-told/", &headers, r#"{"from": 2, "messages": ["meanwhile"]}"#)).await;
    let response = raw.response().await;
    assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")), "{}", response.body);
    broker.restart();
    until_ready(&two.layer, true).await;
    let mut statuses = Vec::new();
    within(async {
        while statuses.last() != Some(&200) {
            let batch = r#"{"from": 2, "messages": ["meanwhile"]}"#;
            statuses.push(client.ask("POST", &headers, batch).await.status);
            if statuses.last() != Some(&200) {
                assert_eq!(statuses.last(), Some(&503));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    client.sent = 2;
    client.hears("before").await;
    client.hears("meanwhile").await;
}

/// An id as a server makes them, of a process that never was.
fn made_up() -> String {
    format!("specific.{0}!{0}~1.{1}", "0123456789abcdef".repeat(2), "s".repeat(43))
}

#[tokio::test]
async fn what_a_stranger_sends_to_a_session_that_he_made_up_is_not_brought_to_the_broker() {
    let broker = RedisServer::start();
    let options = RedisOptions::from(broker.url().as_str());
    let layer = Layer::new(RedisChannelLayer::new(options).unwrap());
    until_ready(&layer, true).await;
    let (server, ..) = server(Config::default(), &layer);
    let server = serve(server.workers(1));
    let body = json!({"from": 1, "messages": ["x".repeat(500_000)]}).to_string();
    let headers = format!("Channels-Session: {}\r\n", made_up());
    assert_eq!(asked(server.address, "POST", "/do/as-told/", &headers, &body).await.status, 410);
    let mut connection = redis::Client::open(broker.url()).unwrap().get_connection().unwrap();
    let kept: Vec<Vec<u8>> = redis::cmd("ZRANGE")
        .arg(&["asgispecific.0123456789abcdef0123456789abcdef!", "0", "-1"])
        .query(&mut connection)
        .unwrap();
    let sizes: Vec<_> = kept.iter().map(Vec::len).collect();
    assert!(sizes.len() == 2 && sizes.iter().sum::<usize>() < 1_000, "{sizes:?}");
}

#[tokio::test]
async fn a_session_elsewhere_is_looked_for_once_and_one_that_is_nowhere_leaves_nothing_behind() {
    let broker = StubBroker::default();
    let layer = || Layer::new(RedisLayer::new(RedisOptions::drivers([broker.driver()])).unwrap());
    let two = Two::new(Config::default(), layer).await;
    let client = two.open(Kind::Poll).await;
    let costs = async |session: &str, from: u64| {
        let before = broker.published();
        let headers = format!("Channels-Session: {session}\r\n");
        let body = json!({"from": from, "messages": ["close 4042"]}).to_string();
        let status = asked(two.other.address, "POST", "/do/as-told/", &headers, &body).await.status;
        (status, broker.published() - before)
    };
    // Whether it is there, then the message, each with an answer; then the message alone.
    assert_eq!(costs(&client.session, 1).await, (200, 4));
    assert_eq!(costs(&client.session, 1).await, (200, 2));
    // Asked for twice. Nobody watches whether a process is there that never answered.
    assert_eq!(costs(&made_up(), 1).await, (410, 2));
}

#[tokio::test]
async fn a_session_elsewhere_may_be_waited_for_without_end() {
    let broker = StubBroker::default();
    let layer = || Layer::new(RedisLayer::new(RedisOptions::drivers([broker.driver()])).unwrap());
    let mut two = Two::new(Config { poll_window: Duration::MAX, ..Config::default() }, layer).await;
    for kind in CARRIERS {
        let mut client = two.open(kind).await;
        client.say("here").await;
        client.hears("here").await;
        client.close(1000, "").await;
        assert!(within(two.ends.recv()).await.unwrap().starts_with("1000 "), "{kind:?}");
    }
}
