//! Events as bytes, and back: what channels_redis's serializers do.

use std::time::Duration;

use rmpv::Value;
use thiserror::Error;

use super::crypt::Crypt;
use crate::{
    event::{Envelope, EventError, Fields, FieldsError, IntoEvent, RawEvent},
    layer::{ChannelName, GroupName},
};

/// The field that says for which channels of a process a body is.
const CHANNEL: &str = "__asgi_channel__";

/// The field that says who of a group is left out: the members of other groups, and channels. [`RedisLayer`](super::RedisLayer)
/// has it, and channels_redis does not.
const EXCEPT: &str = "__asgi_except__";

/// How events are written: Channels' `serializer_format`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum SerializerFormat {
    /// MessagePack: the default, in Channels too. Bytes and text are told apart.
    #[default]
    Msgpack,
    /// JSON, which has no bytes: they travel as a list of numbers.
    Json,
}

/// Whom a body is for, in itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    /// Whoever reads it.
    Reader,
    One(&'a str),
    Each(&'a [String]),
    /// The members of a group that are in none of these others, but these channels.
    Part {
        without: &'a [GroupName],
        except: &'a [ChannelName],
    },
}

/// A body that was read.
pub(super) struct Mail {
    pub(super) event: Envelope,
    /// The channels it is for; none when it is for whoever reads it.
    pub(super) to: Vec<String>,
    /// Who of a group is left out.
    pub(super) except: Except,
}

/// The members of other groups, and channels, by their names.
pub(super) type Except = (Vec<String>, Vec<String>);

/// A body that is not one of an event.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    #[error("it has {size} bytes; the most is {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("no key decrypts it, or it is too old")]
    Encrypted,
    #[error("it is too short")]
    TooShort,
    #[error(transparent)]
    Fields(#[from] FieldsError),
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("`__asgi_channel__` is neither a text nor a list of texts")]
    Channel,
    #[error("`__asgi_except__` is no two lists of texts")]
    Except,
}

impl BodyError {
    /// The kind of mistake: each is logged once for a key.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too large",
            Self::Encrypted => "encrypted",
            Self::TooShort => "too short",
            Self::Fields(FieldsError::Key(_)) => "key",
            Self::Fields(_) => "fields",
            Self::Json(_) => "json",
            Self::Event(EventError::NoType) => "type",
            Self::Event(_) => "event",
            Self::Channel => "channel",
            Self::Except => "except",
        }
    }
}

/// How bodies are written and read.
#[derive(Clone)]
pub(super) struct Codec {
    pub(super) format: SerializerFormat,
    pub(super) crypt: Option<Crypt>,
    /// Random bytes before each body, which tell equal ones apart in a sorted set.
    pub(super) random_prefix: usize,
    /// How old an encrypted body may be.
    pub(super) ttl: Option<Duration>,
    /// Bytes in a body, at most.
    pub(super) limit: usize,
}

impl Codec {
    pub(super) fn encode(&self, event: &Envelope, to: To<'_>) -> Result<Vec<u8>, EventError> {
        let plain = match self.format {
            SerializerFormat::Msgpack => msgpack(event, to),
            SerializerFormat::Json => json(event, to),
        };
        let plain = plain.map_err(|source| EventError::Encode { name: event.name().to_owned(), source })?;
        let body = match &self.crypt {
            Some(crypt) => crypt.encrypt(&plain),
            None => plain,
        };
        if body.len() > self.limit {
            let name = event.name().to_owned();
            return Err(EventError::TooLarge { name, size: body.len(), limit: self.limit });
        }
        if self.random_prefix == 0 {
            return Ok(body);
        }
        let mut prefixed = vec![0; self.random_prefix];
        fastrand::Rng::new().fill(&mut prefixed);
        prefixed.extend_from_slice(&body);
        Ok(prefixed)
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Mail, BodyError> {
        let body = bytes.get(self.random_prefix..).ok_or(BodyError::TooShort)?;
        if body.len() > self.limit {
            return Err(BodyError::TooLarge { size: body.len(), limit: self.limit });
        }
        let decrypted;
        let plain = match &self.crypt {
            Some(crypt) => {
                decrypted = crypt.decrypt(body, self.ttl).ok_or(BodyError::Encrypted)?;
                decrypted.as_slice()
            }
            None => body,
        };
        match self.format {
            SerializerFormat::Msgpack => from_msgpack(plain),
            SerializerFormat::Json => from_json(plain),
        }
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

fn msgpack(event: &Envelope, to: To<'_>) -> Result<Vec<u8>, Source> {
    let mut extra = vec![("type", Value::from(event.name()))];
    match to {
        To::Reader => {}
        To::One(channel) => extra.push((CHANNEL, channel.into())),
        To::Each(channels) => {
            extra.push((CHANNEL, channels.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into()));
        }
        To::Part { without, except } => {
            let groups = without.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into();
            let channels = except.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into();
            extra.push((EXCEPT, Value::Array(vec![groups, channels])));
        }
    }
    Ok(event.to_fields()?.with(&extra))
}

fn json(event: &Envelope, to: To<'_>) -> Result<Vec<u8>, Source> {
    let mut event = event.decode::<RawEvent>()?.to_json();
    match to {
        To::Reader => {}
        To::One(channel) => event[CHANNEL] = channel.into(),
        To::Each(channels) => event[CHANNEL] = channels.into(),
        To::Part { without, except } => {
            let groups: Vec<_> = without.iter().map(GroupName::as_str).collect();
            let channels: Vec<_> = except.iter().map(ChannelName::as_str).collect();
            event[EXCEPT] = serde_json::json!([groups, channels]);
        }
    }
    Ok(serde_json::to_vec(&event)?)
}

fn from_msgpack(plain: &[u8]) -> Result<Mail, BodyError> {
    let (fields, [name, to, except]) = Fields::read(plain, ["type", CHANNEL, EXCEPT])?;
    let Some(Value::String(name)) = name else { return Err(EventError::NoType.into()) };
    let text = |value: Value| match value {
        Value::String(text) => text.into_str(),
        _ => None,
    };
    let texts = |value: Value| match value {
        Value::Array(values) => values.into_iter().map(text).collect::<Option<Vec<_>>>(),
        value => Some(vec![text(value)?]),
    };
    let to = to.map(|to| texts(to).ok_or(BodyError::Channel)).transpose()?.unwrap_or_default();
    let except = match except {
        None => Except::default(),
        Some(Value::Array(parts)) => match <[Value; 2]>::try_from(parts).map(|parts| parts.map(texts)) {
            Ok([Some(groups), Some(channels)]) => (groups, channels),
            _ => return Err(BodyError::Except),
        },
        Some(_) => return Err(BodyError::Except),
    };
    Ok(Mail { event: Envelope::from_fields(name.into_str().unwrap_or_default(), fields)?, to, except })
}

fn from_json(plain: &[u8]) -> Result<Mail, BodyError> {
    let mut body: serde_json::Value = serde_json::from_slice(plain).map_err(BodyError::Json)?;
    let mut take = |field: &str| body.as_object_mut().and_then(|fields| fields.remove(field));
    let except = take(EXCEPT).map(serde_json::from_value).transpose().map_err(|_| BodyError::Except)?;
    let to = match take(CHANNEL) {
        None => Vec::new(),
        Some(serde_json::Value::String(channel)) => vec![channel],
        Some(channels) => serde_json::from_value(channels).map_err(|_| BodyError::Channel)?,
    };
    Ok(Mail { event: RawEvent::from_json(body)?.into_event()?, to, except: except.unwrap_or_default() })
}

/// The part of a channel's name that its mailbox has: up to and with the `!`.
pub(super) fn non_local(channel: &str) -> &str {
    channel.find('!').map_or(channel, |at| &channel[..=at])
}

/// The names among these texts that are ones of channels; the first that is none.
pub(super) fn names(texts: &[String]) -> (Vec<ChannelName>, Option<&str>) {
    let mut wrong = None;
    let names = texts.iter().filter_map(|text| match ChannelName::new(text.as_str()) {
        Ok(name) => Some(name),
        Err(_) => {
            wrong.get_or_insert(text.as_str());
            None
        }
    });
    (names.collect(), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;

    fn codec(format: SerializerFormat, keys: &[&str], random_prefix: usize) -> Codec {
        let crypt = Crypt::new(&keys.iter().map(ToString::to_string).collect::<Vec<_>>());
        Codec { format, crypt, random_prefix, ttl: None, limit: 1 << 20 }
    }

    fn envelope() -> Envelope {
        event!({"type": "a.b", "text": "哈哈", "none": null, "n": u64::MAX}).into_event().unwrap()
    }

    // channels_redis test_serializers: serialize and deserialize, encrypted round trip
    #[test]
    fn a_body_comes_back_in_each_format_with_and_without_prefix_and_keys() {
        for format in [SerializerFormat::Msgpack, SerializerFormat::Json] {
            for keys in [&[][..], &["secret"], &["new", "old"]] {
                for prefix in [0, 8, 12] {
                    let codec = codec(format, keys, prefix);
                    let to = ["specific.a!b".to_owned(), "specific.a!c".to_owned()];
                    let body = codec.encode(&envelope(), To::Each(&to)).unwrap();
                    let mail = codec.decode(&body).unwrap();
                    assert_eq!(mail.to, to);
                    let (came, sent) = (mail.event, envelope());
                    assert_eq!(came.decode::<RawEvent>().unwrap(), sent.decode::<RawEvent>().unwrap());
                    let body = codec.encode(&envelope(), To::One("specific.a!b")).unwrap();
                    assert_eq!(codec.decode(&body).unwrap().to, ["specific.a!b"]);
                    assert!(codec.decode(&codec.encode(&envelope(), To::Reader).unwrap()).unwrap().to.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_body_says_who_is_left_out_in_each_format() {
        for format in [SerializerFormat::Msgpack, SerializerFormat::Json] {
            let codec = codec(format, &["secret"], 0);
            let (without, except) = ([GroupName::new("a").unwrap()], [ChannelName::new("b").unwrap()]);
            let body = codec.encode(&envelope(), To::Part { without: &without, except: &except }).unwrap();
            let mail = codec.decode(&body).unwrap();
            assert_eq!(mail.except, (vec!["a".to_owned()], vec!["b".to_owned()]));
            assert_eq!(mail.event.decode::<RawEvent>().unwrap(), envelope().decode::<RawEvent>().unwrap());
        }
        for body in [&b"\x82\xa4type\xa1a\xaf__asgi_except__\x01"[..], b"\x82\xa4type\xa1a\xaf__asgi_except__\x91\x90"]
        {
            let error = codec(SerializerFormat::Msgpack, &[], 0).decode(body).err().unwrap();
            assert_eq!(error.to_string(), "`__asgi_except__` is no two lists of texts");
        }
    }

    #[test]
    fn equal_events_have_unequal_bodies_when_a_random_prefix_is_asked_for() {
        let codec = codec(SerializerFormat::Msgpack, &[], 12);
        let body = || codec.encode(&envelope(), To::Reader).unwrap();
        assert_ne!(body(), body());
        assert_eq!(body()[12..], body()[12..]);
    }

    #[test]
    fn a_body_that_is_none_says_what_is_wrong() {
        let plain = codec(SerializerFormat::Msgpack, &[], 0);
        let wrong = |codec: &Codec, body: &[u8]| codec.decode(body).map(|_| ()).unwrap_err().to_string();
        assert_eq!(wrong(&plain, b"\x81\x01\x02"), "a map has a key that is not text: 1");
        assert_eq!(wrong(&plain, b"\x80"), EventError::NoType.to_string());
        assert_eq!(wrong(&plain, b"\x81\xa4type\xa2_x"), "event type `_x` starts with `_`");
        assert_eq!(wrong(&plain, &vec![0; (1 << 20) + 1]), "it has 1048577 bytes; the most is 1048576");
        assert_eq!(wrong(&codec(SerializerFormat::Msgpack, &[], 12), b"short"), "it is too short");
        assert_eq!(wrong(&codec(SerializerFormat::Json, &[], 0), b"{"), "it is not JSON");
        let theirs = codec(SerializerFormat::Msgpack, &["theirs"], 0).encode(&envelope(), To::Reader).unwrap();
        let ours = codec(SerializerFormat::Msgpack, &["ours"], 0);
        assert_eq!(wrong(&ours, &theirs), "no key decrypts it, or it is too old");
        let large = event!({"type": "a", "text": "x".repeat(1 << 20)}).into_event().unwrap();
        let error = plain.encode(&large, To::Reader).unwrap_err().to_string();
        assert!(error.ends_with("bytes on its way to other processes; the most is 1048576"), "{error}");
    }
}
