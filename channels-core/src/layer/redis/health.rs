//! Whether the brokers are there, and whether what is sent comes back.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// What is known of the brokers of a layer.
pub(super) struct Health {
    up: Mutex<Vec<bool>>,
    /// When each of them came back, if it was ever lost.
    back: Mutex<Vec<Option<Instant>>>,
    /// Whether each of them was up at once before.
    begun: AtomicBool,
    /// The last probe that was sent, and the last that came back.
    sent: AtomicU64,
    probes: Vec<AtomicU64>,
    laps: Vec<Mutex<Lap>>,
}

/// The way of a probe through a broker.
#[derive(Default)]
struct Lap {
    /// The oldest that is on its way, and since when.
    left: Option<(u64, Instant)>,
    /// How long the last one took.
    took: Option<Duration>,
}

/// What a change means for connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The first broker is lost.
    Lost,
    /// The last of the lost brokers is back.
    Back,
}

impl Health {
    pub(super) fn new(brokers: usize) -> Self {
        Self {
            up: Mutex::new(vec![false; brokers]),
            back: Mutex::new(vec![None; brokers]),
            begun: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            probes: (0..brokers).map(|_| AtomicU64::new(0)).collect(),
            laps: (0..brokers).map(|_| Mutex::default()).collect(),
        }
    }

    /// A broker is up, or down.
    pub(super) fn set(&self, broker: usize, is_up: bool) -> Option<Change> {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        let before = up.iter().all(|up| *up);
        if up[broker] != is_up && self.begun.load(Ordering::Relaxed) {
            self.back.lock().unwrap_or_else(PoisonError::into_inner)[broker] = Some(Instant::now());
        }
        up[broker] = is_up;
        if is_up {
            // What was sent before is lost; from now on everything has to come back.
            self.probes[broker].fetch_max(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
            self.lap(broker).left = None;
        }
        let after = up.iter().all(|up| *up);
        match (before, after) {
            (true, false) => Some(Change::Lost),
            // The beginning is no return.
            (false, true) => self.begun.swap(true, Ordering::Relaxed).then_some(Change::Back),
            _ => None,
        }
    }

    pub(super) fn is_up(&self, broker: usize) -> bool {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)[broker]
    }

    /// For how long it is not `time` yet since this broker came back: what it should know it has to be told again.
    pub(super) fn settles_in(&self, broker: usize, time: Duration) -> Option<Duration> {
        let back = self.back.lock().unwrap_or_else(PoisonError::into_inner)[broker]?;
        time.checked_sub(back.elapsed()).filter(|left| !left.is_zero())
    }

    /// The number of the next probe.
    pub(super) fn next_probe(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A probe is about to be sent.
    pub(super) fn probe_leaves(&self, broker: usize, number: u64) {
        self.lap(broker).left.get_or_insert_with(|| (number, Instant::now()));
    }

    /// A probe came back.
    pub(super) fn probe_came(&self, broker: usize, number: u64) {
        self.probes[broker].fetch_max(number, Ordering::Relaxed);
        let mut lap = self.lap(broker);
        if let Some((left, since)) = lap.left.take_if(|(left, _)| *left <= number)
            && left == number
        {
            lap.took = Some(since.elapsed());
        }
    }

    /// How long a probe takes by the slowest broker; one that is on its way takes at least as long as it does already.
    pub(super) fn lag(&self) -> Option<Duration> {
        let lag = |broker| {
            let lap = self.lap(broker);
            Some(lap.took?.max(lap.left.map_or(Duration::ZERO, |(_, since)| since.elapsed())))
        };
        (0..self.laps.len()).filter_map(lag).max()
    }

    fn lap(&self, broker: usize) -> MutexGuard<'_, Lap> {
        self.laps[broker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this broker has brought back the probe of this number.
    pub(super) fn has_probe(&self, broker: usize, number: u64) -> bool {
        self.probes[broker].load(Ordering::Relaxed) >= number
    }

    /// Whether every broker is up, and the last probe but one has come back: the last may be on its way.
    pub(super) fn is_ready(&self) -> bool {
        let due = self.sent.load(Ordering::Relaxed).saturating_sub(1);
        let probes = (0..self.probes.len()).all(|broker| self.has_probe(broker, due));
        probes && self.up.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|up| *up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losing_one_of_two_brokers_is_one_loss_and_its_return_one_return() {
        let health = Health::new(2);
        assert!(!health.is_ready());
        assert_eq!([health.set(0, true), health.set(1, true)], [None, None], "the beginning is no return");
        assert!(health.is_ready());
        assert_eq!(health.set(0, false), Some(Change::Lost));
        assert_eq!(health.set(1, false), None);
        assert!(!health.is_ready());
        assert_eq!([health.set(1, true), health.set(0, true)], [None, Some(Change::Back)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lag_is_what_a_probe_took_by_the_slowest_broker_or_takes_already() {
        let millis = Duration::from_millis;
        let health = Health::new(2);
        assert_eq!(health.lag(), None);
        let first = health.next_probe();
        health.probe_leaves(0, first);
        health.probe_leaves(1, first);
        assert_eq!(health.lag(), None);
        tokio::time::advance(millis(3)).await;
        health.probe_came(0, first);
        tokio::time::advance(millis(4)).await;
        health.probe_came(1, first);
        assert_eq!(health.lag(), Some(millis(7)));

        let second = health.next_probe();
        health.probe_leaves(0, second);
        tokio::time::advance(millis(5)).await;
        assert_eq!(health.lag(), Some(millis(7)));
        health.probe_came(0, first);
        tokio::time::advance(millis(5)).await;
        assert_eq!(health.lag(), Some(millis(10)), "it is on its way still");
        health.set(0, true);
        assert_eq!(health.lag(), Some(millis(7)), "it was lost with its connection");
    }

    #[test]
    fn a_probe_that_does_not_come_back_before_the_next_makes_it_not_ready() {
        let health = Health::new(1);
        health.set(0, true);
        let first = health.next_probe();
        assert!(health.is_ready(), "it may be on its way");
        let second = health.next_probe();
        assert!(!health.is_ready());
        health.probe_came(0, first);
        assert!(health.is_ready());
        assert!(!health.has_probe(0, second));
        health.next_probe();
        assert!(!health.is_ready());
        health.set(0, false);
        health.set(0, true);
        assert!(health.is_ready(), "what was lost with a connection is not asked of the next");
    }
}
