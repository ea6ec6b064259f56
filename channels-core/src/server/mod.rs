//! The server: an application, its layers, where it listens, how it stops.

mod config;
mod inspect;
mod operations;
mod report;
mod shutdown;
mod thread;

use std::{
    any::Any,
    future::Future,
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    web::{self, ServiceConfig},
};
use futures_util::future::join;
use thiserror::Error;
use tokio::sync::oneshot;

pub use self::config::{Compression, Config, SlowClient};
pub(crate) use self::{config::Change, shutdown::signal};
use self::{operations::Operations, shutdown::Keepers, thread::ServerThread};
use crate::{
    layer::{LayerError, Layers},
    routing::{ProtocolTypeRouter, RouteInfo, RouteList},
    worker::Worker,
};

/// Connections that may wait to be accepted, on each address.
const BACKLOG: i32 = 2_048;

/// Wiring that is found wrong before the first request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A consumer names a layer that the application does not have: add it, or correct the consumer's `LAYER`.
    #[error("route `{route}`: consumer `{consumer}`")]
    Layer {
        /// The way to the consumer.
        route: String,
        /// The consumer.
        consumer: &'static str,
        /// Which alias is missing.
        source: LayerError,
    },
    /// The address of a channel layer is none: write `memory://`, or with the feature `redis` one like
    /// `redis://127.0.0.1:6379`.
    #[error("`{url}` is not the address of a channel layer; there are memory:// and redis://host:port")]
    LayerUrl {
        /// The address, without a password.
        url: String,
        /// What the layer says.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The name of the host is not known here.
    #[error("cannot find the address to listen on")]
    Resolve(#[source] io::Error),
    /// The address cannot be listened on: it is in use, or not this machine's, or the port needs a privilege.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The server was told no address: call [`Server::bind`].
    #[error("the server has no address; call `.bind(\"127.0.0.1:8000\")`")]
    NoAddress,
    /// The server failed while it ran.
    #[error("the server failed")]
    Run(#[source] io::Error),
}

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
    listeners: Vec<TcpListener>,
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
            listeners: Vec::new(),
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
    /// # Panics
    ///
    /// When `threads` is 0.
    #[track_caller]
    pub fn workers(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a server needs at least one worker thread");
        self.workers = Some(threads);
        self
    }

    /// Answers at this path with 200 as long as the process runs: for a supervisor's liveness probe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).health("/healthz").readiness("/readyz").inspection("/inspect/");
    /// ```
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.operations.health = Some(path.into());
        self
    }

    /// Answers at this path with 200 while new connections are welcome and with 503 while the server
    /// [drains](Self::drain): for a load balancer.
    pub fn readiness(mut self, path: impl Into<String>) -> Self {
        self.operations.readiness = Some(path.into());
        self
    }

    /// Answers at this path with the metrics in Prometheus' text format.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, path: impl Into<String>, prometheus: crate::metrics::Prometheus) -> Self {
        self.operations.metrics = Some((path.into(), prometheus));
        self
    }

    /// Shows at this path, which ends with `/`, a page of connections, groups, members and queues, and at `data.json`
    /// behind it the same as JSON.
    ///
    /// # Untrusted input
    ///
    /// It tells paths, addresses and channel names to whoever asks. Keep it from strangers: serve it on an address of its
    /// own, or deny the path in the proxy.
    ///
    /// # Panics
    ///
    /// When the path does not end with `/`.
    #[track_caller]
    pub fn inspection(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        assert!(path.ends_with('/'), "the path of the inspection page ends with `/`, as `/inspect/`; it is `{path}`");
        self.operations.inspection = Some(path);
        self
    }

    /// Listens on one more address, as `"127.0.0.1:8000"` or `("localhost", 8000)`; port 0 takes a free one, which
    /// [`addresses`](Self::addresses) tells. A name with several addresses is listened on at all of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).bind("127.0.0.1:0")?;
    /// println!("http://{}/", server.addresses()[0]);
    /// # Ok::<(), channels::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Bind`] with the address and what the system says of it; [`ConfigError::Resolve`] for a name that
    /// is not known.
    pub fn bind(mut self, address: impl ToSocketAddrs) -> Result<Self, ConfigError> {
        for address in address.to_socket_addrs().map_err(ConfigError::Resolve)? {
            self.listeners.push(listen(address).map_err(|source| ConfigError::Bind { address, source })?);
        }
        Ok(self)
    }

    /// Listens on a socket that is open already.
    pub fn listen(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Puts the application into an actix-web `App` that exists: `App::new().configure(server.mount()?)`.
    ///
    /// WebSocket handshakes below the place where it is mounted are the application's; other requests go on to what is
    /// registered after it. The actix-web server is the caller's then, and so are some of its settings: turn
    /// `tcp_nodelay` on (bursts stall for 40 ms without it) and set `client_disconnect_timeout` to zero (closed sockets
    /// linger for a second otherwise), as [`Server::run`] does. When that server stops, await [`drain`](Self::drain)
    /// before stopping it. The application's [workers](crate::Worker) are not run.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use channels_core as channels;
    /// # use std::time::Duration;
    /// # use actix_web::{App, HttpServer};
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # async fn run(app: ProtocolTypeRouter) -> Result<(), Box<dyn std::error::Error>> {
    /// let mount = Server::new(app).mount()?;
    /// HttpServer::new(move || App::new().configure(mount.clone()))
    ///     .tcp_nodelay(true)
    ///     .client_disconnect_timeout(Duration::ZERO)
    ///     .bind("127.0.0.1:8000")?
    ///     .run()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Layer`] when a consumer names a layer that there is not.
    pub fn mount(&self) -> Result<impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<>, ConfigError> {
        check_layers(&RouteList::of(&self.app), &self.layers)?;
        let Self { app, layers, config, keepers, operations, .. } = self;
        let (app, layers, config, keepers) = (app.clone(), layers.clone(), config.clone(), keepers.clone());
        let operations = operations.clone();
        Ok(move |service: &mut ServiceConfig| {
            ServerThread::start(app.clone(), layers.clone(), config.clone(), &keepers).install(service);
            operations.serve(service, &keepers, &layers);
            app.configure_http(service);
        })
    }

    /// Ends every connection of this server with close 1012, after its `disconnect` has run; resolves when all have
    /// ended or [`Config::drain_timeout`] is over. New handshakes are answered with 503 from now on.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static {
        let drained = self.keepers.drain(self.config.drain_timeout);
        async {
            drained.await;
        }
    }

    /// Serves until Ctrl-C or SIGTERM, then [drains](Self::drain) and returns. A second signal ends it at once.
    ///
    /// It also runs the [workers](crate::Worker) of the application, on the thread that calls it; they need actix's
    /// runtime: [`run`](crate::run) or `#[actix_web::main]`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: no address, a layer that is missing, or what the system says.
    pub async fn run(self) -> Result<(), ConfigError> {
        self.run_until(shutdown::signal()).await
    }

    /// Serves until `stop` resolves, then [drains](Self::drain) and returns. A signal while it drains ends it at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).bind("127.0.0.1:0")?;
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let serving = std::thread::spawn(|| {
    ///     channels::run(server.run_until(async {
    ///         let _ = stopped.await;
    ///     }))
    /// });
    ///
    /// drop(stop);
    /// serving.join().unwrap()?;
    /// # Ok::<(), channels::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        if self.listeners.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let mount = self.mount()?;
        report::log(&self.addresses(), &RouteList::of(&self.app));
        let listeners = std::mem::take(&mut self.listeners);
        let app = self.app.clone();
        let stall_timeout = self.config.stall_timeout;
        let mut server = HttpServer::new(move || {
            let app = app.clone();
            let miss = web::to(move |request| thread::miss(app.clone(), request));
            App::new().default_service(miss).configure(mount.clone())
        })
        .on_connect(move |socket, _| cut_when_stalled(socket, stall_timeout))
        .tcp_nodelay(true)
        .client_disconnect_timeout(Duration::ZERO)
        .shutdown_timeout(self.config.drain_timeout.as_secs())
        .disable_signals();
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        for listener in listeners {
            server = server.listen(listener).map_err(ConfigError::Run)?;
        }
        let (halt, halted) = oneshot::channel::<()>();
        let stop = async {
            stop.await;
            drop(halt);
        };
        let worker = Worker::new(self.app.clone()).layers(self.layers.clone()).config(self.config.clone());
        let working = worker.run_until(async {
            // The sender is dropped: by `stop`, or with the server.
            let _ = halted.await;
        });
        let drain = self.keepers.drain(self.config.drain_timeout);
        let (served, worked) = join(shutdown::serve(server.run(), stop, drain), working).await;
        served.map_err(ConfigError::Run).and(worked)
    }
}

/// Finds the routes' layers before the first request asks for one.
pub(crate) fn check_layers(routes: &RouteList, layers: &Layers) -> Result<(), ConfigError> {
    for RouteInfo { pattern, consumer, layer } in routes.routes() {
        layers.get(layer).map_err(|source| ConfigError::Layer { route: pattern.clone(), consumer, source })?;
    }
    Ok(())
}

/// Lets the kernel end a connection whose client takes no bytes for so long, even if it answers probes.
fn cut_when_stalled(socket: &dyn Any, timeout: Duration) {
    #[cfg(target_os = "linux")]
    if let Some(socket) = socket.downcast_ref::<actix_rt::net::TcpStream>() {
        // Without it a stalled connection costs its buffers until its peer is gone; that is no reason to refuse it.
        let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(timeout));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, timeout);
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
