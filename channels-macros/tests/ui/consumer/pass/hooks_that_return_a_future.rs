use std::future::{Future, ready};

use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    fn connect(&mut self, cx: &mut Context) -> impl Future<Output = Result<()>> {
        ready(cx.accept().map_err(Into::into))
    }

    fn receive(&mut self, _cx: &mut Context, _message: Message) -> impl Future<Output = Result<()>> {
        ready(Ok(()))
    }

    fn disconnect(&mut self, _cx: &mut Context, _close: &Close) -> impl Future<Output = ()> {
        ready(())
    }
}
