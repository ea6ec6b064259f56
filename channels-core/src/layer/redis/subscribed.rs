//! What this process is subscribed to, because somebody in it listens.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

use super::driver::{Driver, DriverError};

/// Groups, or channels, that this process is subscribed to: each once, however many listen, with what is kept of it
/// meanwhile. Work on one of them waits for nobody who works on another.
pub(super) struct Subscribed<K, T = ()>(Mutex<HashMap<K, Arc<Entry<T>>>>);

struct Entry<T> {
    /// `None` while it is not subscribed to.
    kept: Mutex<Option<Arc<T>>>,
    turn: Arc<AsyncMutex<()>>,
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { kept: Mutex::default(), turn: Arc::default() }
    }
}

impl<T> Entry<T> {
    fn kept(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody else subscribes or unsubscribes while it is held.
pub(super) type Turn = OwnedMutexGuard<()>;

impl<K, T> Default for Subscribed<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, T: Default> Subscribed<K, T> {
    /// Subscribes unless it is so already. When it resolves, nothing that is published is missed.
    pub(super) async fn enter(
        &self,
        key: &K,
        driver: &Arc<dyn Driver>,
        subscription: &str,
        patience: Duration,
    ) -> Result<(Turn, Arc<T>), DriverError> {
        let entry = self.entries().entry(key.clone()).or_default().clone();
        let entered = timeout(patience, async {
            let turn = entry.turn.clone().lock_owned().await;
            let known = entry.kept().clone();
            let kept = match known {
                Some(kept) => kept,
                None => {
                    driver.subscribe(subscription).await?;
                    entry.kept().insert(Arc::default()).clone()
                }
            };
            Ok((turn, kept))
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
            && entry.kept().take().is_some()
            && let Err(error @ DriverError::Refused(_)) = driver.unsubscribe(subscription).await
        {
            tracing::debug!(subscription, %error, "a subscription could not be ended");
        }
        drop(turn);
        self.forget(key, entry);
    }

    /// Removes what is not subscribed to, unless somebody else is about to.
    fn forget(&self, key: &K, entry: Arc<Entry<T>>) {
        let mut entries = self.entries();
        // The map's and this one.
        if entry.kept().is_none() && Arc::strong_count(&entry) == 2 {
            entries.remove(key);
        }
    }

    pub(super) fn all(&self) -> Vec<(K, Arc<T>)> {
        self.entries().iter().filter_map(|(key, entry)| Some((key.clone(), entry.kept().clone()?))).collect()
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<T>> {
        self.entries().get(key)?.kept().clone()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Arc<Entry<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
