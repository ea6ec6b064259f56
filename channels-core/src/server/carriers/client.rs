//! The client of a socket that carries a session: by the HTTP server, until its socket is the carrier's own.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::dev::Payload;
use bytes::BytesMut;
use tokio::io::{ReadHalf, WriteHalf, split};
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
    socket: OnceCell<RefCell<ReadHalf<Socket>>>,
}

impl Client {
    /// The client whose bytes are this request's payload.
    pub(super) fn new(payload: Payload) -> Self {
        Self(Rc::new(State { payload: RefCell::new(payload), socket: OnceCell::new() }))
    }

    /// Takes the client's socket away from the HTTP server, if it can be had, to write to it; the server waits for it until
    /// the token is dropped.
    pub(super) async fn take_over(&self, takeover: &Takeover) -> Option<(WriteHalf<Socket>, TaskTrackerToken)> {
        let State { payload, socket } = &*self.0;
        let (taken, tracked) = takeover.take_tracked(payload).await?;
        let (reading, writing) = split(taken);
        let _ = socket.set(RefCell::new(reading));
        payload.replace(Payload::None);
        Some((writing, tracked))
    }
}

impl Inflow for Client {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        match self.0.socket.get() {
            Some(socket) => poll_socket(&mut *socket.borrow_mut(), task, buffer).map(|read| read.unwrap_or(0)),
            None => self.0.payload.borrow_mut().poll_read(task, buffer),
        }
    }
}
