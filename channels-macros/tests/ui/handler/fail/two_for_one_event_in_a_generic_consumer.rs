use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

struct Chat<T>(T);

#[consumer]
impl<T: 'static> Consumer for Chat<T> {
    #[handler]
    async fn typed(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }

    #[handler]
    async fn chat_message(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
