//! Each knob, with its unit, its default and the reason for it.

use std::{sync::Arc, time::Duration};

use crate::Message;

/// The settings of an application's connections.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::Config;
///
/// let config = Config {
///     max_message_size: 64 * 1024, // bytes
///     ping_interval: None,
///     ..Config::default()
/// };
/// assert_eq!(config.handshake_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections that one worker thread holds; past it a handshake is answered with 503. 100,000, which idle are
    /// about 420 MiB besides what the kernel holds: a bound for the machine's sake. The process needs as many files (`ulimit -n`).
    pub max_connections: usize,
    /// Handshakes in flight, in middleware or until `connect` has decided, on one worker thread; past it a handshake is answered with 503, so
    /// that a crowd that comes back at once does not make everybody wait until all give up. 1,024.
    pub max_handshakes: usize,
    /// Connections of one client address over all worker threads; past it a handshake is answered with 429. A session that
    /// outlives its carriers counts until it is forgotten. `None`: behind a proxy all clients have its address.
    pub max_connections_per_address: Option<usize>,
    /// Bytes of a handshake's path and query as the client wrote them, and of its header fields' names and values; past it the
    /// handshake is answered with 431. 16 KiB, twice what most proxies let through. The HTTP server itself takes 128 KiB and 96
    /// fields before it answers with 431, too.
    pub max_header_size: usize,
    /// Bytes of one message, its fragments joined, and inflated if it came compressed; past it the connection closes with
    /// 1009, and no more than that is inflated. 1 MiB: more than any chat message, little enough for each of thousands of
    /// clients to send one at once.
    pub max_message_size: usize,
    /// Bytes of one frame, as they come; past it the connection closes with 1009 before the frame arrives. 1 MiB, so that a
    /// message need not be fragmented. A compressed frame may have a sixteenth and 64 bytes more, which is what deflating adds
    /// where it does not help.
    pub max_frame_size: usize,
    /// Fragments of one message; past it the connection closes with 1009. 1,024: a message of 1 MiB in pieces of 1 KiB.
    pub max_fragments: usize,
    /// Bytes of messages that wait to be written to one client, each counted with 32 more than it has. 1 MiB, besides what
    /// the kernel's socket holds, and up to 128 KiB that are about to be written. A single message may be larger.
    pub max_waiting_bytes: usize,
    /// What becomes of a client that more than `max_waiting_bytes` would wait for. [`SlowClient::Close`].
    pub slow_client: SlowClient,
    /// How long a client may read nothing at all while something waits for it; past it the connection is cut, without a
    /// close frame, which it would not read either. 30 s. What the kernel holds it counts itself, on Linux: a peer that takes
    /// no bytes for two seconds more is gone (`TCP_USER_TIMEOUT`).
    pub stall_timeout: Duration,
    /// How long a connection may last; past it the connection closes with 4000, which tells the client to come back.
    /// `None`: as long as it likes.
    pub max_lifetime: Option<Duration>,
    /// Whether and how messages are compressed (permessage-deflate, RFC 7692) for clients that offer it. `None`: it costs
    /// more CPU than it saves time for the small messages of a chat; turn it on for large JSON.
    pub compression: Option<Compression>,
    /// How long `connect` may take to decide; past it the handshake is answered with 503. And how long a session that was
    /// opened to be polled waits for its client to come with its id; past it it is closed with 4408. 5 s, as in Daphne.
    pub handshake_timeout: Duration,
    /// How long an [`HttpConsumer`](crate::HttpConsumer) may take to begin its response; past it the request is answered with
    /// 503. 60 s: twice what a long poll usually waits, and as long as most proxies do.
    pub response_timeout: Duration,
    /// How long a poll waits for a message ([`Transport::LongPoll`](crate::Transport::LongPoll)); past it the answer is empty,
    /// and the client polls again. A session that has neither a poll nor a stream nor a socket for one and a half of it is
    /// closed with 4408. 25 s: less than the 30 s after which some proxies give up a request.
    pub poll_window: Duration,
    /// After so long without a word from the client it is pinged; `None` for never. 20 s, as in Daphne, which is shorter
    /// than the minute after which many proxies drop a quiet connection. Clients are looked at once a second, so that a ping, or
    /// the end of one that does not answer, may be a second late.
    pub ping_interval: Option<Duration>,
    /// How long a client may take to answer a ping; past it the connection closes with 4408. 30 s, as in Daphne.
    pub ping_timeout: Duration,
    /// How long a hook may go on after its connection has ended; past it the hook is cancelled. 10 s, as Daphne's
    /// application close timeout.
    pub hook_grace: Duration,
    /// How long `disconnect` may take; past it the hook is cancelled. 10 s.
    pub disconnect_timeout: Duration,
    /// How long a client may take to answer a close frame; past it the socket is closed without the answer. 5 s. Of a
    /// client that goes on sending only this side's half is closed then, and what it sends is read for as long again: at a closed
    /// socket, that would cost it the close frame if it reads slowly.
    pub close_timeout: Duration,
    /// How long a stopping server waits for its connections to end; past it they are cut. 30 s; give the supervisor's own
    /// grace period a few seconds more. It is the server's alone: what a route says of it counts for nothing.
    pub drain_timeout: Duration,
}

/// A route's own settings: a change to those of the server.
pub(crate) type Change = Arc<dyn Fn(&mut Config) + Send + Sync>;

impl Config {
    /// These settings with a route's changes, outermost first.
    pub(crate) fn changed(self: &Arc<Self>, changes: &[Change]) -> Arc<Self> {
        let mut config = self.clone();
        for change in changes {
            change(Arc::make_mut(&mut config));
        }
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            max_connections: 100_000,
            max_handshakes: 1_024,
            max_connections_per_address: None,
            max_header_size: 16 * 1024,
            max_message_size: MIB,
            max_frame_size: MIB,
            max_fragments: 1_024,
            max_waiting_bytes: MIB,
            slow_client: SlowClient::Close,
            stall_timeout: Duration::from_secs(30),
            max_lifetime: None,
            compression: None,
            handshake_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            poll_window: Duration::from_secs(25),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(30),
            hook_grace: Duration::from_secs(10),
            disconnect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// What becomes of a client for which [`Config::max_waiting_bytes`] wait already.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SlowClient {
    /// The connection closes with 4429: the client comes back and asks for what it missed.
    Close,
    /// The new message is dropped: what waits stays in order and complete, as for a log.
    DropNewest,
    /// The oldest messages are dropped until there is room: what arrives is recent, as for a ticker.
    DropOldest,
    /// A message replaces the one that waits and has the same key, so that a client that is behind gets the newest value of
    /// each; it takes its place in the order. The function tells a message's key; messages for which it tells `None` are
    /// never replaced. When there is no room all the same the connection closes with 4429.
    ///
    /// # Examples
    ///
    /// Prices, as `{"symbol": "ACME", "price": 12}`:
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::{Config, Message, SlowClient};
    ///
    /// fn symbol(message: &Message) -> Option<String> {
    ///     let value: serde_json::Value = serde_json::from_slice(message.as_bytes()).ok()?;
    ///     value["symbol"].as_str().map(str::to_owned)
    /// }
    ///
    /// let config = Config { slow_client: SlowClient::Coalesce(symbol), ..Config::default() };
    /// ```
    Coalesce(fn(&Message) -> Option<String>),
}

/// How messages are compressed: permessage-deflate (RFC 7692).
///
/// Without context takeover, which is the default, a connection keeps no window between messages, and a broadcast is compressed
/// once for all members. A number that is out of its range counts as the nearest in it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Compression, Config};
///
/// let config = Config { compression: Some(Compression::default()), ..Config::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Compression {
    /// From 1, fast, to 9, small. 3: most of the gain for a third of the time of 6.
    pub level: u32,
    /// Messages of fewer bytes are sent as they are. 256: below it the gain is a few bytes.
    pub min_size: usize,
    /// Whether this side's window is kept from message to message. Smaller messages for some 300 KiB of each connection's
    /// memory, and no sharing of what is compressed. `false`.
    pub server_context_takeover: bool,
    /// Whether the client's window is kept from message to message, for up to 32 KiB of each connection. `false`.
    pub client_context_takeover: bool,
    /// The base-2 logarithm of this side's window, 9 to 15. 15.
    pub server_max_window_bits: u8,
    /// The base-2 logarithm of the client's window, 8 to 15, for clients that can be told. 15.
    pub client_max_window_bits: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            level: 3,
            min_size: 256,
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}
