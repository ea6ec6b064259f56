//! What a consumer, and what anybody else, may ask of a group's presence.

use serde::{Serialize, de::DeserializeOwned};

use super::{Entry, Person, PresenceError, person::people};
use crate::{
    consumer::Context,
    layer::{GroupName, Layer, NameError},
};

/// A connection's presence in a group: [`Context::presence`] gives it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Context, Result, presence::Person};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Device {
///     away: bool,
/// }
///
/// # async fn connect(cx: &mut Context) -> Result<()> {
/// cx.presence("room").join("ada", Device { away: false }).await?;
/// let here: Vec<Person<Device>> = cx.presence("room").list().await?;
/// cx.send_json(&here)
/// # }
/// ```
#[must_use = "it does nothing until it is asked for something"]
pub struct Presence<'a> {
    cx: &'a mut Context,
    group: Result<GroupName, NameError>,
}

impl<'a> Presence<'a> {
    pub(crate) fn new(cx: &'a mut Context, group: Result<GroupName, NameError>) -> Self {
        Self { cx, group }
    }

    /// Joins the group, if that is not done yet, and is present in it: as whom, and with what to say of oneself.
    ///
    /// `who` is the person, as an id of a user: one person's connections have the same. It has 1 to
    /// [`WHO_LIMIT`](super::WHO_LIMIT) bytes, 255. `meta` is anything that serde can write, at most
    /// [`META_LIMIT`](super::META_LIMIT) bytes as JSON, 4,096.
    ///
    /// To join again is to be present as that from then on. Presence ends with [`leave`](Self::leave), with
    /// [`group_discard`](Context::group_discard), and with the connection, whatever its end is: nobody has to leave in `disconnect`.
    ///
    /// Every member of the group gets a [`PresenceDiff`](super::PresenceDiff), this one too.
    ///
    /// # Errors
    ///
    /// [`PresenceError`]: a name or metadata that are out of bounds, a group that is full, a layer without presence, a broker
    /// that is away. Who finds the group full is a member of it nevertheless.
    ///
    /// # Untrusted input
    ///
    /// A client that chooses `who` chooses whom it is counted as. Metadata goes to every member: take what a client may say of
    /// itself, not all that it sends.
    pub async fn join(self, who: impl Into<String>, meta: impl Serialize) -> Result<(), PresenceError> {
        let group = self.group?;
        let entry = Entry::new(who.into(), self.cx.channel_name().clone(), &meta)?;
        self.cx.group_add(&group).await?;
        self.cx.set_present(&group, entry).await
    }

    /// Says something else of oneself.
    ///
    /// # Errors
    ///
    /// [`PresenceError::NotPresent`] for who has not joined; otherwise as [`join`](Self::join).
    pub async fn update(self, meta: impl Serialize) -> Result<(), PresenceError> {
        let group = self.group?;
        let Some(who) = self.cx.present_as(&group) else { return Err(PresenceError::NotPresent { group }) };
        let entry = Entry::new(who.to_owned(), self.cx.channel_name().clone(), &meta)?;
        self.cx.set_present(&group, entry).await
    }

    /// Is present no longer, and stays in the group; not to be present is no error.
    ///
    /// # Errors
    ///
    /// [`PresenceError::Name`], [`PresenceError::Layer`]. A broker that is away is no error.
    pub async fn leave(self) -> Result<(), PresenceError> {
        let group = self.group?;
        Ok(self.cx.unset_present(&group).await?)
    }

    /// The people who are present, by name, with an entry for each of their connections.
    ///
    /// A member of the group misses nobody: whatever changes after the list was taken, it is told. It may also be told what the
    /// list has already, since it is a member before; apply each change by its `channel`, and that makes no difference.
    ///
    /// # Errors
    ///
    /// [`PresenceError::Meta`] when somebody's metadata is no `M`; [`PresenceError::Layer`].
    pub async fn list<M: DeserializeOwned>(self) -> Result<Vec<Person<M>>, PresenceError> {
        GroupPresence::new(self.cx.layer(), self.group).list().await
    }

    /// How many people are present: one on two devices is one.
    ///
    /// # Errors
    ///
    /// [`PresenceError::Name`], [`PresenceError::Layer`].
    pub async fn count(self) -> Result<usize, PresenceError> {
        GroupPresence::new(self.cx.layer(), self.group).count().await
    }
}

/// A group's presence, as anybody may look at it: [`Layer::presence`] gives it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{InMemoryChannelLayer, Layer};
/// # channels::run(async {
/// let layer = Layer::new(InMemoryChannelLayer::default());
/// assert_eq!(layer.presence("room").count().await?, 0);
/// for person in layer.presence("room").list::<serde_json::Value>().await? {
///     println!("{} on {} devices", person.who, person.entries.len());
/// }
/// # Ok::<(), channels::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "it does nothing until it is asked for something"]
pub struct GroupPresence<'a> {
    layer: &'a Layer,
    group: Result<GroupName, NameError>,
}

impl<'a> GroupPresence<'a> {
    pub(crate) fn new(layer: &'a Layer, group: Result<GroupName, NameError>) -> Self {
        Self { layer, group }
    }

    /// The people who are present, by name, with an entry for each of their connections.
    ///
    /// # Errors
    ///
    /// [`PresenceError::Meta`] when somebody's metadata is no `M`; [`PresenceError::Name`], [`PresenceError::Layer`].
    pub async fn list<M: DeserializeOwned>(self) -> Result<Vec<Person<M>>, PresenceError> {
        people(self.layer.get_ref().presence_list(&self.group?).await?)
    }

    /// How many people are present: one on two devices is one.
    ///
    /// # Errors
    ///
    /// [`PresenceError::Name`], [`PresenceError::Layer`].
    pub async fn count(self) -> Result<usize, PresenceError> {
        self.layer.get_ref().presence_count(&self.group?).await
    }
}
