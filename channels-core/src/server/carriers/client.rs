//! The client of a socket that carries a session: by the HTTP server, until its socket is the carrier's own.

use std::{
    cell::{OnceCell, RefCell},
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::dev::Payload;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    sync::mpsc,
    task::yield_now,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    server::{Socket, takeover::Takeover},
    transport::Inflow,
};

/// Bytes that one read takes at most.
const READ: usize = 16 * 1024;

/// The client of a socket that carries a session.
#[derive(Clone)]
pub(super) struct Client(Rc<State>);

struct State {
    payload: RefCell<Payload>,
    /// What came while the HTTP server still had the socket.
    early: RefCell<BytesMut>,
    socket: OnceCell<RefCell<Socket>>,
}

impl Client {
    /// The client whose bytes are this request's payload.
    pub(super) fn new(payload: Payload) -> Self {
        Self(Rc::new(State { payload: RefCell::new(payload), early: RefCell::default(), socket: OnceCell::new() }))
    }

    /// Takes the client's socket away from the HTTP server, if it can be had; the server waits for it until what is returned
    /// is dropped. It cannot be had when the client did not wait for the answer, as RFC 6455, section 4.1, says it must: some of
    /// what it sent may be with the HTTP server then.
    pub(super) async fn take_over(&self, takeover: &Takeover) -> Option<TaskTrackerToken> {
        yield_now().await;
        let State { payload, early, .. } = &*self.0;
        let read = poll_fn(|task| Poll::Ready(payload.borrow_mut().poll_read(task, &mut early.borrow_mut()))).await;
        if read.is_ready() {
            return None;
        }
        let (socket, tracked) = takeover.take_tracked()?;
        let _ = self.0.socket.set(RefCell::new(socket));
        payload.replace(Payload::None);
        Some(tracked)
    }

    /// Writes the answer to the handshake, and then these parts, to a socket that was taken over, and ends it.
    pub(super) async fn write(&self, head: Bytes, mut parts: mpsc::Receiver<Bytes>) -> io::Result<()> {
        self.write_all(&head).await?;
        while let Some(part) = parts.recv().await {
            self.write_all(&part).await?;
        }
        self.on_socket(|socket, task| socket.poll_shutdown(task)).await
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.on_socket(|socket, task| socket.poll_write(task, bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        self.on_socket(|socket, task| socket.poll_flush(task)).await
    }

    async fn on_socket<T>(
        &self,
        mut poll: impl FnMut(Pin<&mut Socket>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let Some(socket) = self.0.socket.get() else { return Err(io::ErrorKind::NotConnected.into()) };
        poll_fn(|task| poll(Pin::new(&mut *socket.borrow_mut()), task)).await
    }
}

impl Inflow for Client {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        if let Some(socket) = self.0.socket.get() {
            let mut landing = [MaybeUninit::uninit(); READ];
            let mut landed = ReadBuf::uninit(&mut landing);
            let read = ready!(Pin::new(&mut *socket.borrow_mut()).poll_read(task, &mut landed));
            buffer.extend_from_slice(landed.filled());
            return Poll::Ready(read.map_or(0, |()| landed.filled().len()));
        }
        let early = self.0.early.take();
        if early.is_empty() {
            return self.0.payload.borrow_mut().poll_read(task, buffer);
        }
        buffer.extend_from_slice(&early);
        Poll::Ready(early.len())
    }
}
