//! The server: an application, its layers, where it listens, how it stops.

mod access;
mod addresses;
mod binds;
mod carriers;
mod client;
mod config;
mod error;
mod front;
mod http;
mod inspect;
mod listener;
mod mount;
mod operations;
mod placement;
mod proxies;
mod report;
mod run;
mod runtime;
mod shutdown;
mod socket;
mod stats;
mod takeover;
mod thread;
#[cfg(feature = "tls")]
mod tls;

use std::sync::Arc;

#[cfg(feature = "tls")]
pub use self::tls::{TlsError, tls_from_pem};
pub(crate) use self::{
    addresses::Guest,
    config::Change,
    report::serving,
    run::check_layers,
    runtime::{is_running, within_runtime},
    shutdown::signal,
    socket::Socket,
};
pub use self::{
    client::client_script,
    config::{Compression, Config, SlowClient},
    error::ConfigError,
    proxies::TrustedProxies,
    stats::ServerStats,
};
use self::{front::Front, listener::Listener, operations::Operations, shutdown::Keepers};
pub use crate::session::{Closes, Counts};
use crate::{layer::Layers, routing::ProtocolTypeRouter};

/// A server for an application.
///
/// # Examples
///
/// ```no_run
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{Layers, ProtocolTypeRouter, Server, URLRouter, re_path};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let routes = URLRouter::new([re_path(r"^ws/(?P<group>\w+)/$", ChatConsumer::default)])?;
/// let app = ProtocolTypeRouter::new().websocket(routes);
/// Server::new(app).layers(Layers::default()).bind("127.0.0.1:8000")?.run().await?;
/// # Ok(()) }
/// ```
#[must_use = "a server does nothing until it is run"]
pub struct Server {
    app: ProtocolTypeRouter,
    layers: Layers,
    config: Arc<Config>,
    workers: Option<usize>,
    blocking_threads: Option<usize>,
    front: Front,
    listeners: Vec<Listener>,
    /// Removed when the server is dropped, or has run.
    #[cfg(unix)]
    files: Vec<listener::SocketFile>,
    operations: Operations,
    keepers: Keepers,
}

impl Server {
    /// A server for this application, with in-memory layers and the default settings.
    pub fn new(app: ProtocolTypeRouter) -> Self {
        let layers = app.layers().clone();
        Self {
            app,
            layers,
            config: Arc::default(),
            workers: None,
            blocking_threads: None,
            front: Front::default(),
            listeners: Vec::new(),
            #[cfg(unix)]
            files: Vec::new(),
            operations: Operations::default(),
            keepers: Keepers::default(),
        }
    }

    /// The same server with these layers: [`Layers`], or one layer that becomes `default`.
    pub fn layers(mut self, layers: impl Into<Layers>) -> Self {
        self.layers = layers.into();
        self
    }

    /// The same server with these settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// The same server with so many worker threads. Without it there is one for each processor.
    ///
    /// Connections whose path has arguments of its route, as `ws/<slug:room>/`, are served by one thread for each path, as long
    /// as that one has not many more than the others; other connections by each thread in turn.
    ///
    /// # Panics
    ///
    /// When `threads` is 0.
    #[track_caller]
    pub fn workers(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a server needs at least one worker thread");
        self.workers = Some(threads);
        self
    }

    /// The same server with so many threads, for each worker thread, on which hooks of a
    /// [`SyncConsumer`](crate::SyncConsumer), [`Context::block`](crate::Context::block) and `actix_web::web::block` may
    /// block. Past it, what would block waits. Without it there are 512 divided by the number of processors, started as
    /// they are needed, as actix-web has it.
    ///
    /// # Panics
    ///
    /// When `threads` is 0.
    #[track_caller]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "what blocks needs at least one thread");
        self.blocking_threads = Some(threads);
        self
    }
}

impl From<ProtocolTypeRouter> for Server {
    fn from(app: ProtocolTypeRouter) -> Self {
        Self::new(app)
    }
}
