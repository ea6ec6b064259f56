use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(&mut self, cx: &mut Context, _scope: &Scope) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

fn main() {}
