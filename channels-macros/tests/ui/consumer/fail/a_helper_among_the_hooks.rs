use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.greet(cx)
    }

    fn greet(&self, cx: &mut Context) -> Result<()> {
        cx.send("hello")?;
        Ok(())
    }
}

fn main() {}
