//! A person, and the connections as which they are here.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::PresenceError;
use crate::layer::ChannelName;

/// Bytes that the name of a person may have, at most.
pub const WHO_LIMIT: usize = 255;

/// Bytes that an entry's metadata may have as JSON, at most.
pub const META_LIMIT: usize = 4_096;

/// Somebody who is present, on one device or on several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Person<M = Value> {
    /// Whom the connections said that they are.
    pub who: String,
    /// Their connections: one at least.
    pub entries: Vec<Entry<M>>,
}

/// One connection that is present.
///
/// # Untrusted input
///
/// Whoever knows a [`channel`](Self::channel) still needs the server to send to it. A server that sends to channels which its clients
/// name should not show them those of others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry<M = Value> {
    /// Whom it is the connection of.
    pub who: String,
    /// The connection's channel: what tells two devices of one person apart.
    pub channel: ChannelName,
    /// What it said of itself.
    pub meta: M,
}

impl Entry {
    /// Checks whom, and what they say of themselves.
    pub(super) fn new(who: String, channel: ChannelName, meta: &impl Serialize) -> Result<Self, PresenceError> {
        if who.is_empty() || who.len() > WHO_LIMIT {
            return Err(PresenceError::Who { length: who.len() });
        }
        let meta = serde_json::to_value(meta).map_err(|source| PresenceError::Meta { who: who.clone(), source })?;
        match serde_json::to_vec(&meta).map(|json| json.len()) {
            Ok(size) if size <= META_LIMIT => Ok(Self { who, channel, meta }),
            Ok(size) => Err(PresenceError::MetaTooLarge { size }),
            Err(source) => Err(PresenceError::Meta { who, source }),
        }
    }
}

/// Entries by whose they are.
pub(super) fn people<M: DeserializeOwned>(entries: Vec<Arc<Entry>>) -> Result<Vec<Person<M>>, PresenceError> {
    let mut people: BTreeMap<String, Vec<Entry<M>>> = BTreeMap::new();
    for entry in entries {
        let Entry { who, channel, meta } = &*entry;
        let meta = M::deserialize(meta).map_err(|source| PresenceError::Meta { who: who.clone(), source })?;
        let entry = Entry { who: who.clone(), channel: channel.clone(), meta };
        people.entry(who.clone()).or_default().push(entry);
    }
    Ok(people.into_iter().map(|(who, entries)| Person { who, entries }).collect())
}
