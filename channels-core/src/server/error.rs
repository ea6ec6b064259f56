//! What can be wrong with a server before it serves.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::layer::LayerError;

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
    /// The name of the host is not known here, or it is no name and port, as `localhost:8000`.
    #[error("cannot find the address {address} to listen on")]
    Resolve {
        /// What was given, as it is written in Rust.
        address: String,
        /// What the system says.
        source: io::Error,
    },
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
    /// The server was told no address: call [`Server::bind`](crate::Server::bind).
    #[error("the server has no address; call `.bind(\"127.0.0.1:8000\")`")]
    NoAddress,
    /// The server failed while it ran.
    #[error("the server failed")]
    Run(#[source] io::Error),
}
