use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn recieve(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }
}

fn main() {}
