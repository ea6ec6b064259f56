//! Who came, who went: the event that a group's members get.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    event::Event,
    layer::{ChannelName, GroupName},
};

/// Who came, changed and went in a group: the event `presence.diff`, which every member of the group gets, those who are not
/// present and who caused it too.
///
/// Nearly always it has one [`Change`]. It has more when many change at once, as when a process has died; then there are as many
/// events as it takes for at most 100 changes in each.
///
/// Handle it as any event; `M` is the type of the metadata.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Message, Result, presence::PresenceDiff};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Device {
///     away: bool,
/// }
///
/// // With `#[handler]` in a `#[consumer]`; without `self` it is made once for all members.
/// fn presence_diff(diff: &PresenceDiff<Device>) -> Result<Message> {
///     Ok(Message::json(diff)?)
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PresenceDiff<M = Value> {
    /// The group.
    pub group: GroupName,
    /// Connections that are present now.
    pub joins: Vec<Change<M>>,
    /// Connections that say something else of themselves now.
    pub updates: Vec<Change<M>>,
    /// Connections that are present no longer, with what they said last.
    pub leaves: Vec<Change<M>>,
}

/// One connection that came, changed or went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change<M = Value> {
    /// Whose connection it is.
    pub who: String,
    /// The connection's channel.
    pub channel: ChannelName,
    /// What it says of itself.
    pub meta: M,
    /// How many connections of this person are present after the change.
    pub entries: usize,
}

impl<M> PresenceDiff<M> {
    /// The people who came: not those who are here on one more device.
    pub fn came(&self) -> impl Iterator<Item = &Change<M>> {
        self.joins.iter().filter(|change| change.entries == 1)
    }

    /// The people who went: not those who are still here on another device.
    pub fn went(&self) -> impl Iterator<Item = &Change<M>> {
        self.leaves.iter().filter(|change| change.entries == 0)
    }
}

impl<M: Serialize + DeserializeOwned + Send + Sync + 'static> Event for PresenceDiff<M> {
    const NAME: &'static str = "presence.diff";
}
