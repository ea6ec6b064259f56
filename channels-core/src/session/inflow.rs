//! Where a session's bytes come from: the body of the request, or the socket once that is the session's own.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::dev::Payload;
use bytes::BytesMut;

use super::Port;
use crate::transport::Inflow;

/// The bytes of one client.
pub(crate) struct ClientBytes {
    payload: Option<Rc<RefCell<Payload>>>,
    port: Rc<Port>,
}

impl ClientBytes {
    pub(crate) fn new(payload: Rc<RefCell<Payload>>, port: Rc<Port>) -> Self {
        Self { payload: Some(payload), port }
    }
}

impl Inflow for ClientBytes {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        if let Some(wire) = self.port.wire() {
            self.payload = None;
            return wire.poll_read(task, buffer);
        }
        self.payload.as_ref().map_or(Poll::Ready(0), |payload| payload.borrow_mut().poll_read(task, buffer))
    }
}
