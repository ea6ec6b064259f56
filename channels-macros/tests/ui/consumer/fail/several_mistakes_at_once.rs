use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    fn connect(&self, _cx: Context) {}

    async fn recieve(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }

    #[handler("_private")]
    async fn private(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

fn main() {}
