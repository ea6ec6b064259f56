use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn receive(&mut self, cx: &mut Context) -> Result<()> {
        cx.send("hello")?;
        Ok(())
    }
}

fn main() {}
