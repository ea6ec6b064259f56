//! Channel layers: how consumers reach each other.
//!
//! A [`ChannelLayer`] carries [events](mod@crate::event) to channels (one connection, or one worker's queue) and to groups of
//! them. The promises are those of Django's channel layer specification:
//!
//! - **At most once.** An event is delivered or it is not; it is never delivered twice, and nothing is stored.
//! - **In order** for one sender and one channel.
//! - **Bounded.** A channel holds at most its capacity of events. [`send`](Layer::send) to a full one fails with
//!   [`SendError::ChannelFull`]; [`group_send`](Layer::group_send) never fails for it, and reports how many were full.
//! - **Counted.** What was dropped is in the [`GroupReport`] and in [`Layer::dropped`].

mod audience;
mod config;
mod hub;
mod layers;
mod limits;
mod memory;
mod name;
#[cfg(feature = "redis")]
pub mod redis;

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use thiserror::Error;

pub(crate) use self::hub::{Delivery, GroupRow, Page, QueueRow, Seat};
pub use self::{
    audience::{Audience, GroupSend},
    config::{LayersConfig, LayersConfigError},
    hub::{Dropped, Hub},
    layers::{Layer, Layers},
    limits::{CapacityPattern, Limits},
    memory::InMemoryChannelLayer,
    name::{ChannelName, GroupName, NAME_LIMIT, NameError},
};
use crate::{
    event::{Envelope, EventError},
    presence::{Entry, PresenceError},
};

/// A future of a channel layer; it may be polled on any thread.
pub type LayerFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a group send did.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{InMemoryChannelLayer, Layer, event};
/// # channels::run(async {
/// let layer = Layer::new(InMemoryChannelLayer::default().capacity(1));
/// layer.group_add("room", "a").await?;
/// layer.group_add("room", "b").await?;
/// layer.send("b", event!({"type": "first"})).await?;
///
/// let report = layer.group_send("room", event!({"type": "second"})).report().await?;
/// assert_eq!((report.delivered, report.full), (1, 1)); // `b` holds one event already
/// # Ok::<(), channels::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GroupReport {
    /// Members that have the event in their queue, or its message on the way to their client.
    pub delivered: usize,
    /// Members whose queue had no room; the event is lost to them.
    pub full: usize,
    /// Members whose client reads too slowly for what a pure handler made of the event; it is lost to them.
    pub slow: usize,
    /// Named channels whose membership had expired; they are members no longer.
    pub expired: usize,
    /// Other processes that were handed the event for their members: over Redis. What became of it there they count
    /// themselves. Of several groups it is the most that one of them has.
    pub processes: usize,
}

impl std::ops::AddAssign for GroupReport {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.full += other.full;
        self.slow += other.slow;
        self.expired += other.expired;
        self.processes += other.processes;
    }
}

/// An event that could not be sent to a channel.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The receiver is slower than its senders: send less, or give the channel a larger capacity.
    #[error("channel \"{channel}\" is full ({capacity} messages)")]
    ChannelFull {
        /// The channel.
        channel: ChannelName,
        /// How many messages it holds.
        capacity: usize,
    },
    /// What a pure handler made of the event had no room among what waits to be written to the client: send less, or raise
    /// [`Config::max_waiting_bytes`](crate::Config::max_waiting_bytes).
    #[error("the client of channel \"{channel}\" reads too slowly (at most {limit} bytes wait for it)")]
    ClientTooSlow {
        /// The channel.
        channel: ChannelName,
        /// How many bytes may wait for its client.
        limit: usize,
    },
    /// The name is not a channel's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The event is not one.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The layer failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// What a channel layer can't do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The name is not a channel's or a group's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The event is not one.
    #[error(transparent)]
    Event(#[from] EventError),
    /// No layer has this alias: add it to [`Layers`], or correct the consumer's `LAYER`.
    #[error("no channel layer has the alias `{alias}` (there are: {known})")]
    UnknownAlias {
        /// The alias asked for.
        alias: String,
        /// The aliases there are.
        known: String,
    },
    /// The broker could not be reached in time, or refused; whether it did what was asked is not known. Later calls may succeed:
    /// the layer connects again by itself.
    #[error("broker `{broker}` failed")]
    Broker {
        /// Its address, without a password.
        broker: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The layer does not know the members of its groups, so it can neither leave one out nor find one that is in two of
    /// them: send to one whole group, or use another layer.
    #[error("this layer sends to one whole group at a time")]
    WholeGroupsOnly,
    /// The channel belongs to another process, which alone can receive on it or put it into a group.
    #[error("channel \"{channel}\" is another process's")]
    Foreign {
        /// The channel.
        channel: ChannelName,
    },
}

/// A way for events between consumers: the seam behind [`Layer`].
///
/// An implementation carries events between processes; within this one its [`Hub`] does, which keeps this process's
/// connections and named channels. The methods take checked names; people call those of [`Layer`].
pub trait ChannelLayer: Send + Sync + 'static {
    /// The part of the layer that is in this process: connections sit down there.
    fn hub(&self) -> &Hub;

    /// Whether events get through: `false` while the layer's broker is away. A server's readiness follows it.
    fn is_ready(&self) -> bool {
        true
    }

    /// How long a message takes through the layer's broker and back to this process, as the last that it sent itself has shown;
    /// while one is on its way for longer than that, for how long it has been. `None` without a broker, or before the first.
    fn lag(&self) -> Option<Duration> {
        None
    }

    /// Whether other processes are on this layer: a request for a [session](crate::Transport) of another process is passed
    /// on by it then.
    fn is_shared(&self) -> bool {
        false
    }

    /// Delivers an event to one channel.
    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>>;

    /// Waits for the next event on a channel that is not a connection's.
    ///
    /// Dropping the future loses no event.
    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>>;

    /// A new name that no other channel has, for a channel that this process will read.
    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>>;

    /// Adds a channel to a group; when it resolves, nothing that is sent to the group misses the channel.
    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>>;

    /// Takes a channel out of a group, in which it is present no longer either; not being in it is no error.
    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>>;

    /// Delivers an event to every channel of an audience, once, and reports what became of it.
    ///
    /// A layer over a wire that can only say a [whole group](Audience::whole_group) does the rest itself: it looks up
    /// the members of each group, and sends to those that are left.
    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>>;

    /// The same without a report: it need not wait for what becomes of the event, but what one sender posts must stay in
    /// order, and a sender that is too fast must wait.
    fn group_post(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<(), LayerError>> {
        Box::pin(async move { self.group_send(audience, event).await.map(drop) })
    }

    /// The channels of a group, in no order.
    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>>;

    /// How many channels a group has.
    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>>;

    /// Has a connection of this process be present in a group that it is in: as the entry says, whatever it was before. Every
    /// member is told by a [`PresenceDiff`](crate::presence::PresenceDiff).
    ///
    /// A layer that does not know who is present leaves out this and the three below.
    fn presence_set<'a>(&'a self, group: &'a GroupName, entry: Entry) -> LayerFuture<'a, Result<(), PresenceError>> {
        let _ = (group, entry);
        Box::pin(async { Err(PresenceError::Unsupported) })
    }

    /// Has a connection of this process be present no longer; not to be is no error, nor is a broker that is away.
    fn presence_unset<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let _ = (group, channel);
        Box::pin(async { Ok(()) })
    }

    /// Who is present in a group, in no order.
    fn presence_list<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<Arc<Entry>>, PresenceError>> {
        let _ = group;
        Box::pin(async { Err(PresenceError::Unsupported) })
    }

    /// How many people are present in a group, on however many devices.
    fn presence_count<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, PresenceError>> {
        Box::pin(async move {
            let entries = self.presence_list(group).await?;
            Ok(entries.iter().map(|entry| entry.who.as_str()).collect::<HashSet<_>>().len())
        })
    }

    /// Forgets all groups, who is present in them, and all events that wait. Connections stay open.
    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>>;
}
