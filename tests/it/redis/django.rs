//! Django on the other side: its consumers get what we send, and we what they send.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::Duration,
};

use channels::{
    ChannelLayer, ChannelName, Event, Layer, RawEvent, event,
    layer::redis::{RedisChannelLayer, RedisOptions, RedisPubSubChannelLayer, SerializerFormat},
    prelude::{Deserialize, Serialize},
};
use serde_json::{Value, json};
use tokio_tungstenite::client_async;

use super::{
    server::{free_port, prefix, shared},
    until_ready,
};
use crate::support::{Socket, within};

/// Daphne, with the Channels project in `tests/django`. Dropping it kills it.
struct Django {
    child: Child,
    port: u16,
}

impl Django {
    fn start(layer: &Value) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python = format!("{root}/target/django/bin/python");
        let port = free_port();
        let child = Command::new(&python)
            .args(["-m", "daphne", "-b", "127.0.0.1", "-p", &port.to_string(), "asgi:application"])
            .current_dir(format!("{root}/tests/django"))
            .env("CHANNEL_LAYER", layer.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}; `scripts/test tests` installs Django there"));
        Self { child, port }
    }

    /// A client of its consumer, and the consumer's channel name.
    async fn connect(&self) -> (Socket, String) {
        let stream = within(async {
            loop {
                if let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let url = format!("ws://127.0.0.1:{}/ws/", self.port);
        let (stream, _) = within(client_async(url, stream)).await.expect("Django accepts");
        let mut socket = Socket(stream);
        let hello = told(&mut socket).await;
        (socket, hello["channel"].as_str().expect("it has one").to_owned())
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn told(socket: &mut Socket) -> Value {
    serde_json::from_str(&socket.text().await).expect("Django tells JSON")
}

/// Has Django's consumer do something, to the end.
async fn does(socket: &mut Socket, what: Value) {
    socket.send(what.to_string()).await;
    assert_eq!(told(socket).await, json!({ "did": what["do"] }));
}

/// A list of unlike things, as Python has them.
type Mixed = (u8, String, Option<u8>);

#[derive(Serialize, Deserialize, Event, Clone, PartialEq, Debug)]
#[event("edges")]
struct Edges {
    text: String,
    #[serde(with = "serde_bytes", default, skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<u8>,
    low: i64,
    high: u64,
    none: Option<u8>,
    yes: bool,
    half: f64,
    nested: BTreeMap<String, BTreeMap<String, Mixed>>,
}

/// What `EDGES` in `tests/django/consumers.py` says; JSON has no bytes.
fn edges(has_bytes: bool) -> Edges {
    let inner = BTreeMap::from([("b".to_owned(), (1, "c".to_owned(), None))]);
    Edges {
        text: "哈哈".to_owned(),
        bytes: if has_bytes { vec![0x00, 0x7f, 0x80, 0xff] } else { Vec::new() },
        low: i64::MIN,
        high: u64::MAX,
        none: None,
        yes: true,
        half: 0.5,
        nested: BTreeMap::from([("a".to_owned(), inner)]),
    }
}

async fn next_edges(layer: &Layer, channel: &ChannelName) -> Edges {
    let event = within(layer.receive(channel)).await.expect("it can be received on");
    assert_eq!(event.decode::<RawEvent>().expect("any event is one").get::<u64>("high"), Some(u64::MAX));
    event.decode::<Edges>().expect("it is one").clone()
}

/// Groups and channels of both, in both directions.
async fn share_groups_and_channels<L: ChannelLayer>(
    backend: &str,
    hosts: usize,
    keys: &[&str],
    format: SerializerFormat,
    make: impl Fn(RedisOptions) -> L,
) {
    let (prefix, hosts) = (prefix(), &shared()[..hosts]);
    let format_name = if format == SerializerFormat::Json { "json" } else { "msgpack" };
    let has_bytes = format == SerializerFormat::Msgpack;
    let django = Django::start(&json!({
        "BACKEND": backend,
        "CONFIG": {
            "hosts": hosts,
            "prefix": prefix,
            // The other way round, so that each side reads what the second key encrypted.
            "symmetric_encryption_keys": keys.iter().rev().collect::<Vec<_>>(),
            "serializer_format": format_name,
        },
    }));
    let options = RedisOptions::hosts(hosts.iter().map(String::as_str)).prefix(&prefix);
    let options = options.symmetric_encryption_keys(keys.iter().copied()).serializer_format(format);
    let layer = Layer::new(make(options));
    until_ready(&layer, true).await;
    let (mut first, theirs) = django.connect().await;
    let (mut second, _) = django.connect().await;

    for group in ["one", "two", "three"] {
        // Ours to theirs and to ours, through a group.
        let mine = [layer.new_channel().await.expect("it can"), layer.new_channel().await.expect("it can")];
        for channel in &mine {
            layer.group_add(group, channel).await.expect("it can");
        }
        does(&mut first, json!({"do": "join", "group": group})).await;
        does(&mut second, json!({"do": "join", "group": group})).await;
        layer.group_send(group, edges(has_bytes)).await.expect("it can");
        for socket in [&mut first, &mut second] {
            let came = told(socket).await;
            assert_eq!(came["edges"], true, "{came}");
        }
        for channel in &mine {
            assert_eq!(next_edges(&layer, channel).await, edges(has_bytes));
        }
        // Theirs to ours and to theirs.
        second.send(json!({"do": "group_send", "group": group, "edges": true, "bytes": has_bytes}).to_string()).await;
        for channel in &mine {
            assert_eq!(next_edges(&layer, channel).await, edges(has_bytes));
        }
        let mut answers = vec![told(&mut second).await, told(&mut second).await, told(&mut first).await];
        answers.retain(|answer| answer["did"].is_null());
        assert!(answers.len() == 2 && answers.iter().all(|came| came["edges"] == true), "{answers:?}");

        // Theirs to one of ours, and ours to one of theirs. Over several hosts Django's core looks where channels_redis
        // does not send; we read on all.
        let to = mine[0].as_str();
        does(&mut first, json!({"do": "send", "channel": to, "edges": true, "bytes": has_bytes})).await;
        assert_eq!(next_edges(&layer, &mine[0]).await, edges(has_bytes));
        layer.send(theirs.as_str(), event!({"type": "numbered", "n": 7})).await.expect("it can");
        assert_eq!(told(&mut first).await, json!({"n": 7}));

        // Who has left gets nothing; the order says so.
        layer.group_discard(group, &mine[1]).await.expect("it can");
        does(&mut second, json!({"do": "leave", "group": group})).await;
        does(&mut first, json!({"do": "group_send", "group": group, "event": {"type": "numbered", "n": 8}})).await;
        let event = within(layer.receive(&mine[0])).await.expect("it comes");
        assert_eq!(event.decode::<RawEvent>().expect("any event is one")["n"], 8);
        assert_eq!(told(&mut first).await, json!({"n": 8}));
        layer.send(&mine[1], event!({"type": "numbered", "n": 9})).await.expect("it can");
        let event = within(layer.receive(&mine[1])).await.expect("it comes");
        assert_eq!(event.decode::<RawEvent>().expect("any event is one")["n"], 9);
        does(&mut first, json!({"do": "leave", "group": group})).await;

        // What does not decode here is dropped, and nothing else is disturbed.
        if has_bytes {
            does(&mut first, json!({"do": "send", "channel": to, "key": 7})).await;
        }
        does(&mut first, json!({"do": "send", "channel": to, "event": {"type": "numbered", "n": 10}})).await;
        let event = within(layer.receive(&mine[0])).await.expect("it comes");
        assert_eq!(event.decode::<RawEvent>().expect("any event is one")["n"], 10);
    }
}

const CORE: &str = "channels_redis.core.RedisChannelLayer";
const PUBSUB: &str = "channels_redis.pubsub.RedisPubSubChannelLayer";
const KEYS: &[&str] = &["a new secret", "an old one"];

fn core(options: RedisOptions) -> RedisChannelLayer {
    RedisChannelLayer::new(options).expect("the options are right")
}

fn pubsub(options: RedisOptions) -> RedisPubSubChannelLayer {
    RedisPubSubChannelLayer::new(options).expect("the options are right")
}

#[tokio::test]
async fn django_and_we_share_the_core_layer() {
    share_groups_and_channels(CORE, 1, &[], SerializerFormat::Msgpack, core).await;
}

#[tokio::test]
async fn django_and_we_share_the_core_layer_encrypted() {
    share_groups_and_channels(CORE, 1, KEYS, SerializerFormat::Msgpack, core).await;
}

#[tokio::test]
async fn django_and_we_share_the_core_layer_on_two_hosts() {
    share_groups_and_channels(CORE, 2, &[], SerializerFormat::Msgpack, core).await;
}

#[tokio::test]
async fn django_and_we_share_the_core_layer_on_two_hosts_encrypted() {
    share_groups_and_channels(CORE, 2, KEYS, SerializerFormat::Msgpack, core).await;
}

#[tokio::test]
async fn django_and_we_share_the_core_layer_in_json() {
    share_groups_and_channels(CORE, 1, &[], SerializerFormat::Json, core).await;
}

#[tokio::test]
async fn django_and_we_share_the_pubsub_layer() {
    share_groups_and_channels(PUBSUB, 1, &[], SerializerFormat::Msgpack, pubsub).await;
}

#[tokio::test]
async fn django_and_we_share_the_pubsub_layer_encrypted() {
    share_groups_and_channels(PUBSUB, 1, KEYS, SerializerFormat::Msgpack, pubsub).await;
}

#[tokio::test]
async fn django_and_we_share_the_pubsub_layer_on_two_hosts() {
    share_groups_and_channels(PUBSUB, 2, &[], SerializerFormat::Msgpack, pubsub).await;
}

#[tokio::test]
async fn django_and_we_share_the_pubsub_layer_on_two_hosts_encrypted() {
    share_groups_and_channels(PUBSUB, 2, KEYS, SerializerFormat::Msgpack, pubsub).await;
}
