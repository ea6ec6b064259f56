//! Trying a broker again: when, and what the log has been told.

use std::{collections::BTreeSet, error::Error as _, time::Duration};

use super::driver::DriverError;

/// How many causes are remembered; more are not logged.
const MOST: usize = 16;

/// The failures since a broker was last reached.
#[derive(Default)]
pub(super) struct Retries {
    attempts: u32,
    causes: BTreeSet<String>,
}

impl Retries {
    /// The broker was reached.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How long to wait before the next time: about 50 ms at first, at most about a second, so that delivery resumes soon after
    /// the broker's return; a random part keeps processes from coming all at once.
    pub(super) fn wait(&mut self) -> Duration {
        let whole = 50_u64 << self.attempts.min(4);
        self.attempts += 1;
        Duration::from_millis(whole / 2 + fastrand::u64(0..=whole / 2))
    }

    /// Whether this is the first failure with this cause: a broker that could not be reached may refuse who comes once it can.
    pub(super) fn is_new(&mut self, error: &DriverError) -> bool {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        self.causes.len() < MOST && self.causes.insert(cause)
    }

    /// Says why there is no connection, loudly the first time.
    pub(super) fn tell(&mut self, broker: &str, error: &DriverError) {
        let cause = error.source();
        if self.is_new(error) {
            tracing::warn!(broker, cause, "{error}; trying again");
        } else {
            tracing::debug!(broker, cause, "{error}; trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn lost(cause: &str) -> DriverError {
        DriverError::Lost(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(cause)))
    }

    #[test]
    fn the_wait_doubles_up_to_a_bound_and_half_of_it_is_chance() {
        for (attempts, least) in [(0, 25), (1, 50), (2, 100), (3, 200), (4, 400), (5, 400), (u32::MAX - 1, 400)] {
            let wait = || Retries { attempts, ..Retries::default() }.wait().as_millis();
            let waits: Vec<_> = (0..1_000).map(|_| wait()).collect();
            let (shortest, longest) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
            assert!(least <= shortest && longest <= 2 * least, "{attempts}: {shortest} to {longest} ms");
            // Of a thousand, none in a fifth of the range is as good as impossible: 0.8¹⁰⁰⁰.
            assert!(longest - shortest > least * 3 / 5, "{attempts}: {shortest} to {longest} ms is hardly by chance");
        }
    }

    #[test]
    fn each_cause_is_new_once_until_the_broker_is_reached() {
        let mut retries = Retries::default();
        assert!(retries.is_new(&lost("nobody listens")));
        assert!(!retries.is_new(&lost("nobody listens")));
        assert!(retries.is_new(&lost("the password is wrong")), "it comes after the other, and is as important");
        assert!(!retries.is_new(&lost("nobody listens")));
        retries.succeeded();
        assert!(retries.is_new(&lost("nobody listens")));
        let count = (0..1_000).filter(|number| retries.is_new(&lost(&format!("{number}")))).count();
        assert_eq!(count, MOST - 1, "a broker that invents causes does not fill the log");
    }
}
