//! The whole server, for a test that needs a port.

use std::{net::SocketAddr, thread};

use tokio::sync::oneshot;

use crate::{ConfigError, Server};

/// Runs a server on a free port of this machine, on a thread of its own, until it is dropped. Channels'
/// `ChannelsLiveServerTestCase`.
///
/// It listens on 127.0.0.1 alone. A test talks to it with any client: a browser, a command, another crate.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use std::{io::{Read, Write}, net::TcpStream};
///
/// use channels::{ProtocolTypeRouter, Server, testing::LiveServer};
///
/// let live = LiveServer::start(Server::new(ProtocolTypeRouter::new()).health("/healthz"))?;
/// assert!(live.url("/healthz").starts_with("http://127.0.0.1:"));
///
/// let mut client = TcpStream::connect(live.address())?;
/// client.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.starts_with("HTTP/1.1 200 OK"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a live server stops when it is dropped"]
pub struct LiveServer {
    address: SocketAddr,
    /// Dropping it stops the server.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), ConfigError>>,
}

impl LiveServer {
    /// Runs an application, or a [`Server`] of one. When it returns, the server takes connections.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when there is no free port, or the server's wiring is wrong.
    pub fn start(server: impl Into<Server>) -> Result<Self, ConfigError> {
        let server = server.into().bind("127.0.0.1:0")?;
        let address = *server.addresses().last().ok_or(ConfigError::NoAddress)?;
        server.check()?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let stopped = async {
                // The sender only ever is dropped.
                let _ = stopped.await;
            };
            let _ = end.send(crate::run(server.run_until(stopped)));
        });
        Ok(Self { address, stop, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, which starts with `/`, for HTTP: Channels' `live_server_url`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of a path, which starts with `/`, for a WebSocket: Channels' `live_server_ws_url`.
    #[must_use]
    pub fn ws_url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Stops it, at once; the future waits until every connection has ended, as a server does that is told to stop.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Run`] when it failed while it ran.
    pub fn stop(self) -> impl Future<Output = Result<(), ConfigError>> {
        let Self { stop, ended, .. } = self;
        drop(stop);
        async { ended.await.unwrap_or_else(|_| Err(ConfigError::Run(std::io::Error::other("the server panicked")))) }
    }
}
