//! Events: what consumers are told by one another, through a channel layer.

mod close;
mod envelope;
#[cfg(feature = "redis")]
mod msgpack;
mod name;
mod raw;
mod registry;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use self::envelope::Rendered;
#[cfg(feature = "redis")]
pub(crate) use self::msgpack::{Fields, FieldsError};
#[doc(hidden)]
pub use self::name::{handler_name, same_event};
pub use self::{
    close::CloseConnection,
    envelope::{Dispatch, Envelope, IntoEvent, Payload},
    raw::{RawEvent, raw_event},
    registry::{ConsumerEntry, HandlerEntry, Registry, registry},
};

/// A type of event and the name it has on a channel layer.
///
/// Members in one process share one value; it is written to JSON or MessagePack only where it leaves the process. Derive
/// it: `#[derive(Serialize, Deserialize, Event)] #[event("chat.message")]`.
///
/// A name consists of ASCII letters and digits, `.`, `_` and `-`, and starts with neither `.` nor `_`. Names are
/// compared as Channels does: `.` and `_` are the same. Outside of the process the name stands as `type` among the
/// event's fields, so the event is a map, and no field of its own is called `type`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::Event;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct ChatMessage {
///     text: String,
/// }
///
/// impl Event for ChatMessage {
///     const NAME: &'static str = "chat.message";
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "write `#[derive(Serialize, Deserialize, Event)]` and `#[event(\"its.name\")]` on it, or take a `&RawEvent`"
)]
pub trait Event: Serialize + for<'de> Deserialize<'de> + Send + Sync + 'static {
    /// The event's name, as `chat.message`: what stands under `type` on the wire.
    const NAME: &'static str;
}

/// An event that cannot be sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventError {
    /// A name that no handler may have: choose one like `chat.message`.
    #[error("event type `{name}` {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An untyped event without a `type`: add one.
    #[error("an event needs a `type` that is a string: {{\"type\": \"chat.message\", …}}")]
    NoType,
    /// The content is not a map: an event is a struct with named fields, a map, or a unit struct.
    #[error("event `{name}` is not a map of fields")]
    NotAMap {
        /// The event's name.
        name: String,
    },
    /// The content cannot be written.
    #[error("event `{name}` cannot be serialized")]
    Serialize {
        /// The event's name.
        name: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The content cannot be written for other processes: the keys of its maps must be text.
    #[error("event `{name}` cannot be written for other processes")]
    Encode {
        /// The event's name.
        name: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The event is larger than its layer carries between processes: send less, and let receivers fetch the rest.
    #[error("event `{name}` has {size} bytes on its way to other processes; the most is {limit}")]
    TooLarge {
        /// The event's name.
        name: String,
        /// Its size in bytes.
        size: usize,
        /// How many bytes it may have.
        limit: usize,
    },
}

/// An event whose content does not fit the type that a handler takes.
#[derive(Clone, Debug, Error)]
#[error("event `{name}` is not a `{wanted}`: {why}")]
#[non_exhaustive]
pub struct DecodeError {
    /// The event's name.
    pub name: String,
    /// The type that the handler takes.
    pub wanted: &'static str,
    /// What serde says.
    pub why: String,
}
