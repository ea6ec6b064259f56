use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    #[serde(rename = "message")]
    _text: String,
}

/// A doc comment, and a comma at the end.
#[derive(Serialize, Deserialize, Event)]
#[serde(deny_unknown_fields)]
#[event("chat-notice_2")]
struct Notice;

#[derive(Serialize, Deserialize, Event)]
#[event("chat.change", crate = channels)]
#[serde(tag = "change")]
enum Change {
    Topic { _text: String },
    Closed,
}

#[test]
fn each_has_its_name() {
    let _ = (Change::Closed, Change::Topic { _text: String::new() });
    assert_eq!((ChatMessage::NAME, Notice::NAME, Change::NAME), ("chat.message", "chat-notice_2", "chat.change"));
}
