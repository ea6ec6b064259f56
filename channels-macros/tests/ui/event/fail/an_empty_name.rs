use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("")]
struct ChatMessage {
    text: String,
}

fn main() {}
