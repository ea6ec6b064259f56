use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn chat_message(&mut self, cx: &mut Context) -> Result<()> {
        cx.send("hello")?;
        Ok(())
    }
}

fn main() {}
