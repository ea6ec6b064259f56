use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    fn render(&self, _event: &channels::Envelope) -> Option<Result<Message>> {
        None
    }
}

fn main() {}
