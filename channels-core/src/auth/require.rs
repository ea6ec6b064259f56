//! Refusing strangers.

use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicBool, Ordering},
};

use actix_web::http::{StatusCode, header::WWW_AUTHENTICATE};

use super::{Auth, users};
use crate::{Deny, Middleware, Scope};

/// Middleware that refuses whoever is not logged in as a `U`: 401, and `WWW-Authenticate: Bearer`. It goes inside of
/// [`AuthMiddleware`](crate::auth::AuthMiddleware), or of middleware of one's own that
/// [says](crate::Scope::set_user) who a connection belongs to.
///
/// With neither it refuses everybody, and the log says once what is missing. Inside of an `AuthMiddleware` for another type
/// of users it is a mistake, not the client's: 500, and an error in the log.
///
/// A consumer that takes its token from the first message cannot stand behind it: see
/// [`expect_login`](crate::auth::expect_login).
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message, Middleware, URLRouter, path};
/// # #[derive(Default)] struct Chat; #[derive(Default)] struct Lobby; struct User;
/// # impl Consumer for Chat { type Input = Message; }
/// # impl Consumer for Lobby { type Input = Message; }
/// use channels::auth::require_auth;
///
/// let routes = URLRouter::new([
///     path("ws/lobby/", Lobby::default),
///     path("ws/chat/", require_auth::<User>().wrap(Chat::default)),
/// ])?;
/// # Ok::<(), channels::PatternError>(())
/// ```
#[must_use]
pub fn require_auth<U: 'static>() -> RequireAuth<U> {
    RequireAuth { anybody: AtomicBool::new(false), user: PhantomData }
}

/// Middleware that refuses strangers. [`require_auth`] makes it.
pub struct RequireAuth<U> {
    /// Somebody was let in, or the log has said why nobody was.
    anybody: AtomicBool,
    user: PhantomData<fn() -> U>,
}

impl<U: 'static> Middleware for RequireAuth<U> {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        if scope.user::<U>().is_some() {
            self.anybody.store(true, Ordering::Relaxed);
            return Ok(scope);
        }
        if let Err(error) = users::<U>(&scope) {
            if Auth::of(&scope).is_some_and(|auth| auth.users.is_some()) {
                tracing::error!(path = scope.path(), %error, "nobody can be let in");
                return Err(Deny::new(StatusCode::INTERNAL_SERVER_ERROR));
            }
            if !self.anybody.swap(true, Ordering::Relaxed) {
                tracing::warn!(path = scope.path(), %error, "a stranger was refused, and nobody was let in so far");
            }
        }
        Err(Deny::new(StatusCode::UNAUTHORIZED).header((WWW_AUTHENTICATE, "Bearer")))
    }
}

impl<U> fmt::Debug for RequireAuth<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequireAuth").field(&type_name::<U>()).finish()
    }
}
