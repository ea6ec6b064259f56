//! The access log's line for a connection.

use super::port::Port;
use crate::Close;

/// Says that a connection has ended: one line for each that was accepted.
pub(super) fn ended(port: &Port, close: &Close) {
    if port.was_accepted() {
        let (code, by, duration, peer) = (close.code.get(), close.by, port.age(), port.client);
        tracing::info!(target: "channels::access", path = port.path, code, ?by, ?duration, ?peer, "websocket closed");
    }
}
