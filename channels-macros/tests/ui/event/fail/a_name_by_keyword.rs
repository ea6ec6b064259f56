use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "chat.message")]
struct ChatMessage {
    text: String,
}

fn main() {}
