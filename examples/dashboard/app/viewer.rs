//! The socket of one who looks.

use channels::prelude::*;

use super::sampler::{History, Sample, VIEWERS};

pub(super) struct Viewer(History);

impl Viewer {
    pub(super) fn new(history: History) -> Self {
        Self(history)
    }
}

#[consumer]
impl Consumer for Viewer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add(VIEWERS).await?;
        cx.accept()?;
        // A sample that comes in between is there twice: they are numbered.
        self.0.samples().iter().try_for_each(|sample| cx.send_json(sample))
    }

    /// Says it again: traffic for the charts, as much as the page wants.
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)
    }

    // Without `self`: a sample becomes JSON, and a frame, once for all viewers.
    #[handler]
    fn dashboard_sample(sample: &Sample) -> Result<Message> {
        Ok(Message::json(sample)?)
    }
}
