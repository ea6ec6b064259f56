use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    fn chat_message(event: &ChatMessage) -> Result<usize> {
        Ok(event.text.len())
    }
}

fn main() {}
