//! What is sent arrives once, in order, as what it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Make, Subject, next, numbered, ready, small, waiting, within};
use crate::{Event, Layer, RawEvent, event, layer::Limits};

/// A channel that `near` receives on: a named one, or where names are heard by all, one of its own.
pub(super) async fn channel(subject: &Subject, name: &str) -> String {
    match subject.broadcasts {
        true => subject.near.new_channel().await.expect("it can make one").to_string(),
        false => name.to_owned(),
    }
}

/// What is sent to a channel is received there, once, and nowhere else.
pub async fn what_is_sent_to_a_channel_is_received_there_once(make: Make) {
    let subject = ready(&make, small()).await;
    let (first, second) = (channel(&subject, "test-channel-1").await, channel(&subject, "test-channel-2").await);
    let event = event!({"type": "test.message", "text": "Ahoy-hoy!"});
    subject.far.send(first.as_str(), event).await.expect("it can be sent");
    let event = within(subject.near.receive(first.as_str())).await.expect("it comes");
    assert_eq!(event.name(), "test.message");
    assert_eq!(event.decode::<RawEvent>().expect("it is one")["text"], "Ahoy-hoy!");
    assert!(waiting(&subject.far, &subject.near, &first).await.is_empty());
    assert!(waiting(&subject.far, &subject.near, &second).await.is_empty());
}

/// Events that are equal are as many events as were sent.
pub async fn equal_events_are_told_apart(make: Make) {
    let subject = ready(&make, small()).await;
    let channel = channel(&subject, "test-channel-4").await;
    for sender in [&subject.far, &subject.far, &subject.near] {
        sender.send(channel.as_str(), numbered(7)).await.expect("there is room");
    }
    for _ in 0..3 {
        assert_eq!(next(&subject.near, &channel).await, 7);
    }
    assert!(waiting(&subject.far, &subject.near, &channel).await.is_empty());
}

#[derive(Serialize, Deserialize, PartialEq, Clone, Debug)]
struct TestMessage {
    text: String,
    #[serde(with = "bytes")]
    bytes: Vec<u8>,
    low: i64,
    high: u64,
    none: Option<u8>,
    nested: BTreeMap<String, Vec<f64>>,
}

/// Bytes as bytes, where the format has them.
mod bytes {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = numbers.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl Event for TestMessage {
    const NAME: &'static str = "test.message";
}

/// A typed event is the same value for its receiver: texts, bytes, numbers at the edges, nothing, and what is nested.
pub async fn a_typed_event_arrives_as_what_it_was(make: Make) {
    let subject = ready(&make, small()).await;
    let channel = channel(&subject, "test.channel").await;
    let sent = TestMessage {
        text: "哈哈".to_owned(),
        bytes: vec![0, 127, 128, 255],
        low: i64::MIN,
        high: u64::MAX,
        none: None,
        nested: BTreeMap::from([("numbers".to_owned(), vec![0.1, -1.5e300])]),
    };
    subject.far.send(channel.as_str(), sent.clone()).await.expect("it can be sent");
    let event = within(subject.near.receive(channel.as_str())).await.expect("it comes");
    assert_eq!(event.decode::<TestMessage>().expect("it is one"), &sent);
    assert_eq!(event.decode::<RawEvent>().expect("any event is one").get::<u64>("high"), Some(u64::MAX));
}

/// What one sends to a channel arrives in that order.
pub async fn events_of_one_sender_arrive_in_order(make: Make) {
    let subject = ready(&make, Limits::default()).await;
    let mut channels = vec![subject.near.new_channel().await.expect("it can make one").to_string()];
    if !subject.broadcasts && subject.is_ordered {
        channels.push("test-channel-3".to_owned());
    }
    for channel in channels {
        for n in 0..50 {
            subject.far.send(channel.as_str(), numbered(n)).await.expect("there is room");
        }
        for n in 0..50 {
            assert_eq!(next(&subject.near, &channel).await, n);
        }
    }
}

/// A thread without a runtime of actix, and with one for each call, can do all that a connection can.
pub async fn handles_work_on_threads_that_know_nothing_of_actix(make: Make) {
    let subject = ready(&make, Limits::default()).await;
    let mine = subject.near.new_channel().await.expect("it can make one");
    let (layer, channel) = (subject.near.clone(), mine.clone());
    let ended = std::thread::spawn(move || {
        outside(layer.group_add("room", &channel)).expect("it can");
        outside(layer.group_send("room", numbered(1))).expect("it can");
        outside(layer.send(&channel, numbered(2))).expect("it can");
        outside(next(&layer, &channel))
    });
    let first = within(tokio::task::spawn_blocking(|| ended.join().expect("it does not panic"))).await;
    assert_eq!(first.expect("it ends"), 1);
    assert_eq!(next(&subject.near, &mine).await, 2);
}

/// Runs a future on a thread that knows nothing of actix.
fn outside<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it starts").block_on(future)
}

/// After a flush nobody is in a group and nothing waits.
pub async fn a_flushed_layer_has_forgotten_events_and_groups(make: Make) {
    let subject = ready(&make, small()).await;
    let mine = subject.near.new_channel().await.expect("it can make one");
    subject.near.group_add("room", &mine).await.expect("it can");
    if !subject.broadcasts {
        subject.far.send("test-channel-1", numbered(1)).await.expect("there is room");
    }
    subject.near.flush().await.expect("it can");
    assert_eq!(size(&subject.near).await, 0);
    subject.near.group_send("room", numbered(2)).await.expect("it can");
    assert!(waiting(&subject.near, &subject.near, &mine).await.is_empty());
    if !subject.broadcasts {
        assert!(waiting(&subject.far, &subject.near, "test-channel-1").await.is_empty());
    }
    subject.near.group_add("room", &mine).await.expect("it can");
    subject.far.group_send("room", numbered(3)).await.expect("it can");
    assert_eq!(next(&subject.near, &mine).await, 3);
}

async fn size(layer: &Layer) -> usize {
    layer.group_size("room").await.expect("it can tell")
}
