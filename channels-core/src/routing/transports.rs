//! How a client may reach a consumer.

/// A way for a client to reach a consumer: what [`Route::transports`](super::Route::transports) takes.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::Transport::{EventStream, LongPoll, WebSocket};
/// use channels::re_path;
///
/// let route =
///     re_path(r"^ws/(?P<group>\w+)/$", ChatConsumer::default).transports([WebSocket, EventStream, LongPoll]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// A socket that stays open, both ways (RFC 6455).
    WebSocket,
    /// A response that stays open for what the server says, which a browser's `EventSource` reads (WHATWG HTML, section
    /// 9.2), and a request for each batch that the client says.
    EventStream,
    /// Requests that the server answers when it has something to say, and a request for each batch that the client says.
    LongPoll,
}

/// A set of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Transports(u8);

impl Transports {
    /// What is carried by requests, not by a socket.
    pub(crate) const REQUESTS: Self = Self(Self::bit(Transport::EventStream) | Self::bit(Transport::LongPoll));

    pub(crate) const fn only(transport: Transport) -> Self {
        Self(Self::bit(transport))
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn list(self) -> Vec<Transport> {
        let all = [Transport::WebSocket, Transport::EventStream, Transport::LongPoll];
        all.into_iter().filter(|transport| self.meets(Self::only(*transport))).collect()
    }

    const fn bit(transport: Transport) -> u8 {
        1 << transport as u8
    }
}

impl FromIterator<Transport> for Transports {
    fn from_iter<I: IntoIterator<Item = Transport>>(transports: I) -> Self {
        Self(transports.into_iter().fold(0, |bits, transport| bits | Self::bit(transport)))
    }
}

impl Default for Transports {
    /// What a route offers that says nothing: WebSocket alone.
    fn default() -> Self {
        Self::only(Transport::WebSocket)
    }
}
