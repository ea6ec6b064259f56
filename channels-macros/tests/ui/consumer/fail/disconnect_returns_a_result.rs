use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn disconnect(&mut self, _cx: &mut Context, _close: &Close) -> Result<()> {
        Ok(())
    }
}

fn main() {}
