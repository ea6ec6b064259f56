//! Named channels that this process is subscribed to, because somebody receives on them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{base::Base, subscribed::Subscribed};
use crate::layer::{ChannelName, LayerError};

/// Named channels that somebody here has received on, not longer ago than an event may wait.
#[derive(Default)]
pub(super) struct Named {
    subscribed: Subscribed<ChannelName>,
    /// When it was last seen that somebody does.
    read: Mutex<HashMap<ChannelName, Instant>>,
}

impl Named {
    /// Subscribes to a channel that somebody is about to wait on.
    pub(super) async fn listen_to(&self, base: &Base, channel: &ChannelName) -> Result<(), LayerError> {
        let driver = base.shards.of(channel);
        // Before its turn comes, so that it is not left as one that nobody reads.
        self.read().insert(channel.clone(), Instant::now());
        let entered = self.subscribed.enter(channel, driver, channel, base.options.timeout).await;
        base.judge(driver, channel, entered).map(drop)
    }

    pub(super) fn contains(&self, channel: &ChannelName) -> bool {
        self.subscribed.get(channel).is_some()
    }

    /// Ends the subscriptions to channels that nobody has read for as long as an event may wait.
    pub(super) async fn sweep(&self, base: &Base) {
        let expiry = base.hub.limits().expiry;
        for (name, _) in self.subscribed.all() {
            if base.hub.has_queue(&name) {
                self.read().insert(name, Instant::now());
                continue;
            }
            let is_read = || self.read().get(&name).is_some_and(|read| read.elapsed() < expiry);
            self.subscribed.leave_unless(&name, base.shards.of(&name), &name, is_read).await;
        }
        self.read().retain(|name, read| self.subscribed.get(name).is_some() || read.elapsed() < expiry);
    }

    fn read(&self) -> MutexGuard<'_, HashMap<ChannelName, Instant>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
