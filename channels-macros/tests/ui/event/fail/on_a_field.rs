use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    #[event("text")]
    text: String,
}

fn main() {}
