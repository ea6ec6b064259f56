use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn chat_message(&mut self, _cx: &mut Context, _event: &Self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
