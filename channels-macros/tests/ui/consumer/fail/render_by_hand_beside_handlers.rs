use channels::{Envelope, prelude::*};
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
    fn chat_message(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    fn render(_event: &Envelope) -> Option<Result<Message>> {
        None
    }
}

fn main() {}
