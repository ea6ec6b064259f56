//! A session store in memory, as one with a database behind it would be.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_session::{
    SessionMiddleware,
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError},
};
use channels::actix_web::cookie::{Key, time::Duration};

type Values = HashMap<String, String>;

#[derive(Clone, Default)]
pub(crate) struct Store(Arc<Shared>);

#[derive(Default)]
struct Shared {
    sessions: Mutex<HashMap<String, Values>>,
    broken: AtomicBool,
    hangs: AtomicBool,
}

impl Store {
    /// What makes the middleware, for both sides.
    pub(crate) fn sessions(&self) -> impl Fn() -> SessionMiddleware<Self> + Clone + Send + Sync + 'static {
        let (store, key) = (self.clone(), Key::generate());
        move || SessionMiddleware::builder(store.clone(), key.clone()).cookie_secure(false).build()
    }

    /// Forgets every session, as when they expire.
    pub(crate) fn expire(&self) {
        self.0.sessions.lock().unwrap().clear();
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.sessions.lock().unwrap().keys().cloned().collect()
    }

    /// The values of every session, as JSON.
    pub(crate) fn all(&self) -> Vec<Values> {
        self.0.sessions.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn is_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// Answers no question that comes meanwhile.
    pub(crate) fn hang(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), BoxError> {
        if self.0.broken.load(Ordering::SeqCst) { Err("out of order".into()) } else { Ok(()) }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl SessionStore for Store {
    async fn load(&self, key: &SessionKey) -> Result<Option<Values>, LoadError> {
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending().await
        }
        self.check().map_err(|error| LoadError::Other(anyhow::Error::from_boxed(error)))?;
        Ok(self.0.sessions.lock().unwrap().get(key.as_ref()).cloned())
    }

    async fn save(&self, values: Values, _: &Duration) -> Result<SessionKey, SaveError> {
        self.check().map_err(|error| SaveError::Other(anyhow::Error::from_boxed(error)))?;
        let key = format!("{:032x}", fastrand::u128(..));
        self.0.sessions.lock().unwrap().insert(key.clone(), values);
        Ok(SessionKey::try_from(key).unwrap())
    }

    async fn update(&self, key: SessionKey, values: Values, _: &Duration) -> Result<SessionKey, UpdateError> {
        self.check().map_err(|error| UpdateError::Other(anyhow::Error::from_boxed(error)))?;
        self.0.sessions.lock().unwrap().insert(key.as_ref().to_owned(), values);
        Ok(key)
    }

    async fn update_ttl(&self, _: &SessionKey, _: &Duration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.0.sessions.lock().unwrap().remove(key.as_ref());
        Ok(())
    }
}
