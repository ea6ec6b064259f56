//! Where a session's bytes come from: the body of the request, or the socket once that is the session's own.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::dev::Payload;
use bytes::BytesMut;

use super::Port;
use crate::transport::Inflow;

/// The bytes of one client.
pub(crate) struct ClientBytes {
    payload: Option<Payload>,
    port: Rc<Port>,
}

impl ClientBytes {
    pub(crate) fn new(payload: Payload, port: Rc<Port>) -> Self {
        Self { payload: Some(payload), port }
    }
}

impl Inflow for ClientBytes {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        if let Some(wire) = self.port.wire() {
            self.payload = None;
            return wire.poll_read(task, buffer);
        }
        let Some(payload) = &mut self.payload else { return Poll::Ready(0) };
        let read = ready!(payload.poll_read(task, buffer));
        if read > 0 {
            self.port.set_early();
        }
        Poll::Ready(read)
    }
}
