//! What a layer has dropped in this process, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Hub;

#[derive(Default)]
pub(super) struct Counters {
    full: AtomicU64,
    slow: AtomicU64,
    expired: AtomicU64,
    gone: AtomicU64,
    lost: AtomicU64,
}

/// Events that a process has dropped on a layer since it started, by cause.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// The receiver's queue had no room.
    pub full: u64,
    /// The receiver's client reads too slowly for what a pure handler made of it.
    pub slow: u64,
    /// Nobody took it in time.
    pub expired: u64,
    /// The receiver was closing or had gone, or its pure handler failed.
    pub gone: u64,
    /// The broker could not be reached, or did not answer in time: messages whose sender got that error, whatever the number of
    /// members behind them. Always 0 in a layer without a broker.
    pub lost: u64,
}

impl Hub {
    /// What was dropped so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        let Counters { full, slow, expired, gone, lost } = &self.0.dropped;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let expired = read(expired) + self.0.queues.expired();
        Dropped { full: read(full), slow: read(slow), expired, gone: read(gone), lost: read(lost) }
    }

    /// What was dropped since this was asked last for this alias of the layer.
    #[cfg(feature = "metrics")]
    pub(crate) fn newly_dropped(&self, alias: &str) -> Dropped {
        self.0.published.grown(alias, || self.dropped())
    }

    pub(crate) fn count_full(&self, events: usize) {
        self.0.dropped.full.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_slow(&self, events: usize) {
        self.0.dropped.slow.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_expired(&self, events: usize) {
        self.0.dropped.expired.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_gone(&self, events: usize) {
        self.0.dropped.gone.fetch_add(events as u64, Ordering::Relaxed);
    }

    #[cfg(feature = "redis")]
    pub(crate) fn count_lost(&self, events: usize) {
        self.0.dropped.lost.fetch_add(events as u64, Ordering::Relaxed);
    }
}
