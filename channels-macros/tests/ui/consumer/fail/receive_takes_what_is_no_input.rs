use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn receive(&mut self, cx: &mut Context, number: u8) -> Result<()> {
        cx.send(number.to_string())?;
        Ok(())
    }
}

fn main() {}
