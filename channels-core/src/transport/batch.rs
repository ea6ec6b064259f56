//! Messages as JSON: what goes over the wire in requests, event streams and `channels.v1` sockets.

use std::{borrow::Cow, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

use crate::{Close, Message};

/// How many messages a client's batch may have: each costs some bytes more than it has, and an empty one has none.
pub(crate) const MAX_MESSAGES: usize = 1_024;

/// Several messages, the first of which has this number.
#[derive(Serialize, Deserialize, Default, Debug)]
pub(crate) struct Batch {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) from: u64,
    /// What is read has one more than [`MAX_MESSAGES`] at most; what is written has as many as there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "messages")]
    pub(crate) messages: Vec<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ack: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) close: Option<End>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Keeps one more than there may be, so that it is known that there are too many.
fn messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Said>, D::Error> {
    struct Messages;

    impl<'de> Visitor<'de> for Messages {
        type Value = Vec<Said>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of messages")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Said>, A::Error> {
            let mut messages = Vec::new();
            while messages.len() <= MAX_MESSAGES {
                let Some(said) = list.next_element()? else { return Ok(messages) };
                messages.push(said);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(messages)
        }
    }

    deserializer.deserialize_seq(Messages)
}

/// A message: a text is a string, a binary message `{"b": "<base64>"}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said(pub(crate) Message);

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Message::Text(text) => serializer.serialize_str(text),
            Message::Binary(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("b", &to_base64(bytes))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Saying;

        impl<'de> Visitor<'de> for Saying {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a map with base64 under `b`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Said, E> {
                Ok(Said(text.into()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Said, E> {
                Ok(Said(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let Some((key, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? else {
                    return Err(A::Error::missing_field("b"));
                };
                if key != "b" || map.next_key::<Cow<'_, str>>()?.is_some() {
                    return Err(A::Error::custom("a binary message has one field, `b`"));
                }
                BASE64.decode(&*value).map(|bytes| Said(Bytes::from(bytes).into())).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Saying)
    }
}

/// Why a session ended.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) reason: String,
}

impl From<&Close> for End {
    fn from(close: &Close) -> Self {
        Self { code: close.code.get(), reason: close.reason.to_string() }
    }
}

impl From<End> for Close {
    fn from(End { code, reason }: End) -> Self {
        Self::new(code, reason)
    }
}

/// What a client is told when a session begins, or goes on.
#[derive(Serialize)]
pub(crate) struct Opened<'a> {
    pub(crate) session: &'a str,
    /// In seconds.
    #[serde(serialize_with = "seconds")]
    pub(crate) window: Duration,
    pub(crate) subprotocol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<u64>,
}

/// Without a fraction where there is none.
fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if time.subsec_nanos() == 0 {
        serializer.serialize_u64(time.as_secs())
    } else {
        serializer.serialize_f64(time.as_secs_f64())
    }
}

#[derive(Serialize)]
pub(crate) struct Taken {
    pub(crate) taken: u64,
}

/// What is written here has no map whose keys are not text, and so can be JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a JSON object; serde by itself would take a list for a struct, too.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().first() == Some(&b'{');
    serde_json::from_slice(json).ok().filter(|_| is_object)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_as_it_is_written() {
        let text = r#"{"from":7,"messages":["a \"text\"",{"b":"AAEC"},""]}"#;
        let batch: Batch = serde_json::from_str(text).unwrap();
        assert_eq!(batch.messages[1], Said(Message::from(vec![0, 1, 2])));
        assert_eq!(json(&batch), text);
        assert_eq!(json(&Batch::default()), "{}");
    }

    #[test]
    fn of_too_many_messages_one_more_than_there_may_be_is_kept() {
        for (count, kept) in [(1_024, 1_024), (1_025, 1_025), (400_000, 1_025)] {
            let batch: Batch = serde_json::from_value(serde_json::json!({ "messages": vec![""; count] })).unwrap();
            assert_eq!(batch.messages.len(), kept);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for message in
            ["7", "null", "[]", "{}", r#"{"b": 7}"#, r#"{"b": "?"}"#, r#"{"a": ""}"#, r#"{"b": "", "c": ""}"#]
        {
            let batch = format!(r#"{{"from": 1, "messages": [{message}]}}"#);
            assert!(serde_json::from_str::<Batch>(&batch).is_err(), "{batch}");
        }
    }
}
