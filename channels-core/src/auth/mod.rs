//! Who a connection belongs to: users, logins, tokens. Feature `auth`.
//!
//! [`AuthMiddleware`] finds the user of a connection by its session or its token, [`Scope::user`](crate::Scope::user)
//! tells who it is, [`require_auth`] refuses strangers, and [`disconnect_user`] ends all connections of one user, in
//! whichever process they are. What a user is, the application says with a [`UserBackend`].

mod backend;
mod kick;
mod login;
mod middleware;
mod require;
pub mod view;

use std::{any::Any, rc::Rc, sync::Arc};

use thiserror::Error;

use self::backend::Users;
pub use self::{
    backend::{Credentials, UserBackend},
    kick::disconnect_user,
    login::{authenticate, expect_login, get_user, login, login_until, logout},
    middleware::{AuthMiddleware, AuthMiddlewareStack},
    require::{RequireAuth, require_auth},
};
use crate::Scope;

/// A question about users where no middleware could answer it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no [`AuthMiddleware`] for users of this type around the routes.
    #[error(
        "the scope knows no users of type `{wanted}`{found}: put the middleware `AuthMiddleware` around the routes, inside \
         of `Sessions`: `AuthMiddlewareStack::new(sessions, backend).wrap(URLRouter::new(…)?)`"
    )]
    Missing {
        /// The type asked for.
        wanted: &'static str,
        /// The type there is, in brackets; empty when there is none.
        found: String,
    },
}

/// What the middleware leaves in the scope: who it is, and who knows more.
struct Auth {
    /// An `Arc<dyn Users<U>>`.
    users: Rc<dyn Any>,
    user_type: &'static str,
    current: Option<Current>,
}

struct Current {
    user: Rc<dyn Any>,
    id: String,
    by: By,
}

/// How somebody showed who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Session,
    Token,
}

impl Auth {
    fn of(scope: &Scope) -> Option<&Self> {
        scope.extensions().get()
    }
}

fn users<U: 'static>(scope: &Scope) -> Result<Arc<dyn Users<U>>, AuthError> {
    let auth = Auth::of(scope);
    let users = auth.and_then(|auth| auth.users.downcast_ref::<Arc<dyn Users<U>>>());
    users.cloned().ok_or_else(|| AuthError::Missing {
        wanted: std::any::type_name::<U>(),
        found: auth.map(|auth| format!(" (but of type `{}`)", auth.user_type)).unwrap_or_default(),
    })
}

impl Scope {
    /// The user of this connection, if somebody is logged in and is a `U`: the [`UserBackend::User`] of the middleware.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # struct User { name: String }
    /// # async fn connect(cx: &mut channels::Context) -> channels::Result<()> {
    /// let greeting = match cx.scope().user::<User>() {
    ///     Some(user) => format!("hello, {}", user.name),
    ///     None => "hello, stranger".to_owned(),
    /// };
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn user<U: 'static>(&self) -> Option<&U> {
        Auth::of(self)?.current.as_ref()?.user.downcast_ref()
    }

    /// The id of this connection's user, as [`UserBackend::id`] gives it; `None` for strangers.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        Auth::of(self)?.current.as_ref().map(|current| current.id.as_str())
    }
}
