//! What the application knows of its users.

use std::{future::Future, time::SystemTime};

use futures_util::future::LocalBoxFuture;

use crate::Result;

/// Where users come from: a database, a directory, the issuer of tokens.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use std::{collections::HashMap, sync::Mutex};
///
/// use channels::{Result, auth::{Credentials, UserBackend}};
///
/// #[derive(Clone)]
/// struct User { id: u64, name: String }
///
/// struct Users(Mutex<HashMap<u64, User>>);
///
/// impl UserBackend for Users {
///     type User = User;
///
///     fn id(&self, user: &User) -> String {
///         user.id.to_string()
///     }
///
///     async fn get_user(&self, id: &str) -> Result<Option<User>> {
///         Ok(self.0.lock().unwrap().get(&id.parse::<u64>()?).cloned())
///     }
/// }
/// ```
pub trait UserBackend: Send + Sync + 'static {
    /// What consumers get to see of a user.
    type User: 'static;

    /// What tells a user from all others, for ever: a primary key. It stands in sessions, and in the name of a group:
    /// ASCII letters, digits and `-` count once, other bytes three times, and 84 are the most.
    fn id(&self, user: &Self::User) -> String;

    /// The user with this id, which a session holds; `None` when there is none any more, or they may not come in.
    ///
    /// # Errors
    ///
    /// Any: the handshake is refused with 500, and the error logged.
    fn get_user(&self, id: &str) -> impl Future<Output = Result<Option<Self::User>>>;

    /// The user to whom this token belongs, and until when it holds; `None` for a token that is none. Every token is
    /// refused unless it is written.
    ///
    /// Compare secrets in constant time, as the crates that verify tokens do. It is asked again for the same connection:
    /// see [`still_holds`](Self::still_holds).
    ///
    /// # Untrusted input
    ///
    /// The token is the client's: up to as many bytes as a header or a message may have.
    ///
    /// # Errors
    ///
    /// Any, when it cannot be found out. A bad token is no error.
    fn verify_token(&self, token: &str) -> impl Future<Output = Result<Option<Credentials<Self::User>>>> {
        let _ = token;
        async { Ok(None) }
    }

    /// Whether the user who came by this token may still come in. It is asked once, when the connection is where
    /// [`disconnect_user`](crate::auth::disconnect_user) reaches it: who was put out between
    /// [`verify_token`](Self::verify_token) and that moment is refused.
    ///
    /// Unless it is written, the token is verified again. Write it where a token is good for one time only, and look the
    /// user up instead.
    ///
    /// # Errors
    ///
    /// Any, when it cannot be found out: the connection is refused.
    fn still_holds(&self, token: &str, user: &Self::User) -> impl Future<Output = Result<bool>> {
        async {
            let now = self.verify_token(token).await?.filter(Credentials::hold);
            Ok(now.is_some_and(|now| self.id(&now.user) == self.id(user)))
        }
    }

    /// What a login depends on besides the id, as a MAC of the password's hash: when it changes, sessions from before are
    /// worth nothing. Django's `get_session_auth_hash`.
    fn session_auth_hash(&self, user: &Self::User) -> Option<String> {
        let _ = user;
        None
    }
}

/// A user, and until when the proof of it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Credentials<U> {
    /// Who it is.
    pub user: U,
    /// When the connection closes with 4501; `None` for never.
    pub expires: Option<SystemTime>,
}

impl<U> Credentials<U> {
    /// That hold until they are revoked.
    pub fn new(user: U) -> Self {
        Self { user, expires: None }
    }

    /// That hold until then: a token's `exp`.
    #[must_use]
    pub fn until(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    pub(super) fn hold(&self) -> bool {
        self.expires.is_none_or(|expires| expires > SystemTime::now())
    }
}

/// A backend whose type is forgotten, but for its users'.
pub(super) trait Users<U> {
    fn id(&self, user: &U) -> String;
    fn get_user<'a>(&'a self, id: &'a str) -> LocalBoxFuture<'a, Result<Option<U>>>;
    fn verify_token<'a>(&'a self, token: &'a str) -> LocalBoxFuture<'a, Result<Option<Credentials<U>>>>;
    fn still_holds<'a>(&'a self, token: &'a str, user: &'a U) -> LocalBoxFuture<'a, Result<bool>>;
    fn session_auth_hash(&self, user: &U) -> Option<String>;
}

impl<B: UserBackend> Users<B::User> for B {
    fn id(&self, user: &B::User) -> String {
        UserBackend::id(self, user)
    }

    fn get_user<'a>(&'a self, id: &'a str) -> LocalBoxFuture<'a, Result<Option<B::User>>> {
        Box::pin(UserBackend::get_user(self, id))
    }

    fn verify_token<'a>(&'a self, token: &'a str) -> LocalBoxFuture<'a, Result<Option<Credentials<B::User>>>> {
        Box::pin(UserBackend::verify_token(self, token))
    }

    fn still_holds<'a>(&'a self, token: &'a str, user: &'a B::User) -> LocalBoxFuture<'a, Result<bool>> {
        Box::pin(UserBackend::still_holds(self, token, user))
    }

    fn session_auth_hash(&self, user: &B::User) -> Option<String> {
        UserBackend::session_auth_hash(self, user)
    }
}
