//! Who a connection belongs to: users, logins, tokens. Feature `auth`.
//!
//! [`AuthMiddleware`] finds the user of a connection by its session or its token, [`Scope::user`](crate::Scope::user)
//! tells who it is, [`require_auth`] refuses strangers, and [`disconnect_user`] ends all connections of one user, in
//! whichever process they are. What a user is, the application says with a [`UserBackend`].

mod backend;
mod kick;
mod login;
mod middleware;
mod proof;
mod require;
pub mod view;

use std::{any::Any, rc::Rc, sync::Arc};

use thiserror::Error;

use self::{backend::Users, proof::Proof};
pub use self::{
    backend::{Credentials, UserBackend},
    kick::disconnect_user,
    login::{authenticate, expect_login, get_user, login, login_until, logout},
    middleware::{AuthMiddleware, AuthMiddlewareStack},
    require::{RequireAuth, require_auth},
};
use crate::{NameError, Scope, scope::Join};

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
    /// The session, or the user, was no more when the connection had joined the user's group: they were put out while they
    /// logged in.
    #[error("user `{id}` was logged out while they logged in")]
    LoggedOut {
        /// The user's id.
        id: String,
    },
}

/// What the middleware leaves in the scope: who it is, and who knows more.
struct Auth {
    /// An `Arc<dyn Users<U>>`, and the name of `U`; `None` where no [`AuthMiddleware`] is.
    users: Option<(Rc<dyn Any>, &'static str)>,
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
    /// By a token, or to somebody else.
    Other,
}

impl From<&Proof> for By {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::Session => Self::Session,
            Proof::Token(_) => Self::Other,
        }
    }
}

impl Auth {
    fn of(scope: &Scope) -> Option<&Self> {
        scope.extensions().get()
    }
}

fn users<U: 'static>(scope: &Scope) -> Result<Arc<dyn Users<U>>, AuthError> {
    let known = Auth::of(scope).and_then(|auth| auth.users.as_ref());
    let users = known.and_then(|(users, _)| users.downcast_ref::<Arc<dyn Users<U>>>());
    users.cloned().ok_or_else(|| AuthError::Missing {
        wanted: std::any::type_name::<U>(),
        found: known.map(|(_, user_type)| format!(" (but of type `{user_type}`)")).unwrap_or_default(),
    })
}

impl Scope {
    /// The user of this connection, if somebody is logged in and is a `U`: the [`UserBackend::User`] of the middleware, or
    /// what [`set_user`](Self::set_user) was given.
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

    /// Makes this the user of a connection that has not begun, without an [`AuthMiddleware`]: Channels'
    /// `scope["user"] = …`, as tests write it, and middleware of one's own. The connection is reached by
    /// [`disconnect_user`] with this id.
    ///
    /// Once `connect` runs, [`login`] and [`authenticate`] are for that.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::{Deny, Middleware, Result, Scope};
    ///
    /// struct User { name: String }
    ///
    /// /// Believes a proxy, which has let its users log in.
    /// struct RemoteUser;
    ///
    /// impl Middleware for RemoteUser {
    ///     async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
    ///         if let Some(name) = scope.header("X-Remote-User").map(str::to_owned) {
    ///             scope.set_user(&name, User { name: name.clone() }).map_err(|_| Deny::forbidden())?;
    ///         }
    ///         Ok(scope)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NameError`] when the id is too long to be that of a user: see [`UserBackend::id`].
    pub fn set_user<U: 'static>(&mut self, id: impl Into<String>, user: U) -> Result<(), NameError> {
        let id = id.into();
        let join = Join { group: kick::group(&id)?, still: Box::new(|_| Box::pin(async { Ok(true) })) };
        self.demands.joins.push(join);
        self.owner.set(Some(id.clone()));
        let users = Auth::of(self).and_then(|auth| auth.users.clone());
        let current = Some(Current { user: Rc::new(user), id, by: By::Other });
        self.extensions_mut().insert(Auth { users, current });
        Ok(())
    }

    /// The id of this connection's user, as [`UserBackend::id`] gives it; `None` for strangers.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        Auth::of(self)?.current.as_ref().map(|current| current.id.as_str())
    }
}
