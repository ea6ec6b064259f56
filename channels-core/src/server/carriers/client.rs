//! The client of a socket that carries a session: by the HTTP server, until its socket is the carrier's own.

use std::{
    cell::{OnceCell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::dev::Payload;
use bytes::BytesMut;
use tokio::{
    io::{ReadHalf, WriteHalf, split},
    task::yield_now,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    server::{Socket, takeover::Takeover},
    transport::{Inflow, poll_socket},
};

/// The client of a socket that carries a session.
#[derive(Clone)]
pub(super) struct Client(Rc<State>);

struct State {
    payload: RefCell<Payload>,
    /// What came while the HTTP server still had the socket.
    early: RefCell<BytesMut>,
    socket: OnceCell<RefCell<ReadHalf<Socket>>>,
}

impl Client {
    /// The client whose bytes are this request's payload.
    pub(super) fn new(payload: Payload) -> Self {
        Self(Rc::new(State { payload: RefCell::new(payload), early: RefCell::default(), socket: OnceCell::new() }))
    }

    /// Takes the client's socket away from the HTTP server, if it can be had, to write to it; the server waits for it until
    /// the token is dropped. It cannot be had when the client did not wait for the answer, as RFC 6455, section 4.1, says it
    /// must: some of what it sent may be with the HTTP server then.
    pub(super) async fn take_over(&self, takeover: &Takeover) -> Option<(WriteHalf<Socket>, TaskTrackerToken)> {
        yield_now().await;
        let State { payload, early, .. } = &*self.0;
        let read = poll_fn(|task| Poll::Ready(payload.borrow_mut().poll_read(task, &mut early.borrow_mut()))).await;
        if read.is_ready() {
            return None;
        }
        let (socket, tracked) = takeover.take_tracked()?;
        let (reading, writing) = split(socket);
        let _ = self.0.socket.set(RefCell::new(reading));
        payload.replace(Payload::None);
        Some((writing, tracked))
    }
}

impl Inflow for Client {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        if let Some(socket) = self.0.socket.get() {
            return poll_socket(&mut *socket.borrow_mut(), task, buffer);
        }
        let early = self.0.early.take();
        if early.is_empty() {
            return self.0.payload.borrow_mut().poll_read(task, buffer);
        }
        buffer.extend_from_slice(&early);
        Poll::Ready(early.len())
    }
}
