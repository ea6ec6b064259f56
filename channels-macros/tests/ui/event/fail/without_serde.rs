use channels::prelude::*;

#[derive(Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

fn main() {}
