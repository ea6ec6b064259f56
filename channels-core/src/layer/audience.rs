//! Whom a group send reaches, and the group send itself.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{ChannelLayer, ChannelName, GroupName, GroupReport, LayerError, LayerFuture, NameError};
use crate::event::{Envelope, IntoEvent};

/// Whom a group send reaches: the members of one group or several, each once, without some.
///
/// [`GroupSend`] makes it; a [`ChannelLayer`] reads it.
#[derive(Clone, Debug)]
pub struct Audience {
    group: GroupName,
    more: Vec<GroupName>,
    /// In a box: most sends leave nobody out.
    left_out: Option<Box<LeftOut>>,
}

#[derive(Clone, Default, Debug)]
struct LeftOut {
    channels: Vec<ChannelName>,
    /// Whoever is in one of these gets the event by another way.
    groups: Vec<GroupName>,
}

impl Audience {
    /// The groups, none of them twice.
    pub fn groups(&self) -> impl Iterator<Item = &GroupName> {
        std::iter::once(&self.group).chain(&self.more)
    }

    /// The channels that are left out, members or not.
    #[must_use]
    pub fn except(&self) -> &[ChannelName] {
        self.left_out.as_ref().map_or(&[], |left_out| &left_out.channels)
    }

    /// The group, if it is one, and all of it: what every wire format can say.
    #[must_use]
    pub fn whole_group(&self) -> Option<&GroupName> {
        (self.more.is_empty() && self.left_out.is_none()).then_some(&self.group)
    }

    /// The group, if it is one.
    pub(super) fn single(&self) -> Option<&GroupName> {
        (self.more.is_empty() && self.without().is_empty()).then_some(&self.group)
    }

    /// The groups whose members are left out.
    pub(super) fn without(&self) -> &[GroupName] {
        self.left_out.as_ref().map_or(&[], |left_out| &left_out.groups)
    }

    /// The members of one group that are in none of some others, but some channels.
    #[cfg(feature = "redis")]
    pub(super) fn part(group: GroupName, groups: Vec<GroupName>, channels: Vec<ChannelName>) -> Self {
        let is_whole = groups.is_empty() && channels.is_empty();
        let left_out = (!is_whole).then(|| Box::new(LeftOut { channels, groups }));
        Self { group, more: Vec::new(), left_out }
    }

    fn add(&mut self, group: GroupName) {
        if self.groups().all(|known| *known != group) {
            self.more.push(group);
        }
    }
}

impl From<GroupName> for Audience {
    fn from(group: GroupName) -> Self {
        Self { group, more: Vec::new(), left_out: None }
    }
}

impl From<&GroupName> for Audience {
    fn from(group: &GroupName) -> Self {
        group.clone().into()
    }
}

/// A group send that is about to happen: `.await` it, and say before whom else it reaches, or whom not.
///
/// [`Layer::group_send`](super::Layer::group_send) and [`Context::group_send`](crate::Context::group_send) make it. It does
/// nothing until it is awaited. It is over when the event is on its way to every member, ahead of whatever the sender sends
/// next; who wants to know what became of it awaits its [`report`](Self::report), which takes as long as the slowest thread.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Context, Result, event};
/// # async fn receive(cx: &mut Context) -> Result<()> {
/// // To everybody in the room but the one who said it:
/// cx.group_send("room_7", event!({"type": "chat.message", "text": "hi"})).except(cx.channel_name()).await?;
///
/// // To those in the room and to those who watch all rooms; to who does both, once:
/// cx.group_send("room_7", event!({"type": "chat.message", "text": "hi"})).to("watchers").await?;
/// # Ok(()) }
/// ```
#[must_use = "a group send does nothing until it is awaited"]
pub struct GroupSend<'a> {
    layer: &'a dyn ChannelLayer,
    state: State<'a>,
}

enum State<'a> {
    Told(Result<(Audience, Arc<Envelope>), LayerError>),
    Sending(LayerFuture<'a, Result<(), LayerError>>),
    Done,
}

impl<'a> GroupSend<'a> {
    pub(super) fn new<G>(layer: &'a dyn ChannelLayer, group: G, event: impl IntoEvent) -> Self
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let told = || Ok((group.try_into().map_err(Into::into)?.into(), Arc::new(event.into_event()?)));
        Self { layer, state: State::Told(told()) }
    }

    /// The same send, to the members of this group as well. Who is in several of the groups gets the event once.
    ///
    /// A name that is not a group's makes the send fail.
    pub fn to<G>(self, group: G) -> Self
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        self.change(group.try_into().map_err(Into::into), Audience::add)
    }

    /// The same send, to everybody but this channel; that it is no member is no error.
    ///
    /// A name that is not a channel's makes the send fail.
    pub fn except<N>(self, channel: N) -> Self
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        self.change(channel.try_into().map_err(Into::into), |audience, channel| {
            audience.left_out.get_or_insert_default().channels.push(channel);
        })
    }

    /// The same send, which then tells what became of the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result, event};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// let report = cx.group_send("chat_7", event!({"type": "chat.message", "text": "hi"})).report().await?;
    /// if report.full + report.slow > 0 {
    ///     cx.send(format!("{} of the room cannot keep up", report.full + report.slow))?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As the send itself: [`LayerError`] when a name or the event is not one, or the layer cannot.
    ///
    /// # Panics
    ///
    /// When it was polled already.
    pub async fn report(self) -> Result<GroupReport, LayerError> {
        let State::Told(told) = self.state else { panic!("a group send is awaited once") };
        let (audience, event) = told?;
        self.layer.group_send(audience, event).await
    }

    /// The first mistake is the one that is told.
    fn change<T>(mut self, name: Result<T, NameError>, change: impl FnOnce(&mut Audience, T)) -> Self {
        if let State::Told(told) = &mut self.state
            && let Ok((audience, _)) = told
        {
            match name {
                Ok(name) => change(audience, name),
                Err(error) => *told = Err(error.into()),
            }
        }
        self
    }
}

impl Future for GroupSend<'_> {
    type Output = Result<(), LayerError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Told(Ok((audience, event))) => State::Sending(self.layer.group_post(audience, event)),
                State::Told(Err(error)) => return Poll::Ready(Err(error)),
                State::Sending(mut sending) => {
                    let polled = sending.as_mut().poll(task);
                    if polled.is_pending() {
                        self.state = State::Sending(sending);
                    }
                    return polled;
                }
                State::Done => panic!("a group send is awaited once"),
            };
        }
    }
}

impl std::fmt::Debug for GroupSend<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = match &self.state {
            State::Told(told) => Some(told),
            State::Sending(_) | State::Done => None,
        };
        f.debug_struct("GroupSend").field("told", &told).finish_non_exhaustive()
    }
}
