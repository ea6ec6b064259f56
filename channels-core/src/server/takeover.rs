//! What the HTTP server reads and writes: a client's socket, until a session takes it over.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_http::Protocol;
use actix_web::dev::Payload;
use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::Socket;
use crate::transport::Inflow as _;

/// How long a client may take from one answer to the whole header of its next request: twice what the HTTP server gives it for
/// the first byte, and for the header of its first request. Of the others it looks at the first byte alone.
const PAUSE: Duration = Duration::from_secs(10);

/// The socket of an HTTP connection. An idle one ends when the server stops.
pub(super) struct Io {
    state: Rc<State>,
    /// The end of the pause.
    paused: Pin<Box<Sleep>>,
    stopping: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct State {
    stream: RefCell<Option<Socket>>,
    /// A write had to wait: what the HTTP server holds is not all written.
    blocked: Cell<bool>,
    /// All that it holds was written since somebody asked.
    flushed: Cell<bool>,
    /// It is being taken over: no more is read.
    held: Cell<bool>,
    /// Nothing was read since something was written: no request is under way.
    idle: Cell<bool>,
    /// The client sends no more.
    lost: Cell<bool>,
    tell_lost: Notify,
    /// How many requests are under way.
    requests: Cell<usize>,
    /// Over HTTP/2 there may be several, and any pause between them.
    is_http2: bool,
    /// When the last one ended.
    answered: Cell<Instant>,
    reader: RefCell<Waker>,
    connections: TaskTracker,
}

impl State {
    fn is_idle(&self) -> bool {
        self.requests.get() == 0 && if self.is_http2 { !self.blocked.get() } else { self.idle.get() }
    }
}

/// A request until its response is written.
pub(super) struct Underway(Rc<State>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.requests.update(|count| count - 1);
        self.0.answered.set(Instant::now());
        self.0.reader.borrow().wake_by_ref();
    }
}

/// Takes the socket away from the HTTP server, as Go's `http.Hijacker` does.
#[derive(Clone)]
pub(super) struct Takeover(Rc<State>);

impl Io {
    /// An HTTP connection, one of these. One that comes while the server stops is there to ask for something: it is `idle`
    /// only when it has.
    pub(super) fn new(
        stream: Socket,
        protocol: Protocol,
        idle: bool,
        stopping: &CancellationToken,
        connections: TaskTracker,
    ) -> Self {
        let state = State {
            stream: RefCell::new(Some(stream)),
            blocked: Cell::new(false),
            flushed: Cell::new(false),
            held: Cell::new(false),
            idle: Cell::new(idle),
            lost: Cell::new(false),
            tell_lost: Notify::new(),
            requests: Cell::new(0),
            is_http2: protocol == Protocol::Http2,
            answered: Cell::new(Instant::now()),
            reader: RefCell::new(Waker::noop().clone()),
            connections,
        };
        let paused = Box::pin(sleep_until(state.answered.get() + PAUSE));
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        Self { state: Rc::new(state), paused, stopping: stopping.clone(), stopped }
    }

    pub(super) fn takeover(&self) -> Takeover {
        Takeover(self.state.clone())
    }

    /// Whether the client has let too much time pass since its last request.
    fn poll_paused(&mut self, task: &mut Context<'_>) -> Poll<()> {
        self.state.reader.borrow_mut().clone_from(task.waker());
        if self.state.is_http2 || self.state.requests.get() > 0 {
            return Poll::Pending;
        }
        let deadline = self.state.answered.get() + PAUSE;
        if self.paused.deadline() != deadline {
            self.paused.as_mut().reset(deadline);
        }
        self.paused.as_mut().poll(task)
    }

    fn write(
        &self,
        poll: impl FnOnce(Pin<&mut Socket>) -> Poll<io::Result<usize>>,
        all: usize,
    ) -> Poll<io::Result<usize>> {
        let mut stream = self.state.stream.borrow_mut();
        // The answer of a handler that took the socket over has nowhere to go.
        let Some(stream) = &mut *stream else { return Poll::Ready(Ok(all)) };
        let written = poll(Pin::new(stream));
        self.state.blocked.set(written.is_pending());
        self.state.idle.set(true);
        written
    }
}

impl Takeover {
    /// A request has come; put what is returned into the body of its response.
    pub(super) fn begin(&self) -> Underway {
        self.0.requests.update(|count| count + 1);
        Underway(self.0.clone())
    }

    /// Waits until the client has gone, or sends no more, which is taken for the same.
    pub(super) async fn lost(&self) {
        let told = self.0.tell_lost.notified();
        if !self.0.lost.get() {
            told.await;
        }
    }

    /// The socket, for a handler whose request is the last on it; `None` while an earlier answer is not all written. What its
    /// client sent already, which RFC 6455, section 4.1, forbids, is read from it again: what is left of the request's payload.
    ///
    /// From here on the HTTP server finds the end of the connection when it reads, and ends.
    pub(super) async fn take(&self, payload: &RefCell<Payload>) -> Option<Socket> {
        // It writes what it holds, and passes on what it has read, while a handler waits.
        self.0.flushed.set(false);
        while !self.0.flushed.get() {
            if self.0.blocked.get() {
                return None;
            }
            yield_now().await;
        }
        self.0.held.set(true);
        let mut early = BytesMut::new();
        while let Poll::Ready(1..) = poll_fn(|task| Poll::Ready(payload.borrow_mut().poll_read(task, &mut early))).await
        {
            yield_now().await;
        }
        let mut socket = self.0.stream.take()?;
        socket.read_again(&early);
        Some(socket)
    }

    /// The same; the socket counts as a connection of the HTTP server until the token is dropped.
    pub(super) async fn take_tracked(&self, payload: &RefCell<Payload>) -> Option<(Socket, TaskTrackerToken)> {
        Some((self.take(payload).await?, self.0.connections.token()))
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let before = buffer.filled().len();
        let mut taken = io.state.stream.borrow_mut();
        let Some(stream) = &mut *taken else { return Poll::Ready(Ok(())) };
        if io.state.held.get() {
            return Poll::Pending;
        }
        let room = buffer.remaining();
        let read = Pin::new(stream).poll_read(task, buffer);
        if buffer.filled().len() > before {
            io.state.idle.set(false);
        } else if read.is_ready() && room > 0 {
            io.state.lost.set(true);
            io.state.tell_lost.notify_waiters();
        } else if read.is_pending() {
            drop(taken);
            let is_over = io.stopped.as_mut().poll(task).is_ready() && io.state.is_idle();
            if is_over || io.poll_paused(task).is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.write(|stream| stream.poll_write(task, bytes), bytes.len());
        if self.stopping.is_cancelled() {
            // The HTTP server would wait for the next request: let it find by reading that there is none.
            task.waker().wake_by_ref();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.state.stream.borrow_mut();
        let flushed = stream.as_mut().map_or(Poll::Ready(Ok(())), |stream| Pin::new(stream).poll_flush(task));
        self.state.blocked.set(flushed.is_pending());
        self.state.flushed.set(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.state.stream.borrow_mut();
        stream.as_mut().map_or(Poll::Ready(Ok(())), |stream| Pin::new(stream).poll_shutdown(task))
    }
}
