//! Sessions: actix-session's stores and cookies, in front of consumers.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt,
    rc::Rc,
    sync::Arc,
};

use actix_session::{SessionExt, SessionMiddleware, storage::SessionStore};
use actix_web::{
    HttpResponse,
    cookie::Cookie,
    dev::{Service, ServiceRequest, Transform, fn_service},
    http::{
        StatusCode,
        header::{COOKIE, HeaderValue, SET_COOKIE},
    },
    test::TestRequest,
};
use futures_util::future::LocalBoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    Close, Deny, Middleware, Scope,
    scope::{Answer, Headers},
};

/// A session that cannot be had, read or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No middleware loaded one: put [`Sessions`] around the routes.
    #[error(
        "the scope has no session: put the middleware `Sessions` around the routes, outside of what needs it: \
         `Sessions::new(…).wrap(URLRouter::new(…)?)`"
    )]
    Missing,
    /// It was ended (logged out, expired, emptied) elsewhere since it was loaded. What was to be saved is given up.
    #[error("the session has ended since it was loaded")]
    Gone,
    /// The store cannot be reached, or refuses.
    #[error("the session's store failed: {why}")]
    Store {
        /// What the store says.
        why: String,
    },
    /// The value under this key is not of the type asked for, or cannot be JSON.
    #[error("the session's value `{key}` does not fit")]
    Value {
        /// The key.
        key: String,
        /// What serde says.
        source: serde_json::Error,
    },
}

/// Middleware that loads the session of actix-session's cookie: Channels' `SessionMiddleware`.
///
/// It is made from the function that makes actix-session's own middleware for the HTTP side. Store, key, cookie and
/// lifetimes are therefore the same on both sides, and so is the session. Consumers find it by
/// [`Scope::session`]; what they change is saved when the connection has ended, or by [`Session::save`].
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use actix_session::{SessionMiddleware, storage::CookieSessionStore};
/// use channels::{Consumer, Context, Middleware, Result, Text, URLRouter, actix_web::cookie::Key, middleware::Sessions, path};
///
/// #[derive(Default)]
/// struct Counter;
///
/// impl Consumer for Counter {
///     type Input = Text;
///
///     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
///         let session = cx.scope().session()?.clone();
///         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
///         session.insert("visits", visits)?;
///         session.save().await?; // before `accept`: a new session's cookie goes with the answer
///         cx.accept()?;
///         cx.send(format!("visit {visits}"))?;
///         Ok(())
///     }
/// }
///
/// let key = Key::generate();
/// let sessions = move || SessionMiddleware::new(CookieSessionStore::default(), key.clone());
/// // For HTTP: `App::new().wrap(sessions())`. For sockets:
/// let routes = Sessions::new(sessions.clone()).wrap(URLRouter::new([path("ws/", Counter::default)])?);
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// # Untrusted input
///
/// The cookie is the client's. One that is missing, forged, or whose session the store has forgotten is an empty
/// session. A store that fails refuses the handshake with 500.
#[doc(alias = "SessionMiddleware")]
pub struct Sessions(Arc<dyn Store>);

impl Sessions {
    /// Sessions as this function's middleware keeps them; it is called on the thread of each connection.
    pub fn new<S: SessionStore + 'static>(make: impl Fn() -> SessionMiddleware<S> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Middleware for Sessions {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        let session = Session::new(self.0.clone(), cookies(scope.headers()), scope.answer.clone());
        if let Err(error) = session.reload().await {
            tracing::error!(path = scope.path(), %error, "a session could not be loaded");
            return Err(Deny::new(StatusCode::INTERNAL_SERVER_ERROR));
        }
        scope.extensions_mut().insert(session);
        Ok(scope)
    }

    async fn after(&self, scope: &mut Scope, _: &Close) {
        let Ok(session) = scope.session().cloned() else { return };
        match session.save().await {
            Ok(()) => {}
            Err(SessionError::Gone) => tracing::debug!("a session ended before what changed in it was saved"),
            Err(error) => tracing::error!(path = scope.path(), %error, "a session could not be saved"),
        }
    }
}

fn cookies(headers: &Headers) -> String {
    headers.get_all(COOKIE).collect::<Vec<_>>().join("; ")
}

/// The session of a connection: values that outlive it, under names. [`Scope::session`] gives it.
///
/// It is a handle: its clones are the same session. Values are JSON, as in `actix_session::Session`. Each connection has
/// the values that were stored when it was opened, or when [`reload`](Self::reload) was called last.
#[derive(Clone)]
pub struct Session {
    store: Arc<dyn Store>,
    answer: Answer,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    /// What the client would send as its cookies.
    cookies: String,
    stored: Values,
    /// What is to be saved; `None` for what is to be removed.
    changes: HashMap<String, Option<String>>,
    fate: Fate,
}

/// Changes that wait to be saved.
#[cfg(feature = "auth")]
pub(crate) struct Changes {
    values: HashMap<String, Option<String>>,
    fate: Fate,
}

/// Names, and values as JSON.
type Values = HashMap<String, String>;

/// What becomes of the session under its present key.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    #[default]
    Kept,
    /// It moves to a new key.
    Renewed,
    /// It is deleted; what is written afterwards belongs to a new one.
    Purged,
}

impl Session {
    fn new(store: Arc<dyn Store>, cookies: String, answer: Answer) -> Self {
        Self { store, answer, state: Rc::new(RefCell::new(State { cookies, ..State::default() })) }
    }

    /// The value under this key.
    ///
    /// # Errors
    ///
    /// [`SessionError::Value`] when it is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let state = self.state.borrow();
        let text = match state.changes.get(key) {
            Some(changed) => changed.as_ref(),
            None => state.stored.get(key),
        };
        let value = text.map(|text| serde_json::from_str(text)).transpose();
        value.map_err(|source| SessionError::Value { key: key.to_owned(), source })
    }

    /// Whether there is a value under this key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        let state = self.state.borrow();
        state.changes.get(key).map_or_else(|| state.stored.contains_key(key), Option::is_some)
    }

    /// The keys, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let state = self.state.borrow();
        let all: BTreeSet<&String> = state.stored.keys().chain(state.changes.keys()).collect();
        all.into_iter().filter(|key| self.contains_key(key)).cloned().collect()
    }

    /// Puts a value under this key.
    ///
    /// # Errors
    ///
    /// [`SessionError::Value`] when it cannot be JSON.
    pub fn insert(&self, key: impl Into<String>, value: impl Serialize) -> Result<(), SessionError> {
        let key = key.into();
        match serde_json::to_string(&value) {
            Ok(text) => {
                self.state.borrow_mut().changes.insert(key, Some(text));
                Ok(())
            }
            Err(source) => Err(SessionError::Value { key, source }),
        }
    }

    /// Removes the value under this key.
    pub fn remove(&self, key: &str) {
        self.state.borrow_mut().changes.insert(key.to_owned(), None);
    }

    /// Removes all values; the session stays.
    pub fn clear(&self) {
        for key in self.keys() {
            self.remove(&key);
        }
    }

    /// Moves the session to a new key, and its cookie to a new value: Django's `cycle_key`. To be done whenever
    /// somebody logs in, so that a session that was planted in a browser is worth nothing.
    pub fn renew(&self) {
        let state = &mut *self.state.borrow_mut();
        state.fate = state.fate.max(Fate::Renewed);
    }

    /// Ends the session, and begins a new one when something is inserted afterwards: Django's `flush`.
    pub fn purge(&self) {
        self.clear();
        let state = &mut *self.state.borrow_mut();
        state.changes.clear();
        state.stored.clear();
        state.fate = Fate::Purged;
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let state = self.state.borrow();
        !state.changes.is_empty() || state.fate != Fate::Kept
    }

    /// Saves what was changed, now; without it, it is saved when the connection has ended.
    ///
    /// Only what this connection changed is written, so what an HTTP view or another connection wrote meanwhile under
    /// other keys stays, and can be seen here afterwards. When the session gets a new cookie (it is new, renewed or
    /// purged, or its store keeps the values in the cookie), that goes to the client with the answer to the handshake;
    /// once that is out, nothing can be set in the client any more.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended elsewhere meanwhile; [`SessionError::Store`].
    pub async fn save(&self) -> Result<(), SessionError> {
        if !self.is_changed() {
            return Ok(());
        }
        let known = !self.state.borrow().stored.is_empty();
        let mut unsaved = Unsaved::take(&self.state);
        let passed = self.pass({
            let (changes, fate) = (unsaved.changes.clone(), unsaved.fate);
            Rc::new(move |session| {
                let gone = known && fate == Fate::Kept && session.entries().is_empty();
                if !gone {
                    change(session, &changes, fate);
                }
                !gone
            })
        });
        let result = passed.await;
        unsaved.answered = !matches!(result, Err(SessionError::Store { .. }));
        result
    }

    /// Reads the session's values again, as they are stored now; changes that are not saved stay.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`].
    pub async fn reload(&self) -> Result<(), SessionError> {
        if self.state.borrow().cookies.is_empty() {
            return Ok(());
        }
        self.pass(Rc::new(|_| true)).await
    }

    /// What is to be saved.
    #[cfg(feature = "auth")]
    pub(crate) fn unsaved(&self) -> Changes {
        let state = self.state.borrow();
        Changes { values: state.changes.clone(), fate: state.fate }
    }

    /// Takes back what was changed since then, and was not saved.
    #[cfg(feature = "auth")]
    pub(crate) fn set_unsaved(&self, Changes { values, fate }: Changes) {
        let state = &mut *self.state.borrow_mut();
        (state.changes, state.fate) = (values, fate);
    }

    /// Passes actix-session's middleware once, as a request of this client would.
    async fn pass(&self, visit: Visit) -> Result<(), SessionError> {
        let cookies = self.state.borrow().cookies.clone();
        let passed = self.store.pass(&cookies, visit).await?;
        let state = &mut *self.state.borrow_mut();
        if let Some(cookie) = passed.cookie {
            state.cookies = pair(&cookie).unwrap_or_default();
            self.answer.push(cookie);
        }
        state.stored = passed.values.ok_or(SessionError::Gone)?;
        Ok(())
    }
}

/// What is on its way to the store. Without an answer, because the store failed or nobody waited for it, it is to be saved
/// again.
struct Unsaved<'a> {
    state: &'a RefCell<State>,
    changes: Rc<HashMap<String, Option<String>>>,
    fate: Fate,
    answered: bool,
}

impl<'a> Unsaved<'a> {
    fn take(state: &'a RefCell<State>) -> Self {
        let taken = &mut *state.borrow_mut();
        let (changes, fate) = (Rc::new(std::mem::take(&mut taken.changes)), std::mem::take(&mut taken.fate));
        Self { state, changes, fate, answered: false }
    }
}

impl Drop for Unsaved<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // What was changed since stands over it.
        let state = &mut *self.state.borrow_mut();
        let mut undone = HashMap::clone(&self.changes);
        undone.extend(std::mem::take(&mut state.changes));
        (state.changes, state.fate) = (undone, state.fate.max(self.fate));
    }
}

impl fmt::Debug for Session {
    /// The keys; values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

/// Does to actix-session's session what was done to ours.
fn change(session: &actix_session::Session, changes: &HashMap<String, Option<String>>, fate: Fate) {
    match fate {
        Fate::Kept => {}
        Fate::Purged if changes.is_empty() => return session.purge(),
        Fate::Purged => {
            session.renew();
            session.clear();
        }
        Fate::Renewed => session.renew(),
    }
    for (key, value) in changes {
        match value.as_deref().map(serde_json::from_str::<&RawValue>) {
            Some(Ok(value)) => session.insert(key, value).expect("it was JSON already"),
            Some(Err(_)) | None => {
                session.remove(key);
            }
        }
    }
}

/// `name=value` of a `Set-Cookie`; `None` when it removes the cookie.
fn pair(cookie: &HeaderValue) -> Option<String> {
    let cookie = Cookie::parse(cookie.to_str().ok()?).ok()?;
    (!cookie.value().is_empty()).then(|| format!("{}={}", cookie.name(), cookie.value()))
}

/// What is done with the session of a request; `false` when it is not to be touched.
type Visit = Rc<dyn Fn(&actix_session::Session) -> bool>;

/// What came of it.
struct Passed {
    /// The values now, unless the visit refused.
    values: Option<Values>,
    cookie: Option<HeaderValue>,
}

/// Sessions, their store and its type forgotten.
///
/// actix-session keeps to itself how a cookie becomes a session. So what happens here is what happens to a request of
/// its HTTP side: the middleware is passed, with a service behind it that reads and writes the session.
trait Store: Send + Sync {
    fn pass<'a>(&'a self, cookies: &'a str, visit: Visit) -> LocalBoxFuture<'a, Result<Passed, SessionError>>;
}

impl<F, S> Store for F
where
    F: Fn() -> SessionMiddleware<S> + Send + Sync,
    S: SessionStore + 'static,
{
    fn pass<'a>(&'a self, cookies: &'a str, visit: Visit) -> LocalBoxFuture<'a, Result<Passed, SessionError>> {
        Box::pin(async move {
            let values = Rc::new(RefCell::new(None));
            let inner = fn_service({
                let values = values.clone();
                move |request: ServiceRequest| {
                    let session = request.get_session();
                    if visit(&session) {
                        *values.borrow_mut() = Some(session.entries().clone());
                    }
                    async { Ok::<_, actix_web::Error>(request.into_response(HttpResponse::Ok().finish())) }
                }
            });
            let failed = |error: actix_web::Error| SessionError::Store { why: error.to_string() };
            let Ok(service) = self().new_transform(inner).await else { unreachable!("its making cannot fail") };
            let mut request = TestRequest::default();
            if !cookies.is_empty() {
                request = request.insert_header((COOKIE, cookies));
            }
            let response = service.call(request.to_srv_request()).await.map_err(failed)?;
            let cookie = response.headers().get(SET_COOKIE).cloned();
            let values = values.borrow_mut().take();
            Ok(Passed { values, cookie })
        })
    }
}
