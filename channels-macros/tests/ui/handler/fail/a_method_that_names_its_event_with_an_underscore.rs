use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn _private(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
