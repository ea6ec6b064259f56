use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler("chat.message")]
    async fn first(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }

    #[handler("chat_message")]
    async fn second(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
