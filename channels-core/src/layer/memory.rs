//! The layer of one process: the default, with nothing to install.

use std::{sync::Arc, time::Duration};

use super::{
    Audience, CapacityPattern, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, Limits,
    SendError,
};
use crate::event::Envelope;

/// A channel layer within one process.
///
/// An actor on each worker thread owns the connections of that thread: an event to a group is one message to each
/// thread that has members, and a walk over them there, without a lock.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{InMemoryChannelLayer, layer::CapacityPattern};
///
/// let thumbnails: CapacityPattern = "thumbnails.*".parse()?;
/// let layer = InMemoryChannelLayer::default().capacity(1_000).channel_capacity(thumbnails, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct InMemoryChannelLayer {
    limits: Limits,
    hub: std::sync::OnceLock<Hub>,
}

impl InMemoryChannelLayer {
    /// A layer with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, hub: std::sync::OnceLock::new() }
    }

    /// How many events may wait in a channel; 100 unless said otherwise.
    pub fn capacity(mut self, events: usize) -> Self {
        self.limits.capacity = events;
        self
    }

    /// Another capacity for the channels that fit a pattern; the first pattern that fits counts.
    pub fn channel_capacity(mut self, pattern: impl Into<CapacityPattern>, events: usize) -> Self {
        self.limits.channel_capacity.push((pattern.into(), events));
        self
    }

    /// How long an event may wait; 60 s unless said otherwise.
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.limits.expiry = expiry;
        self
    }

    /// How long a named channel stays in a group; 86,400 s unless said otherwise.
    pub fn group_expiry(mut self, expiry: Duration) -> Self {
        self.limits.group_expiry = expiry;
        self
    }
}

impl ChannelLayer for InMemoryChannelLayer {
    fn hub(&self) -> &Hub {
        self.hub.get_or_init(|| Hub::new(self.limits.clone()))
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        Box::pin(self.hub().send(channel, event))
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        Box::pin(async { Ok(self.hub().receive(channel).await) })
    }

    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>> {
        Box::pin(async { Ok(self.hub().new_channel()) })
    }

    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        Box::pin(async {
            self.hub().group_add(group, channel).await;
            Ok(())
        })
    }

    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        Box::pin(async {
            self.hub().group_discard(group, channel).await;
            Ok(())
        })
    }

    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>> {
        Box::pin(async move { Ok(self.hub().group_send(audience, event).await) })
    }

    fn group_post(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<(), LayerError>> {
        Box::pin(async move {
            self.hub().group_post(audience, event).await;
            Ok(())
        })
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        Box::pin(async { Ok(self.hub().group_channels(group).await) })
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        Box::pin(async { Ok(self.hub().group_size(group).await) })
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        Box::pin(async {
            self.hub().flush().await;
            Ok(())
        })
    }
}
