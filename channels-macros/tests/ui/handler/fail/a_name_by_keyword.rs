use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler(name = "chat.message")]
    async fn chat(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
