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
    async fn first(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }

    #[handler]
    async fn second(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }
}

fn main() {}
