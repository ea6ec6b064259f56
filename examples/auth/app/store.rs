//! Sessions in memory. With more than one process, or to outlive a restart, use the Redis store of actix-session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration as Span, Instant},
};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use channels::actix_web::cookie::{Key, time::Duration};

type Values = HashMap<String, String>;
type Sessions = HashMap<String, (Values, Instant)>;

/// Sessions, and when each expires, by their keys.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Sessions>>);

impl MemoryStore {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().expect("nobody panics with it")
    }

    fn put(&self, key: &SessionKey, values: Values, ttl: &Duration) {
        let mut sessions = self.sessions();
        let now = Instant::now();
        sessions.retain(|_, (_, expires)| *expires > now);
        sessions.insert(key.as_ref().to_owned(), (values, now + Span::try_from(*ttl).unwrap_or_default()));
    }
}

impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<Values>, LoadError> {
        let found = self.sessions().get(key.as_ref()).cloned();
        Ok(found.filter(|(_, expires)| *expires > Instant::now()).map(|(values, _)| values))
    }

    async fn save(&self, values: Values, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let random: String = Key::generate().signing().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = SessionKey::try_from(random).map_err(|error| SaveError::Other(error.into()))?;
        self.put(&key, values, ttl);
        Ok(key)
    }

    async fn update(&self, key: SessionKey, values: Values, ttl: &Duration) -> Result<SessionKey, UpdateError> {
        self.put(&key, values, ttl);
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        if let Some((_, expires)) = self.sessions().get_mut(key.as_ref()) {
            *expires = Instant::now() + Span::try_from(*ttl)?;
        }
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.sessions().remove(key.as_ref());
        Ok(())
    }
}
