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
    unsafe fn chat_message(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }
}

fn main() {}
