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
    async fn chat_message(&mut self, _cx: &mut Context, event: &mut ChatMessage) -> Result<()> {
        event.text.clear();
        Ok(())
    }
}

fn main() {}
