use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(7)]
struct ChatMessage {
    text: String,
}

fn main() {}
