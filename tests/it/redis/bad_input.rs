//! What is no message is logged once, dropped, and disturbs nothing else.

use channels::{
    ChannelLayer, Layer, LayerError, RawEvent, SendError, event,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
};
use redis::{Commands, Connection};

use super::{
    server::{RedisServer, prefix, shared},
    supervision::{member, told},
    until_ready,
};
use crate::{logs, support::within};

const NODE: usize = 32;

fn raw() -> Connection {
    redis::Client::open(shared()[0].as_str()).unwrap().get_connection().unwrap()
}

/// A layer of its own prefix, encrypted or not.
async fn layer<L: ChannelLayer, E: std::fmt::Debug>(
    keys: &[&str],
    make: fn(RedisOptions) -> Result<L, E>,
) -> (Layer, String) {
    logs::keep();
    let prefix = prefix();
    let options = RedisOptions::from(shared()[0].as_str()).prefix(&prefix);
    let layer = Layer::new(make(options.symmetric_encryption_keys(keys.iter().copied())).unwrap());
    until_ready(&layer, true).await;
    (layer, prefix)
}

/// Bodies that are none, and what the log says of them.
fn bodies() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (b"\xc1".to_vec(), "it is not a"),
        (b"\x82\xa4type\xa1a\x01\x02".to_vec(), "a map has a key that is not text: 1"),
        (b"\x81\xa4text\xa1a".to_vec(), "an event needs a `type`"),
        (b"\x81\xa4type\xa2_x".to_vec(), "event type `_x` starts with `_`"),
        (vec![0x80; (1 << 20) + 1], "it has 1048577 bytes; the most is 1048576"),
    ]
}

/// Puts bodies twice where the layer reads them; each is logged once, and what comes behind arrives.
async fn are_logged_once(layer: &Layer, key: &str, put: impl Fn(&[u8])) {
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("room", &mine).await.unwrap();
    for (body, why) in bodies() {
        for _ in 0..2 {
            put(&body);
        }
        logs::wait_for(&[key, why]).await;
        layer.group_send("room", event!({"type": "numbered", "n": 1})).await.unwrap();
        assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 1);
        assert_eq!(logs::with(&[key, why]).len(), 1, "{why}");
    }
}

#[tokio::test]
async fn the_core_layer_drops_bodies_that_are_none() {
    let (layer, prefix) = layer(&[], RedisChannelLayer::new).await;
    let mailbox = mailbox(&prefix, &layer);
    are_logged_once(&layer, &mailbox, |body| {
        let body = [&random_prefix(), body].concat();
        let _: () = raw().zadd(&mailbox, body, now()).unwrap();
    })
    .await;
    // A name with a forbidden character, among others.
    let mine = layer.new_channel().await.unwrap();
    let body = rmp_body(&["not a name", &mine]);
    let _: () = raw().zadd(&mailbox, [&random_prefix(), body.as_slice()].concat(), now()).unwrap();
    assert_eq!(within(layer.receive(&mine)).await.unwrap().name(), "a");
    logs::wait_for(&[&mailbox, "channel name `not a name` has the character ' '"]).await;
}

#[tokio::test]
async fn the_pubsub_layer_drops_bodies_that_are_none() {
    let (layer, prefix) = layer(&[], RedisPubSubChannelLayer::new).await;
    let channel = format!("{prefix}__group__room");
    are_logged_once(&layer, &channel, |body| {
        let _: () = raw().publish(&channel, body).unwrap();
    })
    .await;
}

#[tokio::test]
async fn our_own_layer_drops_bodies_that_are_none() {
    let (layer, prefix) = layer(&[], RedisLayer::new).await;
    let channel = format!("{prefix}:{{room}}");
    are_logged_once(&layer, &channel, |body| {
        let _: () = raw().publish(&channel, [&[b'f'; NODE], random_prefix().as_slice(), body].concat()).unwrap();
    })
    .await;
    let _: () = raw().publish(&channel, b"short").unwrap();
    logs::wait_for(&[&channel, "it is too short"]).await;
}

/// Another process of a layer.
async fn peer<L: ChannelLayer, E: std::fmt::Debug>(
    prefix: &str,
    keys: &[&str],
    make: fn(RedisOptions) -> Result<L, E>,
) -> Layer {
    let options = RedisOptions::from(shared()[0].as_str()).prefix(prefix);
    let layer = Layer::new(make(options.symmetric_encryption_keys(keys.iter().copied())).unwrap());
    until_ready(&layer, true).await;
    layer
}

async fn drops_what_another_key_encrypted<L: ChannelLayer, E: std::fmt::Debug>(
    make: fn(RedisOptions) -> Result<L, E>,
    read_at: fn(&str, &Layer) -> String,
) {
    let (ours, prefix) = layer(&["ours"], make).await;
    let (theirs, friend) = (peer(&prefix, &["theirs"], make).await, peer(&prefix, &["ours"], make).await);
    let mine = ours.new_channel().await.unwrap();
    ours.group_add("room", &mine).await.unwrap();
    for _ in 0..2 {
        theirs.group_send("room", event!({"type": "numbered", "n": 1})).await.unwrap();
    }
    friend.group_send("room", event!({"type": "numbered", "n": 2})).await.unwrap();
    assert_eq!(within(ours.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 2);
    assert_eq!(logs::with(&[&read_at(&prefix, &ours), "no key decrypts it"]).len(), 1);
}

#[tokio::test]
async fn our_own_layer_drops_what_another_key_encrypted() {
    drops_what_another_key_encrypted(RedisLayer::new, |prefix, _| format!("{prefix}:{{room}}")).await;
}

#[tokio::test]
async fn the_core_layer_drops_what_another_key_encrypted() {
    drops_what_another_key_encrypted(RedisChannelLayer::new, mailbox).await;
}

#[tokio::test]
async fn the_pubsub_layer_drops_what_another_key_encrypted() {
    drops_what_another_key_encrypted(RedisPubSubChannelLayer::new, |prefix, _| format!("{prefix}__group__room")).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_of_that_group_only() {
    let (layer, prefix) = layer(&[], RedisChannelLayer::new).await;
    let key = format!("{prefix}:group:spoilt");
    let _: () = raw().set(&key, "no sorted set").unwrap();
    for _ in 0..2 {
        let error = layer.group_send("spoilt", event!({"type": "numbered"})).await.unwrap_err();
        assert!(matches!(error, LayerError::Broker { .. }), "{error}");
    }
    assert_eq!(logs::with(&[&key, "the broker refuses the command"]).len(), 1);
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("room", &mine).await.unwrap();
    layer.group_send("room", event!({"type": "numbered", "n": 3})).await.unwrap();
    assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 3);
    assert!(layer.is_ready());
}

#[tokio::test]
async fn connections_of_our_own_layer_get_what_a_key_of_another_type_keeps_from_named_channels() {
    let (layer, prefix) = layer(&[], RedisLayer::new).await;
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("spoilt", &mine).await.unwrap();
    let key = format!("{prefix}:{{spoilt}}:queues");
    let _: () = raw().set(&key, "no sorted set").unwrap();
    for n in 0..2 {
        let error = layer.group_send("spoilt", event!({"type": "numbered", "n": n})).await.unwrap_err();
        assert!(matches!(error, LayerError::Broker { .. }), "{error}");
        assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], n);
    }
    assert_eq!(logs::with(&[&key, "the broker refuses the command"]).len(), 1);
    assert_eq!(layer.dropped().lost, 0);
}

/// Where the core layer reads what is sent to this process.
fn mailbox(prefix: &str, layer: &Layer) -> String {
    format!("{prefix}{}", layer.get_ref().hub().head())
}

#[tokio::test]
async fn a_mailbox_of_another_type_is_read_again_when_it_is_gone() {
    let (layer, prefix) = layer(&[], RedisChannelLayer::new).await;
    let friend = peer(&prefix, &[], RedisChannelLayer::new).await;
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("room", &mine).await.unwrap();
    let third = peer(&prefix, &[], RedisChannelLayer::new).await;
    let theirs = third.new_channel().await.unwrap();
    third.group_add("room", &theirs).await.unwrap();
    let mailbox = mailbox(&prefix, &layer);
    let _: () = raw().set(&mailbox, "no sorted set").unwrap();
    let error = friend.group_send("room", event!({"type": "numbered", "n": 1})).await.unwrap_err();
    assert!(matches!(error, LayerError::Broker { .. }), "{error}");
    assert_eq!(within(third.receive(&theirs)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 1, "it has a mailbox");
    // By who writes to it, and by who reads it.
    within(async {
        while logs::with(&[&mailbox, "the broker refuses the command"]).len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    // Those of the same process do not need it.
    layer.group_send("room", event!({"type": "numbered", "n": 2})).await.unwrap();
    assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 2);
    let _: () = raw().del(&mailbox).unwrap();
    friend.group_send("room", event!({"type": "numbered", "n": 3})).await.unwrap();
    assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], 3);
    assert_eq!(logs::with(&[&mailbox, "the broker refuses the command"]).len(), 2, "each once");
}

/// A named channel whose key has another type is an error of that channel only, until it is gone.
async fn is_spoilt_alone<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>) {
    let (layer, prefix) = layer(&[], make).await;
    let key = format!("{prefix}work");
    let _: () = raw().set(&key, "no sorted set").unwrap();
    for _ in 0..2 {
        let error = layer.send("work", event!({"type": "numbered", "n": 1})).await.unwrap_err();
        assert!(matches!(error, SendError::Layer(LayerError::Broker { .. })), "{error}");
    }
    let reader = tokio::spawn({
        let layer = layer.clone();
        async move { layer.receive("work").await }
    });
    layer.send("other", event!({"type": "numbered", "n": 2})).await.unwrap();
    assert_eq!(within(layer.receive("other")).await.unwrap().decode::<RawEvent>().unwrap()["n"], 2);
    assert!(layer.is_ready());
    let _: () = raw().del(&key).unwrap();
    layer.send("work", event!({"type": "numbered", "n": 3})).await.unwrap();
    assert_eq!(within(reader).await.unwrap().unwrap().decode::<RawEvent>().unwrap()["n"], 3);
    assert_eq!(logs::with(&[&key, "the broker refuses the command"]).len(), 1);
}

#[tokio::test]
async fn a_named_channel_of_another_type_is_an_error_of_our_own_layer_for_it_only() {
    is_spoilt_alone(RedisLayer::new).await;
}

#[tokio::test]
async fn a_named_channel_of_another_type_is_an_error_of_the_core_layer_for_it_only() {
    is_spoilt_alone(RedisChannelLayer::new).await;
}

/// Under the key of one group is what is none, when the broker is lost and comes back.
async fn comes_back<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>, key: &str) {
    logs::keep();
    let server = RedisServer::start();
    let options = RedisOptions::from(server.url()).on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = Layer::new(make(options).unwrap());
    until_ready(&layer, true).await;
    let mut client = member(&layer).await;
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("spoilt", &mine).await.unwrap();
    let mut raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let _: () = raw.del(key).unwrap();
    let _: () = raw.set(key, "no sorted set").unwrap();
    for kind in ["normal", "pubsub"] {
        let _: () = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).query(&mut raw).unwrap();
    }
    assert_eq!([told(&mut client).await, told(&mut client).await], ["lost", "back"]);
    layer.group_send("room", event!({"type": "numbered", "n": 4})).await.unwrap();
    assert_eq!(told(&mut client).await, "4");
    assert_eq!(layer.group_size("room").await.unwrap(), 1);
    logs::wait_for(&[key, "the broker refuses the command"]).await;
}

#[channels::actix_web::test]
async fn a_key_of_another_type_keeps_our_own_layer_from_nothing_when_its_broker_is_back() {
    comes_back(RedisLayer::new, "asgi:{spoilt}:members").await;
}

#[channels::actix_web::test]
async fn a_key_of_another_type_keeps_the_core_layer_from_nothing_when_its_broker_is_back() {
    comes_back(RedisChannelLayer::new, "asgi:group:spoilt").await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_where_it_is_sent() {
    let (layer, _) = layer(&[], RedisLayer::new).await;
    let error = layer.group_send("room", event!({"type": "large", "text": "x".repeat(1 << 20)})).await.unwrap_err();
    assert!(error.to_string().starts_with("event `large` has 10485"), "{error}");
}

/// What tells equal bodies apart in a sorted set.
fn random_prefix() -> [u8; 12] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

/// `{"type": "a", "__asgi_channel__": […]}`
fn rmp_body(channels: &[&str]) -> Vec<u8> {
    let mut body = b"\x82\xa4type\xa1a\xb0__asgi_channel__".to_vec();
    body.push(0x90 | channels.len() as u8);
    for channel in channels {
        body.extend([0xd9, channel.len() as u8]);
        body.extend(channel.as_bytes());
    }
    body
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
