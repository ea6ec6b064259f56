//! Routing by the kind of a connection: the top of an application.

use std::sync::{Arc, OnceLock};

use actix_web::web::ServiceConfig;
use futures_util::future::LocalBoxFuture;

use super::{Application, IntoApplication, Outcome, RouteList};
use crate::{Layers, Scope, scope::Protocol, server::Server};

/// Chooses by the kind of a connection: the top of an application. Channels' `ProtocolTypeRouter`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{ProtocolTypeRouter, URLRouter, actix_web::{HttpResponse, web}, re_path};
///
/// let app = ProtocolTypeRouter::new()
///     .http(|cfg| {
///         cfg.route("/", web::get().to(|| async { HttpResponse::Ok().body("hello") }));
///     })
///     .websocket(URLRouter::new([re_path(r"^ws/(?P<group>\w+)/$", ChatConsumer::default)])?);
/// # Ok::<(), channels::PatternError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct ProtocolTypeRouter(Arc<Parts>);

type Configure = dyn Fn(&mut ServiceConfig) + Send + Sync;

#[derive(Clone, Default)]
struct Parts {
    http: Option<Arc<Configure>>,
    http_consumers: Option<Arc<dyn Application>>,
    websocket: Option<Arc<dyn Application>>,
    channel: Option<Arc<dyn Application>>,
    /// The layers where no others are given: one set for all worker threads that mount the application.
    layers: OnceLock<Layers>,
}

impl ProtocolTypeRouter {
    /// A router that knows no kind of connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same router with these plain actix-web services for HTTP requests. It is called once on each worker thread.
    ///
    /// What is shared between the threads, as a [`Layer`](crate::Layer), is moved into the closure and cloned there.
    pub fn http(mut self, configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).http = Some(Arc::new(configure));
        self
    }

    /// The same router with this application for the HTTP requests that none of [`http`](Self::http)'s services takes: an
    /// [`HttpConsumer`](crate::HttpConsumer), or a [`URLRouter`](super::URLRouter) of them.
    pub fn http_consumers<Kind>(mut self, to: impl IntoApplication<Kind>) -> Self {
        Arc::make_mut(&mut self.0).http_consumers = Some(to.into_application());
        self
    }

    /// The same router with this application for WebSockets.
    pub fn websocket<Kind>(mut self, to: impl IntoApplication<Kind>) -> Self {
        Arc::make_mut(&mut self.0).websocket = Some(to.into_application());
        self
    }

    /// The same router with this application for the channels that a worker reads.
    pub fn channel<Kind>(mut self, to: impl IntoApplication<Kind>) -> Self {
        Arc::make_mut(&mut self.0).channel = Some(to.into_application());
        self
    }

    /// Puts the application into an actix-web `App` that exists, with in-memory layers and the default settings: see
    /// [`Server::mount`].
    ///
    /// # Panics
    ///
    /// When a consumer uses a layer alias other than `default`: give the layers with [`Server::layers`].
    #[track_caller]
    pub fn mount(&self) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
        match Server::new(self.clone()).mount() {
            Ok(mount) => mount,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn layers(&self) -> &Layers {
        self.0.layers.get_or_init(Layers::default)
    }

    pub(crate) fn configure_http(&self, config: &mut ServiceConfig) {
        if let Some(configure) = &self.0.http {
            configure(config);
        }
    }

    /// The routes for connections of one kind.
    pub(crate) fn routes_of(&self, protocol: Protocol) -> RouteList {
        let mut list = RouteList::default();
        self.add_routes(protocol, &mut list);
        list
    }

    fn add_routes(&self, protocol: Protocol, list: &mut RouteList) {
        if let Some(application) = self.application(protocol) {
            list.within(protocol.as_str(), |list| application.routes(list));
        }
    }

    pub(crate) fn application(&self, protocol: Protocol) -> Option<&Arc<dyn Application>> {
        match protocol {
            Protocol::Websocket => self.0.websocket.as_ref(),
            Protocol::Channel => self.0.channel.as_ref(),
            Protocol::Http => self.0.http_consumers.as_ref(),
        }
    }
}

impl Application for ProtocolTypeRouter {
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.application(scope.protocol()) {
                Some(application) => application.call(scope).await,
                None => Outcome::NoRoute(scope),
            }
        })
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        self.application(scope.protocol()).is_some_and(|application| application.serves(scope))
    }

    fn routes(&self, list: &mut RouteList) {
        for protocol in [Protocol::Http, Protocol::Websocket, Protocol::Channel] {
            self.add_routes(protocol, list);
        }
    }
}

impl std::fmt::Debug for ProtocolTypeRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProtocolTypeRouter")
            .field("http", &self.0.http.is_some())
            .field("routes", &RouteList::of(self))
            .finish()
    }
}
