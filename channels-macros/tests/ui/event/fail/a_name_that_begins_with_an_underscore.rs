use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("_private")]
struct ChatMessage {
    text: String,
}

fn main() {}
