//! The end of a connection: the access log's line for it, and its place among the counts.

use super::port::Port;
use crate::Close;

/// Says and counts that a connection has ended, if it was accepted.
pub(super) fn ended(port: &Port, close: &Close) {
    if port.was_accepted() {
        port.stats.count(|counts| counts.closes.count(close));
        let (code, by, duration) = (close.code.get(), close.by, port.age());
        let peer = port.client.map(tracing::field::display);
        tracing::info!(target: "channels::access", path = port.path, code, ?by, ?duration, peer, "websocket closed");
    }
}
