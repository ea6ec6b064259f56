use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn connect(&mut self, cx: &mut Context) {
        cx.accept();
    }
}

fn main() {}
