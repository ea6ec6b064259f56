//! What this process is subscribed to, because somebody in it listens.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

use super::driver::{Driver, DriverError};

/// Groups, or channels, that this process is subscribed to: each once, however many listen. Work on one of them waits for
/// nobody who works on another.
pub(super) struct Subscribed<K>(Mutex<HashMap<K, Arc<Entry>>>);

#[derive(Default)]
struct Entry {
    is_subscribed: AtomicBool,
    turn: Arc<AsyncMutex<()>>,
}

/// Nobody else subscribes or unsubscribes while it is held.
pub(super) type Turn = OwnedMutexGuard<()>;

impl<K> Default for Subscribed<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Subscribed<K> {
    /// Subscribes unless it is so already. When it resolves, nothing that is published is missed.
    pub(super) async fn enter(
        &self,
        key: &K,
        driver: &Arc<dyn Driver>,
        subscription: &str,
        patience: Duration,
    ) -> Result<Turn, DriverError> {
        let entry = self.entries().entry(key.clone()).or_default().clone();
        let entered = timeout(patience, async {
            let turn = entry.turn.clone().lock_owned().await;
            if !entry.is_subscribed.load(Ordering::Relaxed) {
                driver.subscribe(subscription).await?;
                entry.is_subscribed.store(true, Ordering::Relaxed);
            }
            Ok(turn)
        });
        let entered = entered.await.unwrap_or_else(|late| Err(DriverError::Lost(Arc::new(late))));
        if entered.is_err() {
            self.forget(key, entry);
        }
        entered
    }

    /// Ends a subscription that nobody needs. A broker that is away has forgotten it.
    pub(super) async fn leave_unless(
        &self,
        key: &K,
        driver: &Arc<dyn Driver>,
        subscription: &str,
        is_needed: impl FnOnce() -> bool,
    ) {
        let Some(entry) = self.entries().get(key).cloned() else { return };
        let turn = entry.turn.clone().lock_owned().await;
        if !is_needed()
            && entry.is_subscribed.swap(false, Ordering::Relaxed)
            && let Err(error @ DriverError::Refused(_)) = driver.unsubscribe(subscription).await
        {
            tracing::debug!(subscription, %error, "a subscription could not be ended");
        }
        drop(turn);
        self.forget(key, entry);
    }

    /// Removes what is not subscribed to, unless somebody else is about to.
    fn forget(&self, key: &K, entry: Arc<Entry>) {
        let mut entries = self.entries();
        // The map's and this one.
        if !entry.is_subscribed.load(Ordering::Relaxed) && Arc::strong_count(&entry) == 2 {
            entries.remove(key);
        }
    }

    pub(super) fn all(&self) -> Vec<K> {
        let entries = self.entries();
        entries
            .iter()
            .filter(|(_, entry)| entry.is_subscribed.load(Ordering::Relaxed))
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries().get(key).is_some_and(|entry| entry.is_subscribed.load(Ordering::Relaxed))
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
