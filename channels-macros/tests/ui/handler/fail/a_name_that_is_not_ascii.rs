use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler("聊天")]
    async fn chat(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
