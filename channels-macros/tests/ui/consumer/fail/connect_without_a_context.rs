use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(&mut self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
