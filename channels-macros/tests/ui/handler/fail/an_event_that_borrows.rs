use channels::prelude::*;

struct Borrowed<'a>(&'a str);

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn chat_message<'a>(&mut self, cx: &mut Context, event: &'a Borrowed<'a>) -> Result<()> {
        cx.send(event.0)?;
        Ok(())
    }
}

fn main() {}
