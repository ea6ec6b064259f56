use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

fn main() {}
