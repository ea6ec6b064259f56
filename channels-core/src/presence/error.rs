//! What presence cannot do.

use thiserror::Error;

use super::{META_LIMIT, WHO_LIMIT};
use crate::layer::{GroupName, LayerError, NameError};

/// What presence cannot do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The group's name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of a person is empty or too long: a user's id is a good one.
    #[error("the name of a person has {length} bytes; it has 1 to {WHO_LIMIT}")]
    Who {
        /// Its length in bytes.
        length: usize,
    },
    /// Metadata that is not JSON, or not of the type that was asked for.
    #[error("the metadata of `{who}` is not of this type")]
    Meta {
        /// Whose it is.
        who: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Say less: what is looked up elsewhere need not be repeated in every list.
    #[error("metadata has {size} bytes; the most is {META_LIMIT}")]
    MetaTooLarge {
        /// Its length as JSON, in bytes.
        size: usize,
    },
    /// As many connections are present as the layer's
    /// [`presence_capacity`](crate::InMemoryChannelLayer::presence_capacity) allows.
    #[error("group \"{group}\" has {capacity} connections present, and takes no more")]
    Full {
        /// The group.
        group: GroupName,
        /// How many may be present.
        capacity: usize,
    },
    /// Only who has joined can change what it says of itself.
    #[error("this connection is not present in group \"{group}\"")]
    NotPresent {
        /// The group.
        group: GroupName,
    },
    /// Use [`InMemoryChannelLayer`](crate::InMemoryChannelLayer) or `RedisLayer`.
    #[error("this channel layer does not know who is present; the in-memory layer and `RedisLayer` do")]
    Unsupported,
    /// The layer failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
}
