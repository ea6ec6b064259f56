use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn receive(&mut self, Text(_text): Text) -> Result<()> {
        Ok(())
    }
}

fn main() {}
