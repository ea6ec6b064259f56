//! Serves an application, and connects a real client to it.

use std::{future::Future, net::SocketAddr, thread, time::Duration};

use channels::{ConfigError, Server};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client::Response},
};

/// What should happen happens within this time, or does not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the future gives, within the deadline.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match timeout(DEADLINE, future).await {
            Ok(value) => value,
            Err(_) => panic!("nothing within {DEADLINE:?} at {place}"),
        }
    }
}

/// Lets this process have as many sockets as the tests with a crowd need.
pub(crate) fn raise_file_limit() {
    const FILES: u64 = 8_192;
    let limit = rlimit::increase_nofile_limit(FILES).expect("a limit that can be asked for");
    assert!(limit >= FILES, "these tests need {FILES} open files, the hard limit is {limit} (`ulimit -Hn`)");
}

/// A server on a free port, in a thread of its own. Dropping it stops it.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), ConfigError>>,
}

pub(crate) fn serve(server: Server) -> Served {
    serve_bound(server.bind("127.0.0.1:0").expect("a free port"))
}

/// The same for a server that has its sockets; `address` is its first on the network.
pub(crate) fn serve_bound(server: Server) -> Served {
    let address = server.addresses().first().copied().unwrap_or(([0, 0, 0, 0], 0).into());
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    thread::spawn(move || {
        let stopped = async {
            let _ = stopped.await;
        };
        let _ = end.send(channels::run(server.run_until(stopped)));
    });
    Served { address, stop, ended }
}

impl Served {
    /// A client that was accepted.
    pub(crate) async fn connect(&self, path: &str) -> Socket {
        match self.handshake(self.url(path)).await {
            Ok((socket, _)) => socket,
            Err(error) => panic!("{path} was refused: {error}"),
        }
    }

    /// The answer to a handshake.
    pub(crate) async fn handshake(
        &self,
        request: impl IntoClientRequest + Unpin,
    ) -> Result<(Socket, Response), tungstenite::Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        within(client_async(request, stream)).await.map(|(stream, response)| (Socket(stream), response))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Asks the server to stop, at once; the future waits for its end.
    pub(crate) fn stop(self) -> impl Future<Output = ()> {
        let Self { stop, ended, .. } = self;
        let _ = stop.send(());
        async {
            within(ended).await.expect("the server does not panic").expect("the server ends well");
        }
    }
}

/// A client of tungstenite's, which keeps the rules.
pub(crate) struct Socket<S = TcpStream>(pub(crate) WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        within(self.0.send(message.into())).await.expect("the connection is open");
    }

    /// The next frame, of whatever kind.
    pub(crate) async fn receive(&mut self) -> Message {
        within(self.0.next()).await.expect("the connection is open").expect("the server keeps the rules")
    }

    /// The next frame, which is a text.
    pub(crate) async fn text(&mut self) -> String {
        match self.receive().await {
            Message::Text(text) => text.to_string(),
            other => panic!("a text is wanted, not {other:?}"),
        }
    }

    /// The code (1005 for none) and reason of the close frame that is next, once the connection has ended.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let close = match self.receive().await {
            Message::Close(close) => {
                close.map_or((1005, String::new()), |close| (close.code.into(), close.reason.to_string()))
            }
            other => panic!("a close frame is wanted, not {other:?}"),
        };
        match within(self.0.next()).await {
            None => close,
            Some(more) => panic!("nothing follows a close frame, not {more:?}"),
        }
    }
}
