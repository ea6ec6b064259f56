//! The layer of one process: the default, with nothing to install.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex as AsyncMutex;

use super::{
    Audience, CapacityPattern, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, Limits,
    SendError,
};
use crate::{
    event::{Envelope, IntoEvent},
    presence::{Diffs, Entry, PresenceError, Roll},
};

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
    hub: OnceLock<Hub>,
    rolls: Rolls,
}

/// Who is present, by group. A roll is locked until its members are told of a change: they are told in one order.
type Rolls = Mutex<HashMap<GroupName, Arc<AsyncMutex<Roll>>>>;

impl InMemoryChannelLayer {
    /// A layer with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
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

    /// How many connections may be [present](crate::presence) in one group; 10,000 unless said otherwise.
    pub fn presence_capacity(mut self, connections: usize) -> Self {
        self.limits.presence_capacity = connections;
        self
    }

    fn roll(&self, group: &GroupName) -> Option<Arc<AsyncMutex<Roll>>> {
        self.rolls.lock().unwrap_or_else(PoisonError::into_inner).get(group).cloned()
    }

    async fn set_present(&self, group: &GroupName, entry: Entry) -> Result<(), PresenceError> {
        let roll = {
            let mut rolls = self.rolls.lock().unwrap_or_else(PoisonError::into_inner);
            rolls.entry(group.clone()).or_default().clone()
        };
        let mut roll = roll.lock().await;
        let capacity = self.limits.presence_capacity;
        if roll.len() >= capacity && !roll.has(&entry.channel) {
            return Err(PresenceError::Full { group: group.clone(), capacity });
        }
        let mut diffs = Diffs::new(group);
        roll.set(Arc::new(entry), &mut diffs);
        Ok(self.tell(group, diffs).await?)
    }

    async fn unset_present(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let Some(roll) = self.roll(group) else { return Ok(()) };
        let told = {
            let mut roll = roll.lock().await;
            let mut diffs = Diffs::new(group);
            roll.unset(channel, &mut diffs);
            self.tell(group, diffs).await
        };
        drop(roll);
        self.forget_roll_if_empty(group);
        told
    }

    async fn tell(&self, group: &GroupName, diffs: Diffs) -> Result<(), LayerError> {
        for diff in diffs {
            self.hub().group_post(group, Arc::new(diff.into_event()?)).await;
        }
        Ok(())
    }

    fn forget_roll_if_empty(&self, group: &GroupName) {
        let mut rolls = self.rolls.lock().unwrap_or_else(PoisonError::into_inner);
        // Who else has it may be about to add to it.
        let is_unused =
            |roll: &mut Arc<AsyncMutex<Roll>>| Arc::get_mut(roll).is_some_and(|roll| roll.get_mut().is_empty());
        if rolls.get_mut(group).is_some_and(is_unused) {
            rolls.remove(group);
        }
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
            let unset = self.unset_present(group, channel).await;
            self.hub().group_discard(group, channel).await;
            unset
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

    fn presence_set<'a>(&'a self, group: &'a GroupName, entry: Entry) -> LayerFuture<'a, Result<(), PresenceError>> {
        Box::pin(self.set_present(group, entry))
    }

    fn presence_unset<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        Box::pin(self.unset_present(group, channel))
    }

    fn presence_list<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<Arc<Entry>>, PresenceError>> {
        Box::pin(async {
            match self.roll(group) {
                Some(roll) => Ok(roll.lock().await.list()),
                None => Ok(Vec::new()),
            }
        })
    }

    fn presence_count<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, PresenceError>> {
        Box::pin(async {
            match self.roll(group) {
                Some(roll) => Ok(roll.lock().await.people()),
                None => Ok(0),
            }
        })
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        Box::pin(async {
            self.rolls.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.hub().flush().await;
            Ok(())
        })
    }
}
