use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(&mut self, mut cx: Context) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

fn main() {}
