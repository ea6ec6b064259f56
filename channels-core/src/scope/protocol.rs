//! The kinds of connections.

/// The kind of a connection; [`ProtocolTypeRouter`](crate::ProtocolTypeRouter) chooses by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// A WebSocket.
    Websocket,
    /// An HTTP request.
    Http,
    /// A named channel that a worker serves.
    Channel,
}

impl Protocol {
    /// The name that Channels gives it: `websocket`, `http`, `channel`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Http => "http",
            Self::Channel => "channel",
        }
    }
}
