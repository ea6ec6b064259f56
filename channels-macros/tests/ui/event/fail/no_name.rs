use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct ChatMessage {
    text: String,
}

fn main() {}
