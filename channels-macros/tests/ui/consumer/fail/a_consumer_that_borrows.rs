use channels::prelude::*;

struct Chat<'a> {
    name: &'a str,
}

#[consumer]
impl<'a> Consumer for Chat<'a> {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

fn main() {}
