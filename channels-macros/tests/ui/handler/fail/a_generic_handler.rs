use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn chat_message<E: Event>(&mut self, _cx: &mut Context, _event: &E) -> Result<()> {
        Ok(())
    }
}

fn main() {}
