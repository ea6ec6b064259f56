use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event = "chat.message"]
struct ChatMessage {
    text: String,
}

fn main() {}
