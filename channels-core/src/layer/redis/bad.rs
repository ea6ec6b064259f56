//! Mistakes of others, logged once each.

use std::{
    collections::HashSet,
    error::Error,
    sync::{Mutex, PoisonError},
};

use super::driver::DriverError;

/// How many mistakes are remembered; more are not logged.
const MOST: usize = 1_024;

/// What was logged already: a stranger's bodies may not fill the log.
#[derive(Default)]
pub(super) struct Bad(Mutex<HashSet<(String, &'static str)>>);

impl Bad {
    /// Logs a message at this key that is none, the first time with a mistake of this kind.
    pub(super) fn dropped(&self, key: &str, kind: &'static str, error: &dyn Error) {
        if self.is_new(key, kind) {
            let cause = cause(error);
            tracing::warn!(key, "a message was dropped: {error}{cause}; further ones like it are not logged");
        }
    }

    /// Logs that the broker refuses a command with this key, the first time.
    pub(super) fn refused(&self, key: &str, error: &DriverError) {
        if self.is_new(key, "refused") {
            let cause = cause(error);
            tracing::warn!(key, "{error}{cause}; further ones like it are not logged");
        }
    }

    fn is_new(&self, key: &str, kind: &'static str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MOST && logged.insert((key.to_owned(), kind))
    }
}

fn cause(error: &dyn Error) -> String {
    error.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}
