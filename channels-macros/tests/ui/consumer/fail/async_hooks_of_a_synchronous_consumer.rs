use channels::prelude::*;

struct Slow;

#[consumer]
impl SyncConsumer for Slow {
    async fn connect(&mut self, cx: &mut SyncContext) -> Result<(), SyncError> {
        cx.send("x")
    }

    #[handler]
    async fn tick(&mut self, cx: &mut SyncContext, _: &RawEvent) -> Result<(), SyncError> {
        cx.send("tick")
    }
}

fn main() {}
