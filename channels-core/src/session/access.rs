//! The access log's line for a connection.

use super::port::Port;
use crate::Close;

/// Says that a connection has ended: one line for each that was accepted.
pub(super) fn ended(port: &Port, close: &Close) {
    if port.was_accepted() {
        let (code, by, duration) = (close.code.get(), close.by, port.age());
        let peer = port.client.map(tracing::field::display);
        tracing::info!(target: "channels::access", path = port.path, code, ?by, ?duration, peer, "websocket closed");
    }
}
