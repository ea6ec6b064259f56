//! Mistakes of others, logged once each.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// How many mistakes are remembered; more are not logged.
const MOST: usize = 1_024;

/// What was logged already: a stranger's bodies may not fill the log.
#[derive(Default)]
pub(super) struct Bad(Mutex<HashSet<(String, &'static str)>>);

impl Bad {
    /// Logs a mistake of this kind at this key, the first time.
    pub(super) fn note(&self, key: &str, kind: &'static str, error: &dyn std::error::Error) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST && logged.insert((key.to_owned(), kind)) {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::warn!(key, "a message was dropped: {error}{cause}; further ones like it are not logged");
        }
    }
}
