//! What a session asks of any connection.

pub(crate) mod channel;
pub(crate) mod websocket;

use std::task::{Context, Poll};

use crate::frame::Incoming;

/// The incoming half of a connection. The outgoing half is the session's outbox, which whoever writes to the client
/// empties.
pub(crate) trait Transport {
    /// The next thing the client did. After [`Incoming::Failed`] it only reports a [`Incoming::Gone`], and reports that
    /// for ever.
    fn poll_incoming(&mut self, task: &mut Context<'_>) -> Poll<Incoming>;

    /// Whether it may be read while a hook runs. What is read then is lost if the hook fails.
    fn reads_ahead(&self) -> bool {
        true
    }
}
