//! Middleware: what stands between the routers and the consumers.
//!
//! A [`Middleware`] takes the [`Scope`] of a connection before its consumer runs, and hands it on, changed or not, or
//! refuses the connection; and it is told when the connection has ended. [`Middleware::wrap`] puts it around a router or
//! a consumer, on any level.

#[cfg(feature = "limit")]
mod limit;
mod origin;
#[cfg(feature = "session")]
mod session;
mod stack;

use std::{future::Future, sync::Arc};

use futures_util::future::LocalBoxFuture;

#[cfg(feature = "limit")]
pub use self::limit::RateLimit;
pub use self::origin::{AllowedHosts, OriginError, OriginValidator};
#[cfg(feature = "session")]
pub use self::session::{Session, SessionError, Sessions};
use crate::{
    Close, Deny, Message, Scope,
    routing::{Application, IntoApplication, Outcome, RouteList},
};

/// What stands between the routers and the consumers: scope in; scope, or refusal, out.
///
/// # Examples
///
/// One that leaves a language in the scope for the consumer:
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Deny, Message, Result, Scope, middleware::Middleware};
///
/// struct Language(String);
///
/// struct FromHeader;
///
/// impl Middleware for FromHeader {
///     async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
///         let language = scope.header("Accept-Language").unwrap_or("en").to_owned();
///         scope.extensions_mut().insert(Language(language));
///         Ok(scope)
///     }
/// }
///
/// #[derive(Default)]
/// struct Greeter;
///
/// impl Consumer for Greeter {
///     type Input = Message;
///
///     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
///         let language = cx.scope().extensions().get::<Language>().map_or("en", |language| &language.0);
///         let greeting = if language.starts_with("zh") { "你好" } else { "hello" };
///         cx.accept()?;
///         cx.send(greeting)?;
///         Ok(())
///     }
/// }
///
/// # use channels::{URLRouter, path};
/// let routes = URLRouter::new([path("ws/", FromHeader.wrap(Greeter::default))])?;
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// A stack of several is a tuple, the outermost first:
///
/// ```
/// # use channels_core as channels;
/// # use channels::{AllowedHosts, Consumer, Deny, Message, Middleware, Scope, URLRouter, path};
/// # #[derive(Default)] struct Chat;
/// # impl Consumer for Chat { type Input = Message; }
/// # struct FromHeader;
/// # impl Middleware for FromHeader {
/// #     async fn before(&self, scope: Scope) -> Result<Scope, Deny> { Ok(scope) }
/// # }
/// let stack = (AllowedHosts::from(["example.com"]), FromHeader);
/// let routes = stack.wrap(URLRouter::new([path("ws/", Chat::default)])?);
/// # Ok::<(), channels::PatternError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    label = "not a middleware",
    note = "implement `Middleware` for it: `async fn before(&self, scope: Scope) -> Result<Scope, Deny>`"
)]
pub trait Middleware: Send + Sync + Sized + 'static {
    /// Takes the scope before the router or consumer inside does, and hands it on or refuses the connection.
    ///
    /// It counts as part of the handshake, but not into [`Config::handshake_timeout`](crate::Config::handshake_timeout):
    /// bound what it waits for.
    ///
    /// # Errors
    ///
    /// A [`Deny`] refuses the connection with its response.
    fn before(&self, scope: Scope) -> impl Future<Output = Result<Scope, Deny>>;

    /// Is told that the connection has ended, after the consumer's `disconnect`. Inner middleware is told first. A
    /// connection that a middleware refused has no `after`.
    ///
    /// It has as long as `disconnect` has ([`Config::disconnect_timeout`](crate::Config::disconnect_timeout)), and is
    /// cancelled then.
    fn after(&self, scope: &mut Scope, close: &Close) -> impl Future<Output = ()> {
        let _ = (scope, close);
        async {}
    }

    /// Puts it around a router, a consumer, or another middleware that is wrapped around one.
    fn wrap<Kind>(self, inner: impl IntoApplication<Kind>) -> Wrapped<Self> {
        Wrapped { middleware: Arc::new(self), inner: inner.into_application() }
    }
}

/// An application with a middleware around it. [`Middleware::wrap`] makes it.
pub struct Wrapped<M> {
    middleware: Arc<M>,
    inner: Arc<dyn Application>,
}

/// What a middleware lets through of what the client sends, before `receive` sees it.
pub(crate) trait Gate {
    /// Decides about the next message.
    fn admit(&self, scope: &Scope) -> Admission;
}

/// What a gate says of a message.
#[cfg_attr(not(feature = "limit"), allow(dead_code))]
pub(crate) enum Admission {
    Granted,
    /// It is dropped, and the client told this.
    Drop(Option<Message>),
    Close(Close),
}

/// What a middleware does after a connection, its type forgotten.
pub(crate) trait After {
    fn after<'a>(&'a self, scope: &'a mut Scope, close: &'a Close) -> LocalBoxFuture<'a, ()>;
}

impl<M: Middleware> After for M {
    fn after<'a>(&'a self, scope: &'a mut Scope, close: &'a Close) -> LocalBoxFuture<'a, ()> {
        Box::pin(Middleware::after(self, scope, close))
    }
}

impl<M: Middleware> Application for Wrapped<M> {
    fn call(&self, mut scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async move {
            let mark = scope.mark();
            scope.demands.afters.push(self.middleware.clone());
            match self.middleware.before(scope).await {
                Ok(scope) => match self.inner.call(scope).await {
                    // Another route may fit, without this middleware.
                    Outcome::NoRoute(mut scope) => {
                        scope.return_to(mark);
                        Outcome::NoRoute(scope)
                    }
                    outcome => outcome,
                },
                Err(deny) => Outcome::Refuse(deny),
            }
        })
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        self.inner.serves(scope)
    }

    fn routes(&self, list: &mut RouteList) {
        self.inner.routes(list);
    }

    fn always_answers(&self) -> bool {
        self.inner.always_answers()
    }
}

impl<M> std::fmt::Debug for Wrapped<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped").field("routes", &RouteList::of(&*self.inner)).finish_non_exhaustive()
    }
}
