//! Where a server is told to listen.

use std::{
    fmt::Debug,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

#[cfg(feature = "tls")]
use super::tls;
use super::{ConfigError, Server, listener, listener::Listener};

impl Server {
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
    /// [`ConfigError::Bind`] with the address and what the system says of it; [`ConfigError::Resolve`] with a name
    /// that is not known.
    pub fn bind(mut self, address: impl ToSocketAddrs + Debug) -> Result<Self, ConfigError> {
        self.listeners.extend(bind(address)?.into_iter().map(Listener::Tcp));
        Ok(self)
    }

    /// Listens on one more address with TLS. HTTP/2 and HTTP/1.1 are offered (ALPN, RFC 7301), unless the configuration
    /// names protocols itself; a WebSocket is HTTP/1.1, which browsers know. [`tls_from_pem`](super::tls_from_pem) makes a configuration.
    ///
    /// A TLS handshake that takes longer than [`Config::handshake_timeout`](crate::Config::handshake_timeout) is given up.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    #[cfg(feature = "tls")]
    pub fn bind_rustls(
        mut self,
        address: impl ToSocketAddrs + Debug,
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
    /// [trusted](super::TrustedProxies::unix_sockets) and names the client.
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
}

/// Listens on all addresses of a name.
fn bind(address: impl ToSocketAddrs + Debug) -> Result<Vec<TcpListener>, ConfigError> {
    let listen = |address| listener::bind(address).map_err(|source| ConfigError::Bind { address, source });
    let found = address.to_socket_addrs();
    found.map_err(|source| ConfigError::Resolve { address: format!("{address:?}"), source })?.map(listen).collect()
}
