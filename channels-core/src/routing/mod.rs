//! Routing: which consumer a connection gets.
//!
//! An [`Application`] takes a [`Scope`] and says what becomes of the connection. Routers are applications, and so is a
//! function that makes a consumer: they nest.

mod channel_name;
mod endpoint;
mod mistaken;
mod pattern;
mod protocol;
mod transports;
mod url;

use std::{fmt, sync::Arc};

use futures_util::future::LocalBoxFuture;

pub use self::{
    channel_name::ChannelNameRouter,
    endpoint::Endpoint,
    pattern::PatternError,
    protocol::ProtocolTypeRouter,
    transports::Transport,
    url::{Route, URLRouter, path, re_path},
};
pub(crate) use self::{endpoint::not_offered, transports::Transports};
use crate::{
    Consumer, Deny, Scope,
    consumer::{Blocking, HttpConsumer, Responding, SyncConsumer},
};

/// What becomes of a connection.
#[derive(Debug)]
pub enum Outcome {
    /// A consumer runs.
    Run(Scope, Endpoint),
    /// No route here: an outer router tries its next one, or the request is answered with 404.
    NoRoute(Scope),
    /// The connection is refused with this response.
    Refuse(Deny),
}

/// Takes a scope and says what becomes of the connection: a router, a middleware around one, or a consumer.
///
/// # Examples
///
/// One that lets nobody in during the night:
///
/// ```
/// # use channels_core as channels;
/// use channels::{Deny, Scope, routing::{Application, Outcome, RouteList}};
/// use futures_util::future::LocalBoxFuture;
///
/// struct OpeningHours<A>(A);
///
/// impl<A: Application> Application for OpeningHours<A> {
///     fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
///         Box::pin(async {
///             # fn is_night() -> bool { true }
///             if is_night() { Outcome::Refuse(Deny::forbidden()) } else { self.0.call(scope).await }
///         })
///     }
///
///     fn serves(&self, scope: &mut Scope) -> bool {
///         self.0.serves(scope)
///     }
///
///     fn routes(&self, list: &mut RouteList) {
///         self.0.routes(list);
///     }
/// }
/// ```
pub trait Application: Send + Sync + 'static {
    /// Says what becomes of the connection of this scope.
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome>;

    /// Whether a consumer serves what this scope asks for, as far as it is known without asking anybody: the answer to a
    /// plain request is 426 where one does, and 404 elsewhere. No middleware runs for it, and the scope is left as it was.
    ///
    /// An application around another one asks that.
    fn serves(&self, scope: &mut Scope) -> bool;

    /// Adds the routes in it to a list, for the start-up log and for the log line of a miss.
    fn routes(&self, list: &mut RouteList);

    /// Whether it never says [`NoRoute`](Outcome::NoRoute), so that a second route with the pattern of its own is never
    /// reached, which [`URLRouter::new`] refuses. `false`, as of a router.
    fn always_answers(&self) -> bool {
        false
    }
}

impl<A: Application + ?Sized> Application for Arc<A> {
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        (**self).call(scope)
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        (**self).serves(scope)
    }

    fn routes(&self, list: &mut RouteList) {
        (**self).routes(list);
    }

    fn always_answers(&self) -> bool {
        (**self).always_answers()
    }
}

/// What a route leads to: a function that makes a consumer, or an [`Application`].
///
/// The parameter only tells the two apart; it is never written.
#[diagnostic::on_unimplemented(
    message = "a route cannot lead to a `{Self}`",
    label = "neither a function that makes a consumer nor an application",
    note = "give a function: `MyConsumer::default`, or `|| MyConsumer::new(…)`"
)]
pub trait IntoApplication<Kind> {
    /// The application.
    fn into_application(self) -> Arc<dyn Application>;
}

/// Tells functions that make a consumer from applications.
#[derive(Debug)]
pub struct Makes<C>(std::marker::PhantomData<C>);

/// Tells functions that make a synchronous consumer from the others.
#[derive(Debug)]
pub struct MakesSync<C>(std::marker::PhantomData<C>);

/// Tells functions that make a consumer of HTTP requests from the others.
#[derive(Debug)]
pub struct MakesHttp<C>(std::marker::PhantomData<C>);

/// Tells applications from functions that make a consumer.
#[derive(Debug)]
pub struct Itself;

impl<F, C> IntoApplication<Makes<C>> for F
where
    F: Fn() -> C + Send + Sync + 'static,
    C: Consumer,
{
    fn into_application(self) -> Arc<dyn Application> {
        Arc::new(Endpoint::new(self))
    }
}

impl<F, C> IntoApplication<MakesSync<C>> for F
where
    F: Fn() -> C + Send + Sync + 'static,
    C: SyncConsumer,
{
    fn into_application(self) -> Arc<dyn Application> {
        Arc::new(Endpoint::new(move || Blocking::new(self())))
    }
}

impl<F, C> IntoApplication<MakesHttp<C>> for F
where
    F: Fn() -> C + Send + Sync + 'static,
    C: HttpConsumer,
{
    fn into_application(self) -> Arc<dyn Application> {
        Arc::new(Endpoint::new(move || Responding::new(self())))
    }
}

impl<A: Application> IntoApplication<Itself> for A {
    fn into_application(self) -> Arc<dyn Application> {
        Arc::new(self)
    }
}

/// The routes of an application, as a person reads them.
#[derive(Clone, Default, Debug)]
pub struct RouteList {
    prefix: String,
    routes: Vec<RouteInfo>,
    offered: Transports,
    /// Whether a router was among what was added.
    nested: bool,
    /// Whether what was added takes the whole rest of a path, however many consumers it has.
    ends: bool,
}

/// One route: the way to it, and the consumer at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The patterns on the way, outermost first: `chat/ ^(?P<room>\w+)/$`.
    pub pattern: String,
    /// The type of the consumer, with its module.
    pub consumer: &'static str,
    /// The channel layer it uses.
    pub layer: &'static str,
    /// How many of the consumers read it, if it is a worker's channel: [`ChannelNameRouter::at_once`].
    pub at_once: usize,
    /// How clients may reach the consumer, if it is one of connections: [`Route::transports`].
    pub transports: Vec<Transport>,
}

impl RouteList {
    /// The routes, in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> &[RouteInfo] {
        &self.routes
    }

    pub(crate) fn of(application: &dyn Application) -> Self {
        let mut list = Self::default();
        application.routes(&mut list);
        list
    }

    /// Adds the consumers of one application that takes the whole rest of the path.
    pub(crate) fn end(&mut self, add: impl FnOnce(&mut Self)) {
        let nested = self.nested;
        add(self);
        (self.nested, self.ends) = (nested, true);
    }

    pub(crate) fn within(&mut self, pattern: &str, add: impl FnOnce(&mut Self)) {
        self.nested = true;
        let outer = self.prefix.clone();
        if !outer.is_empty() {
            self.prefix.push(' ');
        }
        self.prefix.push_str(pattern);
        add(self);
        self.prefix = outer;
    }

    /// Whether a consumer can be reached otherwise than by a socket.
    pub(crate) fn offers_requests(&self) -> bool {
        self.routes.iter().any(|route| route.transports.iter().any(|transport| *transport != Transport::WebSocket))
    }

    /// Adds what is reached in these ways unless it says otherwise itself.
    fn offering(&mut self, offered: Option<Transports>, add: impl FnOnce(&mut Self)) {
        let outer = self.offered;
        self.offered = offered.unwrap_or(outer);
        add(self);
        self.offered = outer;
    }

    fn add(&mut self, consumer: &'static str, layer: &'static str) {
        let (pattern, transports) = (self.prefix.clone(), self.offered.list());
        self.routes.push(RouteInfo { pattern, consumer, layer, at_once: 1, transports });
    }
}

impl fmt::Display for RouteList {
    /// The patterns, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.routes.iter().map(|route| route.pattern.as_str()).collect();
        f.write_str(&patterns.join(", "))
    }
}
