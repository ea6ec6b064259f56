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
    fn typed(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    #[handler("chat_message")]
    async fn named(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
