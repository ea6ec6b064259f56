//! What a driver is subscribed to.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a driver is subscribed to, or shall be once its broker is there.
#[derive(Default)]
pub(super) struct Wanted(Mutex<BTreeSet<String>>);

impl Wanted {
    /// Adds a channel, before it is subscribed to: a connection that is made meanwhile has it too. Unless it is
    /// [kept](Added::keep) it is taken out again, also when its caller gives up.
    pub(super) fn add<'a>(&'a self, channel: &'a str) -> Added<'a> {
        let is_new = self.channels().insert(channel.to_owned());
        Added { wanted: self, channel: is_new.then_some(channel) }
    }

    pub(super) fn remove(&self, channel: &str) {
        self.channels().remove(channel);
    }

    pub(super) fn contains(&self, channel: &str) -> bool {
        self.channels().contains(channel)
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.channels().iter().cloned().collect()
    }

    fn channels(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel that is about to be subscribed to.
pub(super) struct Added<'a> {
    wanted: &'a Wanted,
    channel: Option<&'a str>,
}

impl Added<'_> {
    pub(super) fn keep(mut self) {
        self.channel = None;
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        if let Some(channel) = self.channel {
            self.wanted.remove(channel);
        }
    }
}
