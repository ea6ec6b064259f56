//! The server's end of a client's connection, of whatever kind.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use actix_rt::net::TcpStream;
#[cfg(unix)]
use actix_rt::net::UnixStream;
use bytes::BufMut as _;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use super::placement::Place;

/// Calls the same method of whatever stream it is.
macro_rules! forward {
    ($stream:expr, $it:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($it) => $call,
            #[cfg(unix)]
            Stream::Unix($it) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($it) => $call,
        }
    };
}

/// The server's end of a connection.
pub(crate) struct Socket {
    stream: Stream,
    /// What was read ahead, and is read again first.
    ahead: Vec<u8>,
    /// Counts it, for as long as it is open.
    place: Option<Place>,
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Writes to TCP without asking the event loop first whether there is room: mostly there is, and what the event loop
    /// knows of a socket lies in memory that a delivery has no other use for. `None` where there is no room, of which the
    /// event loop is to be told.
    #[cfg(target_os = "linux")]
    fn send(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let Self::Tcp(stream) = self else { return None };
        let sent = SockRef::from(stream).send_with_flags(bytes, libc::MSG_NOSIGNAL);
        let has_room = !matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        has_room.then_some(sent)
    }
}

/// A socket between two threads: no event loop knows it.
pub(super) struct Unplugged {
    stream: Std,
    ahead: Vec<u8>,
    place: Option<Place>,
}

enum Std {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Reads what has come, and tells up to so many bytes that will be read again. There are no more than before when the
    /// client sends no more, or there are so many.
    pub(super) async fn read_ahead(&mut self, most: usize) -> io::Result<&[u8]> {
        let room = most.saturating_sub(self.ahead.len());
        if room > 0 {
            let mut room = (&mut self.ahead).limit(room);
            forward!(&mut self.stream, stream => stream.read_buf(&mut room).await)?;
        }
        Ok(&self.ahead)
    }

    /// Gives back what was read from it last: it is read again first.
    pub(super) fn read_again(&mut self, bytes: &[u8]) {
        self.ahead.splice(..0, bytes.iter().copied());
    }

    /// Counts the socket there from now on.
    pub(super) fn put(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Takes the socket off this thread's event loop.
    ///
    /// # Errors
    ///
    /// What the system says; and for TLS, which stays where its handshake was.
    pub(super) fn unplug(self) -> io::Result<Unplugged> {
        let stream = match self.stream {
            Stream::Tcp(stream) => Std::Tcp(stream.into_std()?),
            #[cfg(unix)]
            Stream::Unix(stream) => Std::Unix(stream.into_std()?),
            #[cfg(feature = "tls")]
            Stream::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Unplugged { stream, ahead: self.ahead, place: self.place })
    }
}

impl Unplugged {
    /// Puts the socket on this thread's event loop.
    pub(super) fn plug(self) -> io::Result<Socket> {
        let stream = match self.stream {
            Std::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Std::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Socket { stream, ahead: self.ahead, place: self.place })
    }
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self { stream, ahead: Vec::new(), place: None }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Stream::Tcp(stream).into()
    }
}

#[cfg(unix)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Stream::Unix(stream).into()
    }
}

#[cfg(feature = "tls")]
impl From<TlsStream<TcpStream>> for Socket {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Stream::Tls(stream.into()).into()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if !socket.ahead.is_empty() {
            let taken = socket.ahead.len().min(buffer.remaining());
            buffer.put_slice(&socket.ahead[..taken]);
            socket.ahead.drain(..taken);
            if socket.ahead.is_empty() {
                socket.ahead = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        forward!(&mut socket.stream, stream => Pin::new(stream).poll_read(task, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = &mut self.get_mut().stream;
        #[cfg(target_os = "linux")]
        if let Some(sent) = stream.send(bytes) {
            return Poll::Ready(sent);
        }
        forward!(stream, stream => Pin::new(stream).poll_write(task, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_write_vectored(task, slices))
    }

    fn is_write_vectored(&self) -> bool {
        forward!(&self.stream, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_flush(task))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_shutdown(task))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again_wherever_the_socket_is() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(server);
        client.write_all(b"fi").await.unwrap();
        assert_eq!(socket.read_ahead(4).await.unwrap(), b"fi");
        client.write_all(b"rst ").await.unwrap();
        assert_eq!(socket.read_ahead(4).await.unwrap(), b"firs");
        assert_eq!(socket.read_ahead(4).await.unwrap(), b"firs");
        client.write_all(b"second").await.unwrap();
        drop(client);

        let mut socket = socket.unplug().unwrap().plug().unwrap();
        let mut two = [0; 2];
        socket.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"fi");
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rst second");
    }

    #[tokio::test]
    async fn a_client_that_has_gone_sends_nothing_ahead() {
        let (client, server) = UnixStream::pair().unwrap();
        drop(client);
        let mut socket = Socket::from(server);
        assert_eq!(socket.read_ahead(4).await.unwrap(), b"");
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
    }
}
