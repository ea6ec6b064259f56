use channels::{Dispatch, Envelope, prelude::*};

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
        cx.send(event.decode::<RawEvent>().map(|_| "an event")?)?;
        Ok(Dispatch::Handled)
    }

    fn render(_event: &Envelope) -> Option<Result<Message>> {
        None
    }
}
