//! What a session and its transport exchange.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{Close, event::Envelope, once::OnceList};

/// What a message that waits costs besides its payload, in bytes: its place in a queue.
const EACH: usize = 32;

/// A message of the client or to the client: text or binary.
///
/// Cloning shares the payload.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::Message;
///
/// assert_eq!(Message::from("hi"), Message::Text("hi".into()));
/// assert_eq!(Message::from(vec![1, 2]).len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// UTF-8 text; may be empty.
    Text(ByteString),
    /// Bytes; may be empty.
    Binary(Bytes),
}

impl Message {
    /// The length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// What it counts against bounds of bytes: an empty one takes up memory, too.
    pub(crate) fn cost(&self) -> usize {
        self.len() + EACH
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, or `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// A text message that holds `value` as JSON: what most handlers without `self` return.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Message;
    /// assert_eq!(Message::json(&[1, 2])?, Message::from("[1,2]"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When `value` cannot be JSON, as a map whose keys are not strings.
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::from)
    }
}

impl From<Message> for Bytes {
    /// The payload.
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<ByteString> for Message {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// What a transport hands to a session.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    /// A whole message; fragments are joined.
    Message(Message),
    /// An event that a worker read from its channel.
    Event(Arc<Envelope>),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The client's close frame; `None` when it was empty.
    Close(Option<Close>),
    /// The client broke a rule; the close says which. The transport reads and discards from here on.
    Failed(Close),
    /// The connection is gone.
    Gone,
}

impl Incoming {
    /// The length of its payload in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping(payload) => payload.len(),
            Self::Event(_) | Self::Pong | Self::Close(_) | Self::Failed(_) | Self::Gone => 0,
        }
    }
}

/// What a session hands to its transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outgoing {
    /// A message of its own.
    Message(Message),
    /// A message that many sessions send: encoded once, shared by all.
    Shared(Arc<Shared>),
    /// A ping.
    Ping,
    /// The answer to a ping.
    Pong(Bytes),
    /// A close frame.
    Close(Close),
}

impl Outgoing {
    /// The message, unless it is a control frame.
    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Shared(shared) => Some(&shared.message),
            Self::Ping | Self::Pong(_) | Self::Close(_) => None,
        }
    }

    /// What it counts against the bound of waiting bytes.
    pub(crate) fn cost(&self) -> usize {
        self.len() + EACH
    }

    /// The length of the payload in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Shared(shared) => shared.message.len(),
            Self::Ping => 0,
            Self::Pong(payload) => payload.len(),
            Self::Close(close) => close.reason.len(),
        }
    }
}

/// A message with its encoded forms, each made at most once.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) message: Message,
    wire: OnceList<WireForm, Bytes>,
}

/// What tells the encoded forms of one message apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireForm {
    /// A WebSocket frame.
    Plain,
    /// A WebSocket frame, deflated without a window that is kept: in this window, at this level.
    Deflated { bits: u8, level: u32 },
}

impl Shared {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, wire: OnceList::new() }
    }

    pub(crate) fn wire(&self, form: WireForm, encode: impl FnOnce(&Message) -> Bytes) -> &Bytes {
        self.wire.get_or_init(form, || encode(&self.message))
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for Shared {}
