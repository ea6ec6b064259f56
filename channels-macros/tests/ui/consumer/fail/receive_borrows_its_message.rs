use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn receive(&mut self, cx: &mut Context, text: &str) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }
}

fn main() {}
