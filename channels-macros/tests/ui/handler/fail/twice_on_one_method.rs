use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler("chat.message")]
    #[handler("chat.notice")]
    async fn chat_message(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
