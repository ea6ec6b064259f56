//! A request as a transport: all that its client says.

use std::task::{Context, Poll};

use super::Transport;
use crate::{Message, frame::Incoming};

/// Says once that there is a request. Its body is the consumer's to read; that the client has gone is told by whoever writes
/// the response.
#[derive(Default)]
pub(crate) struct Request {
    told: bool,
}

impl Transport for Request {
    fn poll_incoming(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
        if std::mem::replace(&mut self.told, true) {
            return Poll::Pending;
        }
        Poll::Ready(Incoming::Message(Message::Binary(bytes::Bytes::new())))
    }
}
