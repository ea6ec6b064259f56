//! A named channel as a transport: what a worker reads. There is no client behind it.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::Transport;
use crate::{ChannelName, Layer, error::LayerError, event::Envelope, frame::Incoming, layer::LayerFuture};

/// The events of one channel, taken from the layer one by one, as the consumer gets to them.
pub(crate) struct ChannelReader {
    layer: Layer,
    channel: ChannelName,
    next: LayerFuture<'static, Result<Arc<Envelope>, LayerError>>,
}

impl ChannelReader {
    pub(crate) fn new(layer: Layer, channel: ChannelName) -> Self {
        let next = receive(layer.clone(), channel.clone());
        Self { layer, channel, next }
    }
}

fn receive(layer: Layer, channel: ChannelName) -> LayerFuture<'static, Result<Arc<Envelope>, LayerError>> {
    Box::pin(async move { layer.receive(channel).await })
}

impl Transport for ChannelReader {
    fn poll_incoming(&mut self, task: &mut Context<'_>) -> Poll<Incoming> {
        let received = ready!(self.next.as_mut().poll(task));
        self.next = receive(self.layer.clone(), self.channel.clone());
        Poll::Ready(match received {
            Ok(event) => Incoming::Event(event),
            Err(error) => {
                tracing::error!(channel = %self.channel, %error, "a channel cannot be read");
                Incoming::Gone
            }
        })
    }

    /// What waits is another consumer's, or another worker's, as long as this one is busy.
    fn reads_ahead(&self) -> bool {
        false
    }
}
