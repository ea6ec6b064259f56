//! Finding out who a connection belongs to.

use std::{
    any::{Any, type_name},
    rc::Rc,
    sync::Arc,
};

use actix_web::http::{StatusCode, header::AUTHORIZATION};

use super::{Auth, By, Current, UserBackend, backend::Users, kick, login, proof::Proof};
use crate::{
    Close, Deny, Middleware, Result, Scope,
    middleware::Sessions,
    scope::{Join, Still},
};

/// Middleware that finds the user of a connection: Channels' `AuthMiddleware`.
///
/// In this order, the first that is there counts:
///
/// 1. `Authorization: Bearer <token>`, from clients that can set headers.
/// 2. A subprotocol `bearer.<token>`, from browsers, which cannot: `new WebSocket(url, ["chat.v1", "bearer." + token])`.
///    The token is taken out of [`Scope::subprotocols`]. Accept one of the others, since a browser closes a connection
///    where it offered some and none was chosen.
/// 3. The session, from which [`login`](crate::auth::login) or [`view::login`](crate::auth::view::login) made the user's.
///
/// A token that is refused leaves a stranger: the session is not asked then. Tokens are never read from the URL, which
/// servers and proxies log; where neither header will do, take it from [the first message](crate::auth::authenticate).
///
/// Every connection joins a group of its user, so that [`disconnect_user`](crate::auth::disconnect_user) reaches it, and
/// is closed with 4501 when its credentials expire.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message, Middleware, Result, URLRouter, path, auth::UserBackend};
/// # #[derive(Default)] struct Chat;
/// # impl Consumer for Chat { type Input = Message; }
/// # struct User; struct Users;
/// # impl UserBackend for Users {
/// #     type User = User;
/// #     fn id(&self, _: &User) -> String { "7".into() }
/// #     async fn get_user(&self, _: &str) -> Result<Option<User>> { Ok(Some(User)) }
/// # }
/// use channels::auth::{AuthMiddleware, require_auth};
///
/// // Tokens alone, without sessions:
/// let stack = (AuthMiddleware::new(Users), require_auth::<User>());
/// let routes = stack.wrap(URLRouter::new([path("ws/", Chat::default)])?);
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// # Untrusted input
///
/// Cookies and tokens are the client's. A browser sends a user's cookies along with a handshake that any page of the
/// world began: put [`AllowedHosts`](crate::AllowedHosts) around it.
pub struct AuthMiddleware<B> {
    backend: Arc<B>,
    prefix: String,
}

impl<B: UserBackend> AuthMiddleware<B> {
    /// With the users of this backend, or `Arc` of one.
    pub fn new(backend: impl Into<Arc<B>>) -> Self {
        Self { backend: backend.into(), prefix: "bearer.".to_owned() }
    }

    /// With another prefix of the subprotocol that carries a token; `bearer.` unless it is set.
    #[must_use]
    pub fn subprotocol_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn proof(&self, scope: &mut Scope) -> Option<Proof> {
        let carried = scope.take_subprotocol(&self.prefix);
        match bearer(scope).map(str::to_owned).or(carried) {
            Some(token) => Some(Proof::Token(token)),
            None => scope.session().is_ok().then_some(Proof::Session),
        }
    }

    async fn enter(&self, scope: &mut Scope) -> Result<()> {
        let users: Arc<dyn Users<B::User>> = self.backend.clone();
        let mut current = None;
        if let Some(proof) = self.proof(scope)
            && let Some(credentials) = proof.user(scope, &*users).await?
        {
            let (id, by, user) = (users.id(&credentials.user), By::from(&proof), Rc::new(credentials.user));
            let (group, users, owner) = (kick::group(&id)?, users.clone(), user.clone());
            let still: Still =
                Box::new(move |scope| Box::pin(async move { proof.still(scope, &*users, &*owner).await }));
            scope.owner.set(Some(id.clone()));
            scope.demands.joins.push(Join { group, still });
            scope.demands.deadline = credentials.expires.map(login::deadline);
            current = Some(Current { user, id, by });
        }
        let users: Rc<dyn Any> = Rc::new(users);
        scope.extensions_mut().insert(Auth { users: Some((users, type_name::<B::User>())), current });
        Ok(())
    }
}

impl<B: UserBackend> Middleware for AuthMiddleware<B> {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        match self.enter(&mut scope).await {
            Ok(()) => Ok(scope),
            Err(error) => {
                tracing::error!(path = scope.path(), ?error, "the user of a connection could not be found out");
                Err(Deny::new(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }
}

impl<B> std::fmt::Debug for AuthMiddleware<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthMiddleware").field("backend", &type_name::<B>()).finish_non_exhaustive()
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1). The scheme's case does not matter (RFC 9110,
/// section 11.1).
fn bearer(scope: &Scope) -> Option<&str> {
    let (scheme, token) = scope.header(AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Sessions, and the users in them: Channels' `AuthMiddlewareStack`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message, Result, URLRouter, path, auth::UserBackend};
/// # #[derive(Default)] struct Chat;
/// # impl Consumer for Chat { type Input = Message; }
/// # struct User; struct Users;
/// # impl UserBackend for Users {
/// #     type User = User;
/// #     fn id(&self, _: &User) -> String { "7".into() }
/// #     async fn get_user(&self, _: &str) -> Result<Option<User>> { Ok(Some(User)) }
/// # }
/// use actix_session::{SessionMiddleware, storage::CookieSessionStore};
/// use channels::{AllowedHosts, Middleware, actix_web::cookie::Key, auth::AuthMiddlewareStack, middleware::Sessions};
///
/// let key = Key::generate();
/// let sessions = Sessions::new(move || SessionMiddleware::new(CookieSessionStore::default(), key.clone()));
/// let stack = (AllowedHosts::from(["example.com"]), AuthMiddlewareStack::new(sessions, Users));
/// let routes = stack.wrap(URLRouter::new([path("ws/", Chat::default)])?);
/// # Ok::<(), channels::PatternError>(())
/// ```
#[derive(Debug)]
pub struct AuthMiddlewareStack<B>((Sessions, AuthMiddleware<B>));

impl<B: UserBackend> AuthMiddlewareStack<B> {
    /// These sessions, and the users of this backend, or `Arc` of one.
    pub fn new(sessions: Sessions, backend: impl Into<Arc<B>>) -> Self {
        Self((sessions, AuthMiddleware::new(backend)))
    }
}

impl<B: UserBackend> Middleware for AuthMiddlewareStack<B> {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        self.0.before(scope).await
    }

    async fn after(&self, scope: &mut Scope, close: &Close) {
        self.0.after(scope, close).await;
    }
}
