use channels::prelude::*;

struct Plain;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn chat_message(&mut self, _cx: &mut Context, _event: &Plain) -> Result<()> {
        Ok(())
    }
}

fn main() {}
