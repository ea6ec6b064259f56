use channels::prelude::*;

struct Chat;

#[consumer]
impl Chat {
    #[handler]
    async fn chat_message(&mut self) {}
}

fn main() {}
