use channels::prelude::*;

#[derive(Clone, Copy, Event)]
#[event("chat.message")]
union ChatMessage {
    number: u32,
    bytes: [u8; 4],
}

fn main() {}
