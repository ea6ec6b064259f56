use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(cx: &mut Context) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

fn main() {}
