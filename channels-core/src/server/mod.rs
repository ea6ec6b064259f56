//! The server: an application, its layers, where it listens, how it stops.

mod access;
mod addresses;
mod carriers;
mod client;
mod config;
mod front;
mod http;
mod inspect;
mod listener;
mod operations;
mod proxies;
mod report;
mod runtime;
mod shutdown;
mod socket;
mod stats;
mod takeover;
mod thread;
#[cfg(feature = "tls")]
mod tls;

use std::{
    future::{Future, ready},
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
};

use actix_web::{
    App,
    body::MessageBody,
    dev::{Service as _, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::HeaderValue,
    web::{self, ServiceConfig},
};
use futures_util::future::join;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "tls")]
pub use self::tls::{TlsError, tls_from_pem};
use self::{
    access::Asked, front::Front, http::Http, listener::Listener, operations::Operations, shutdown::Keepers,
    takeover::Takeover, thread::ServerThread,
};
pub(crate) use self::{
    addresses::Guest,
    config::Change,
    runtime::{is_running, within_runtime},
    shutdown::signal,
    socket::Socket,
};
pub use self::{
    client::client_script,
    config::{Compression, Config, SlowClient},
    proxies::TrustedProxies,
    stats::ServerStats,
};
pub use crate::session::Counts;
use crate::{
    layer::{LayerError, Layers},
    routing::{ProtocolTypeRouter, RouteInfo, RouteList},
    session::{Home, note_places},
    worker::Worker,
};

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
    /// The unix socket cannot be listened on: somebody listens there, or the file is no socket, or its directory is missing
    /// or cannot be written to.
    #[cfg(unix)]
    #[error("cannot listen on the unix socket {}", path.display())]
    BindUds {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// This process has inherited no socket, or something that is none: start it by systemd, or with `LISTEN_FDS`.
    #[error("cannot listen on inherited sockets")]
    Inherited(#[source] io::Error),
    /// A trusted proxy is neither an address (`10.1.2.3`) nor a network (`10.0.0.0/8`).
    #[error("`{network}` is neither an address nor a network, as `10.1.2.3` or `10.0.0.0/8`")]
    Proxy {
        /// What was given.
        network: String,
    },
    /// A worker was told to read a channel for which the application has no consumer: add it to the
    /// [`ChannelNameRouter`](crate::ChannelNameRouter), or correct the name.
    #[error("no consumer reads the channel `{channel}` (there are: {known})")]
    Channel {
        /// The channel.
        channel: String,
        /// The channels that have consumers.
        known: String,
    },
    /// There is no runtime, or one that cannot spawn tasks on its own thread: call it within [`channels::run`](crate::run()),
    /// `#[actix_web::main]`, or an actix-web server.
    #[error("this thread has no runtime for sessions; run it with `channels::run(…)` or `#[actix_web::main]`")]
    NoRuntime,
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

    /// Serves at this path `channels.js`, the client for browsers: `import { ChannelsSocket } from "/channels.js"`. See
    /// [`client_script`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).client("/channels.js");
    /// ```
    pub fn client(mut self, path: impl Into<String>) -> Self {
        self.operations.client = Some(path.into());
        self
    }

    /// Answers at this path with the metrics in Prometheus' text format.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, path: impl Into<String>, prometheus: crate::metrics::Prometheus) -> Self {
        self.operations.metrics = Some((path.into(), prometheus));
        self
    }

    /// Shows at this path, which ends with `/`, a page of connections, groups, members and queues of this process, which refreshes
    /// itself, and at `data.json` behind it the same as JSON: 100 rows of each list, and others on demand, as the
    /// guide's page *Deploying* says.
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
        self.listeners.extend(bind(address)?.into_iter().map(Listener::Tcp));
        Ok(self)
    }

    /// Listens on one more address with TLS. HTTP/2 and HTTP/1.1 are offered (ALPN, RFC 7301), unless the configuration
    /// names protocols itself; a WebSocket is HTTP/1.1, which browsers know. [`tls_from_pem`] makes a configuration.
    ///
    /// A TLS handshake that takes longer than [`Config::handshake_timeout`] is given up.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    #[cfg(feature = "tls")]
    pub fn bind_rustls(
        mut self,
        address: impl ToSocketAddrs,
        config: rustls::ServerConfig,
    ) -> Result<Self, ConfigError> {
        let config = tls::with_alpn(config);
        self.listeners.extend(bind(address)?.into_iter().map(|listener| Listener::Tls(listener, config.clone())));
        Ok(self)
    }

    /// Listens with TLS on a socket that is open already; see [`bind_rustls`](Self::bind_rustls).
    #[cfg(feature = "tls")]
    pub fn listen_rustls(mut self, listener: TcpListener, config: rustls::ServerConfig) -> Self {
        self.listeners.push(Listener::Tls(listener, tls::with_alpn(config)));
        self
    }

    /// Listens on a unix socket at this path, with the permissions that the process gives new files (`umask`).
    ///
    /// A socket file that a killed server has left is replaced; one on which somebody listens is not, nor is a file of
    /// another kind. The file is removed when the server has stopped.
    ///
    /// A connection has no address there, neither the client's nor the server's, unless the proxy is
    /// [trusted](TrustedProxies::unix_sockets) and names the client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// # let path = std::env::temp_dir().join(format!("channels-doc-{}.sock", std::process::id()));
    /// let server = Server::new(app).bind_uds(&path)?;
    /// # Ok::<(), channels::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::BindUds`].
    #[cfg(unix)]
    pub fn bind_uds(self, path: impl AsRef<std::path::Path>) -> Result<Self, ConfigError> {
        self.bind_unix(path.as_ref(), None)
    }

    /// The same with this file mode, as `0o660` for the owner and the group, which it has before anybody can connect.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BindUds`].
    #[cfg(unix)]
    pub fn bind_uds_with_mode(self, path: impl AsRef<std::path::Path>, mode: u32) -> Result<Self, ConfigError> {
        self.bind_unix(path.as_ref(), Some(mode))
    }

    #[cfg(unix)]
    fn bind_unix(mut self, path: &std::path::Path, mode: Option<u32>) -> Result<Self, ConfigError> {
        let bound = listener::bind_unix(path, mode);
        let (listener, file) = bound.map_err(|source| ConfigError::BindUds { path: path.to_owned(), source })?;
        self.listeners.push(Listener::Unix(listener));
        self.files.push(file);
        Ok(self)
    }

    /// Listens on a socket that is open already.
    pub fn listen(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Listener::Tcp(listener));
        self
    }

    /// Listens on a unix socket that is open already. Its file stays when the server stops.
    #[cfg(unix)]
    pub fn listen_uds(mut self, listener: std::os::unix::net::UnixListener) -> Self {
        self.listeners.push(Listener::Unix(listener));
        self
    }

    /// Listens on all sockets, of TCP and unix, that this process has inherited as systemd hands them down: `LISTEN_FDS`
    /// says how many there are, from file descriptor 3 on, or from `LISTEN_FDS_FIRST_FD`. Where `LISTEN_PID` is set and is
    /// another process they are not for this one.
    ///
    /// Call it once, before the program has other threads: it takes the variables out of the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Inherited`] when there are none, or one is no socket that listens.
    #[cfg(unix)]
    pub fn listen_fds(mut self) -> Result<Self, ConfigError> {
        self.listeners.extend(listener::inherited().map_err(ConfigError::Inherited)?);
        Ok(self)
    }

    /// The addresses it listens on; unix sockets have none.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }

    /// Believes these proxies when they say whose connection they pass on: [`Scope::client`](crate::Scope::client),
    /// [`scheme`](crate::Scope::scheme), [`host`](crate::Scope::host), `peer_addr` of HTTP requests, the limit for each address
    /// and the access log follow. Without it no such header is believed.
    ///
    /// actix-web's own `ConnectionInfo` reads the same headers and believes everybody: ask for `peer_addr`.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.front.proxies = Some(proxies);
        self
    }

    /// The path below which a proxy shows the application, and which it leaves in the requests:
    /// [`Scope::root_path`](crate::Scope::root_path), which the routers strip, as daphne's `--root-path`. HTTP services see the whole path.
    ///
    /// A [trusted proxy](Self::trusted_proxies) may say it for a request in the header `Daphne-Root-Path`; where the
    /// application is [mounted](Self::mount), the place where it is mounted counts.
    ///
    /// # Panics
    ///
    /// When it is not empty and does not start with `/`.
    #[track_caller]
    pub fn root_path(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        assert!(path.is_empty() || path.starts_with('/'), "a root path starts with `/`, as `/chat`; it is `{path}`");
        self.front.root_path = path;
        self
    }

    /// What every answer says in its header `Server`. Without it there is no such header: strangers need not know what
    /// serves them.
    ///
    /// # Panics
    ///
    /// When it has characters that a header may not have.
    #[track_caller]
    pub fn server_name(mut self, name: &str) -> Self {
        let name = HeaderValue::from_str(name);
        self.front.name = Some(name.expect("a server's name has no control characters"));
        self
    }

    /// Puts the application into an actix-web `App` that exists: `App::new().configure(server.mount()?)`.
    ///
    /// WebSocket handshakes below the place where it is mounted are the application's; other requests go on to what is
    /// registered after it. The actix-web server is the caller's then, and so are some of its settings: turn
    /// `tcp_nodelay` on (bursts stall for 40 ms without it) and set `client_disconnect_timeout` to zero (closed sockets
    /// linger for a second otherwise), as [`Server::run`] does. When that server stops, await [`drain`](Self::drain)
    /// before stopping it. The application's [workers](crate::Worker) are not run. Where it is mounted has at most 16
    /// parts, if its routes have other [transports](crate::routing::Route::transports) than WebSocket.
    ///
    /// On a thread without actix's runtime, as in a `#[tokio::test]`, handshakes are answered with 500, and the log has
    /// [`ConfigError::NoRuntime`]; the worker threads of an `HttpServer` have one.
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
        self.mount_as(true)
    }

    /// The same; `is_mounted` where it is somebody else's server, which may have it below any path.
    fn mount_as(
        &self,
        is_mounted: bool,
    ) -> Result<impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<>, ConfigError> {
        self.check()?;
        note_places();
        let Self { app, layers, config, front, keepers, operations, .. } = self;
        let (front, operations) = (front.clone(), operations.clone());
        let (app, layers, config, keepers) = (app.clone(), layers.clone(), config.clone(), keepers.clone());
        Ok(move |service: &mut ServiceConfig| {
            match runtime::can_spawn() {
                Ok(()) => {
                    let home = Home::open(keepers.homes().clone());
                    let (app, layers) = (app.clone(), layers.clone());
                    ServerThread::start(app, layers, config.clone(), front.clone(), &keepers, home, is_mounted)
                        .install(service);
                }
                Err(error) => thread::install_failure(service, error),
            }
            operations.serve(service, &keepers, &layers);
            app.configure_http(service);
        })
    }

    /// Finds wiring that is wrong.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_layers(&RouteList::of(&self.app), &self.layers)
    }

    /// What a worker thread serves.
    #[cfg(feature = "testing")]
    pub(crate) fn service(self) -> Result<App<impl Service>, ConfigError> {
        Ok(service(self.app.clone(), self.mount_as(false)?, self.front.clone()))
    }

    /// What the connections of this server have done, for whoever wants to know while it runs; also where it is
    /// [mounted](Self::mount).
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        ServerStats::new(self.keepers.clone())
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
    /// It also runs the [workers](crate::Worker) of the application, on the thread that calls it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: no address, no runtime, a layer that is missing, or what the system says.
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
        is_running()?;
        let mount = self.mount_as(false)?;
        report::log(&self.listeners, &RouteList::of(&self.app));
        let listeners = std::mem::take(&mut self.listeners);
        let stopping = CancellationToken::new();
        let http = Http {
            app: self.app.clone(),
            mount,
            front: self.front.clone(),
            stall_timeout: self.config.stall_timeout,
            #[cfg(feature = "tls")]
            tls_timeout: self.config.handshake_timeout,
            stopping: stopping.clone(),
        };
        let mut server =
            actix_server::Server::build().shutdown_timeout(self.config.drain_timeout.as_secs()).disable_signals();
        if let Some(threads) = self.blocking_threads {
            server = server.worker_max_blocking_threads(threads);
        }
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        for listener in listeners {
            server = http.serve(listener, server).map_err(ConfigError::Run)?;
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
        let (served, worked) = join(shutdown::serve(server.run(), stop, drain, stopping), working).await;
        served.map_err(ConfigError::Run).and(worked)
    }
}

impl From<ProtocolTypeRouter> for Server {
    fn from(app: ProtocolTypeRouter) -> Self {
        Self::new(app)
    }
}

/// The whole of what actix-web asks of an `App`.
pub(crate) trait Service:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<Self::Body>,
        Error = actix_web::Error,
        InitError = (),
    >
{
    type Body: MessageBody;
}

impl<S, B> Service for S
where
    S: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        >,
    B: MessageBody,
{
    type Body = B;
}

/// What a worker thread of a server serves: what is mounted, and an answer to everything else.
fn service(app: ProtocolTypeRouter, mount: impl Fn(&mut ServiceConfig), front: Front) -> App<impl Service> {
    let outside = front.clone();
    let miss = move |request| ready(thread::miss(&app, &outside, &request));
    App::new().default_service(web::to(miss)).configure(mount).wrap_fn(move |mut request, service| {
        front.receive(&mut request);
        let asked = tracing::enabled!(target: "channels::access", tracing::Level::INFO).then(|| Asked::of(&request));
        let underway = request.conn_data::<Takeover>().and_then(Takeover::begin);
        let answer = service.call(request);
        let front = front.clone();
        async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer {
                front.sign(answer.headers_mut());
                if let Some(underway) = underway {
                    answer.response_mut().extensions_mut().insert(underway);
                }
            }
            if let Some(asked) = asked {
                asked.answered(&answer);
            }
            answer
        }
    })
}

/// Listens on all addresses of a name.
fn bind(address: impl ToSocketAddrs) -> Result<Vec<TcpListener>, ConfigError> {
    let listen = |address| listener::bind(address).map_err(|source| ConfigError::Bind { address, source });
    address.to_socket_addrs().map_err(ConfigError::Resolve)?.map(listen).collect()
}

/// Finds the routes' layers before the first request asks for one.
pub(crate) fn check_layers(routes: &RouteList, layers: &Layers) -> Result<(), ConfigError> {
    for RouteInfo { pattern, consumer, layer, .. } in routes.routes() {
        layers.get(layer).map_err(|source| ConfigError::Layer { route: pattern.clone(), consumer, source })?;
    }
    Ok(())
}
