//! The fields of an event as MessagePack, for layers that leave the process.

use rmp_serde::{Deserializer, Serializer};
use rmpv::{Value, ValueRef};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

/// How deep the content of an event may be nested; a stranger's body may not exhaust the stack.
const DEPTH: usize = 64;

/// The fields of an event, `type` not among them, as a MessagePack map with text for keys.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    count: u32,
    map: Vec<u8>,
    /// Where the map's header ends.
    pairs: usize,
}

/// Content that is not an event's.
#[derive(Debug, Error)]
pub(crate) enum FieldsError {
    #[error("it is not MessagePack")]
    NotMsgpack(#[source] rmpv::decode::Error),
    #[error("there are {0} bytes behind it")]
    TooLong(usize),
    #[error("it is not a map")]
    NotAMap,
    #[error("a map has a key that is not text: {0}")]
    Key(String),
    #[error("a text is not UTF-8")]
    Text,
    #[error("it cannot be serialized")]
    Serialize(#[source] rmp_serde::encode::Error),
}

impl Fields {
    /// The fields of a value: a struct, a map with text for keys, or nothing.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, FieldsError> {
        let mut map = Vec::with_capacity(128);
        let mut serializer = Serializer::new(&mut map).with_struct_map().with_human_readable();
        value.serialize(&mut serializer).map_err(FieldsError::Serialize)?;
        if map == [0xc0] {
            map = vec![0x80]; // a unit struct is nothing, and travels as a map without fields
        }
        match read(&map)? {
            ValueRef::Map(pairs) => check_keys(&pairs)?,
            _ => return Err(FieldsError::NotAMap),
        }
        Self::from_map(map)
    }

    fn from_map(map: Vec<u8>) -> Result<Self, FieldsError> {
        let mut rest = map.as_slice();
        let count = rmp::decode::read_map_len(&mut rest).map_err(|_| FieldsError::NotAMap)?;
        let pairs = map.len() - rest.len();
        Ok(Self { count, map, pairs })
    }

    /// The same map with more at its beginning.
    pub(crate) fn with(&self, extra: &[(&str, Value)]) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.map.len() + 64);
        let count = self.count + extra.len() as u32;
        // Writing to memory does not fail.
        let _ = rmp::encode::write_map_len(&mut body, count);
        for (key, value) in extra {
            let _ = rmp::encode::write_str(&mut body, key);
            let _ = rmpv::encode::write_value(&mut body, value);
        }
        body.extend_from_slice(&self.map[self.pairs..]);
        body
    }

    /// Reads a body, and takes these fields out of it.
    pub(crate) fn read<const N: usize>(
        body: &[u8],
        take: [&str; N],
    ) -> Result<(Self, [Option<Value>; N]), FieldsError> {
        let ValueRef::Map(pairs) = read(body)? else { return Err(FieldsError::NotAMap) };
        check_keys(&pairs)?;
        let mut taken = [const { None }; N];
        let mut rest = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let name = match &key {
                ValueRef::String(name) => name.as_str(),
                _ => None,
            };
            match take.iter().position(|wanted| name == Some(*wanted)) {
                Some(at) => taken[at] = Some(value.to_owned()),
                None => rest.push((key, value)),
            }
        }
        let mut map = Vec::with_capacity(body.len());
        let _ = rmpv::encode::write_value_ref(&mut map, &ValueRef::Map(rest));
        Ok((Self::from_map(map)?, taken))
    }

    /// The fields as a `T`.
    pub(crate) fn to_typed<T: DeserializeOwned>(&self) -> Result<T, rmp_serde::decode::Error> {
        let parse = |bytes: &[u8]| T::deserialize(&mut Deserializer::new(bytes).with_human_readable());
        parse(&self.map).or_else(|error| {
            // A unit struct is written as nothing and so read from nothing.
            if self.count == 0 { parse(&[0xc0]).map_err(|_| error) } else { Err(error) }
        })
    }

    /// The fields as JSON; bytes become a list of numbers, and what is no number in JSON `null`.
    pub(crate) fn to_json(&self) -> Map<String, Json> {
        let value = rmpv::decode::read_value(&mut self.map.as_slice());
        let Ok(Value::Map(pairs)) = value else { return Map::new() };
        pairs.into_iter().map(|(key, value)| (text(&key), json(value))).collect()
    }
}

fn read(body: &[u8]) -> Result<ValueRef<'_>, FieldsError> {
    let mut rest = body;
    let value = rmpv::decode::read_value_ref_with_max_depth(&mut rest, DEPTH).map_err(FieldsError::NotMsgpack)?;
    if rest.is_empty() { Ok(value) } else { Err(FieldsError::TooLong(rest.len())) }
}

/// Python refuses a map with other keys than text, and so do we.
fn check_keys(pairs: &[(ValueRef<'_>, ValueRef<'_>)]) -> Result<(), FieldsError> {
    for (key, value) in pairs {
        match key {
            ValueRef::String(text) if text.is_str() => check(value)?,
            ValueRef::String(_) => return Err(FieldsError::Text),
            other => return Err(FieldsError::Key(other.to_string())),
        }
    }
    Ok(())
}

fn check(value: &ValueRef<'_>) -> Result<(), FieldsError> {
    match value {
        ValueRef::Map(pairs) => check_keys(pairs),
        ValueRef::Array(values) => values.iter().try_for_each(check),
        ValueRef::String(text) if !text.is_str() => Err(FieldsError::Text),
        _ => Ok(()),
    }
}

fn text(key: &Value) -> String {
    key.as_str().unwrap_or_default().to_owned()
}

fn json(value: Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(value) => Json::Bool(value),
        Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (_, Some(number)) => number.into(),
            _ => Json::Null,
        },
        Value::F32(number) => Number::from_f64(number.into()).map_or(Json::Null, Json::Number),
        Value::F64(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        Value::String(text) => text.into_str().map_or(Json::Null, Json::String),
        Value::Binary(bytes) | Value::Ext(_, bytes) => bytes.into(),
        Value::Array(values) => values.into_iter().map(json).collect(),
        Value::Map(pairs) => Json::Object(pairs.into_iter().map(|(key, value)| (text(&key), json(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Edges {
        low: i64,
        high: u64,
        none: Option<u8>,
        text: String,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        nested: BTreeMap<String, Vec<f64>>,
    }

    fn edges() -> Edges {
        let nested = BTreeMap::from([("游".to_owned(), vec![0.1, -0.0])]);
        Edges { low: i64::MIN, high: u64::MAX, none: None, text: "哈".into(), bytes: vec![0, 255], nested }
    }

    #[test]
    fn a_body_is_what_python_packs() {
        let value = serde_json::json!({"a": true, "b": null, "c": {"d": []}});
        let expected = [0x83, 0xa1, 0x61, 0xc3, 0xa1, 0x62, 0xc0, 0xa1, 0x63, 0x81, 0xa1, 0x64, 0x90];
        assert_eq!(Fields::of(&value).unwrap().with(&[]), expected);
    }

    #[test]
    fn typed_fields_come_back_as_they_were() {
        let body = Fields::of(&edges()).unwrap().with(&[("type", "x.y".into())]);
        let (fields, [kind, channel]) = Fields::read(&body, ["type", "__asgi_channel__"]).unwrap();
        assert_eq!((kind, channel), (Some("x.y".into()), None));
        assert_eq!(fields.to_typed::<Edges>().unwrap(), edges());
    }

    #[test]
    fn as_json_bytes_are_numbers_and_integers_exact() {
        let json = Fields::of(&edges()).unwrap().to_json();
        assert_eq!(json["bytes"], serde_json::json!([0, 255]));
        assert_eq!((json["low"].as_i64(), json["high"].as_u64()), (Some(i64::MIN), Some(u64::MAX)));
        assert_eq!(json["none"], Json::Null);
    }

    #[test]
    fn text_and_bytes_are_told_apart() {
        let body = Fields::of(&edges()).unwrap().with(&[]);
        let value = rmpv::decode::read_value(&mut body.as_slice()).unwrap();
        assert!(value["text"].is_str() && value["bytes"].is_bin());
    }

    #[test]
    fn what_is_no_map_of_text_is_refused_and_said() {
        let refused = |body: &[u8]| Fields::read(body, []).unwrap_err().to_string();
        assert_eq!(refused(&[0x91, 0x01]), "it is not a map");
        assert_eq!(refused(&[0x81, 0x01, 0x02]), "a map has a key that is not text: 1");
        assert_eq!(refused(&[0x81, 0xa1, 0x61, 0x81, 0x01, 0x02]), "a map has a key that is not text: 1");
        assert_eq!(refused(&[0x81, 0xa1, 0x61, 0xa1, 0xff]), "a text is not UTF-8");
        assert_eq!(refused(&[0x80, 0x00]), "there are 1 bytes behind it");
        assert_eq!(refused(b"\xff"), "it is not a map");
        assert_eq!(refused(&[0x82, 0xa1]), "it is not MessagePack");
        let mut deep = vec![0x81, 0xa1, 0x61];
        deep.extend([0x91; 1_000]);
        deep.push(0xc0);
        assert_eq!(refused(&deep), "it is not MessagePack");
        assert!(Fields::of(&BTreeMap::from([(1, 2)])).is_err());
    }
}
