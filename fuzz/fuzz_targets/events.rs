//! Events and messages decoded: what is JSON with a good type is an event and comes back as it was; what fits a type is
//! what serde alone makes of it.

#![no_main]

use channels_core::{Event, FromMessage, IntoEvent, Json, MAX_REASON_LEN, Message, RawEvent};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Said {
    text: String,
    number: Option<i16>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
enum Tag {
    Plain,
    Colour { rgb: [u8; 3] },
    Weight(f32),
}

impl Event for Said {
    const NAME: &'static str = "chat.said";
}

#[derive(PartialEq, Serialize, Deserialize, Debug)]
struct Tick;

impl Event for Tick {
    const NAME: &'static str = "tick";
}

fuzz_target!(|text: &str| {
    message(text);
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let event = match RawEvent::from_json(value.clone()) {
        Ok(event) => event,
        Err(error) => {
            assert!(!value.get("type").and_then(Value::as_str).is_some_and(good_name), "{value}: {error}");
            return;
        }
    };
    assert!(good_name(event.name()), "{value}");
    assert_eq!(event.to_json(), value);

    let mut fields = value.clone();
    fields.as_object_mut().expect("an event is a map").remove("type");
    let envelope = event.into_event().expect("its name is good");
    assert_eq!(envelope.decode::<RawEvent>().expect("it is one").to_json(), value);
    let said = envelope.decode::<Said>();
    match (said, Said::deserialize(&fields)) {
        (Ok(said), Ok(wanted)) => {
            assert_eq!(*said, wanted);
            let again = wanted.clone().into_event().expect("its name is good");
            let raw = again.decode::<RawEvent>().expect("it is a map").clone();
            let back = raw.into_event().expect("its name is good");
            assert_eq!(*back.decode::<Said>().expect("it was one"), wanted);
        }
        (Err(_), Err(_)) => {}
        (said, wanted) => panic!("{said:?}, not {wanted:?}"),
    }
    let empty = fields.as_object().expect("still a map").is_empty();
    assert_eq!(envelope.decode::<Tick>().is_ok(), empty, "{value}");
});

/// What a client sends, as `receive` takes it.
fn message(text: &str) {
    match (Json::<Said>::from_message(Message::from(text)), serde_json::from_str::<Said>(text)) {
        (Ok(Json(said)), Ok(wanted)) => assert_eq!(said, wanted),
        (Err(error), Err(_)) => {
            assert_eq!(error.code.get(), 1007);
            assert!(channels_core::Close::new(error.code, &error.reason).reason.len() <= MAX_REASON_LEN);
        }
        (said, wanted) => panic!("{:?}, not {wanted:?}", said.map(|said| said.0)),
    }
}

/// Letters, digits, `.`, `_`, `-`; neither `_` nor `.` first.
fn good_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['_', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
