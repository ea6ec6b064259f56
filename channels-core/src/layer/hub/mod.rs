//! The part of a layer that is in this process: its connections, thread by thread, and its named channels.

mod address;
mod dropped;
mod index;
mod inspect;
mod queues;
mod thread;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    future::Future,
    rc::Rc,
    sync::{Arc, atomic::AtomicU32},
};

use actix::Addr;
use futures_util::future::{Either, join_all, ready};
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    address::{Address, SeatId},
    dropped::Counters,
    index::{Index, Reach},
    queues::Queues,
    thread::{HubThread, Local, Run},
};
use super::{Audience, ChannelName, GroupName, GroupReport, Limits, SendError};
use crate::{event::Envelope, session::Port};

pub use self::dropped::Dropped;
pub(crate) use self::{
    inspect::{GroupRow, Page, QueueRow},
    thread::Seat,
};

/// The part of a channel layer that is in this process.
///
/// Connections belong to the thread that serves them; an actor on each such thread reaches them. Which threads have
/// members of a group is kept in one index that is read without a lock. Named channels and those of
/// [`new_channel`](super::Layer::new_channel) are queues that any thread may read.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    node: String,
    /// What the names of this process's own channels begin with.
    head: String,
    limits: Limits,
    groups: Index,
    queues: Queues,
    threads: papaya::HashMap<u32, Addr<HubThread>>,
    next_thread: AtomicU32,
    dropped: Counters,
    #[cfg(feature = "metrics")]
    published: crate::metrics::Published,
}

impl Hub {
    /// An empty hub with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_prefix(limits, "")
    }

    /// The same, with something that the names of its channels begin with, before `specific.`: at most 16 characters that a
    /// channel's name may have.
    #[must_use]
    pub fn with_prefix(limits: Limits, prefix: &str) -> Self {
        let node = Uuid::new_v4().simple().to_string();
        Self(Arc::new(Shared {
            queues: Queues::new(limits.expiry),
            limits,
            head: format!("{prefix}specific.{node}!"),
            node,
            groups: Index::new(),
            threads: papaya::HashMap::new(),
            next_thread: AtomicU32::new(0),
            dropped: Counters::default(),
            #[cfg(feature = "metrics")]
            published: crate::metrics::Published::default(),
        }))
    }

    /// The part of channel names that is this process's own: 32 hexadecimal digits.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// What the names of this process's own channels begin with: `specific.`, the [`node`](Self::node), and `!`.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.0.head
    }

    /// What this process keeps, and how long.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// A new name for a channel that this process will read.
    #[must_use]
    pub fn new_channel(&self) -> ChannelName {
        Address::Queue.name(&self.0.head)
    }

    /// Gives a connection of this thread a place, and with it its channel name.
    pub(crate) fn sit_down(&self, port: Rc<Port>) -> Seat {
        Seat::take(self.clone(), port)
    }

    /// Delivers an event to a channel of this process.
    ///
    /// # Errors
    ///
    /// [`SendError::ChannelFull`] when it has no room.
    pub fn send(
        &self,
        channel: &ChannelName,
        event: Arc<Envelope>,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<> {
        let full = {
            let channel = channel.clone();
            move |capacity| SendError::ChannelFull { channel, capacity }
        };
        let (hub, slow) = (self.clone(), channel.clone());
        match Address::parse(channel, &self.0.head) {
            Address::Session(seat) => {
                let posted = self.on(seat.thread, move |local| local.post(seat, &event));
                Either::Left(async move {
                    match posted.await.unwrap_or(Delivery::Gone) {
                        Delivery::Delivered => Ok(()),
                        Delivery::Gone => {
                            hub.count_gone(1);
                            Ok(())
                        }
                        Delivery::Full(capacity) => {
                            hub.count_full(1);
                            Err(full(capacity))
                        }
                        Delivery::Slow(limit) => {
                            hub.count_slow(1);
                            Err(SendError::ClientTooSlow { channel: slow, limit })
                        }
                    }
                })
            }
            Address::Queue => {
                let pushed = self.push(channel, event);
                Either::Right(ready(pushed.map_err(|capacity| {
                    hub.count_full(1);
                    full(capacity)
                })))
            }
        }
    }

    /// Waits for the next event on a named channel.
    pub async fn receive(&self, channel: &ChannelName) -> Arc<Envelope> {
        self.0.queues.pop(channel).await
    }

    /// How many events wait in a named channel, in this process.
    #[must_use]
    pub fn queued(&self, channel: &ChannelName) -> usize {
        self.0.queues.len(channel)
    }

    /// Whether somebody waits on a named channel in this process, or something waits in it.
    #[must_use]
    pub fn has_queue(&self, channel: &ChannelName) -> bool {
        self.0.queues.contains(channel)
    }

    /// Adds a channel of this process to a group.
    pub async fn group_add(&self, group: &GroupName, channel: &ChannelName) {
        match Address::parse(channel, &self.0.head) {
            Address::Session(seat) => {
                let group = group.clone();
                self.on(seat.thread, move |local| local.join(seat, &group)).await;
            }
            Address::Queue => self.0.groups.change(group, |reach| {
                reach.queues.retain(|(name, _)| name != channel);
                reach.queues.push((channel.clone(), Instant::now()));
            }),
        }
    }

    /// Takes a channel of this process out of a group.
    pub async fn group_discard(&self, group: &GroupName, channel: &ChannelName) {
        match Address::parse(channel, &self.0.head) {
            Address::Session(seat) => {
                let group = group.clone();
                self.on(seat.thread, move |local| local.leave(seat, &group)).await;
            }
            Address::Queue => self.0.groups.change(group, |reach| reach.queues.retain(|(name, _)| name != channel)),
        }
    }

    /// Delivers an event to every channel of an audience that is in this process, once, and reports what became of it.
    pub async fn group_send(&self, audience: impl Into<Audience>, event: Arc<Envelope>) -> GroupReport {
        let audience = audience.into();
        let mut walks = Vec::new();
        let mut report =
            self.reach_out(&audience, &event, |thread| walks.push(self.on(thread, walk(&audience, &event))));
        for walked in join_all(walks).await.into_iter().flatten() {
            report += walked;
        }
        report
    }

    /// The same without a report: it is over when every thread has the event before it. So a sender with more to say goes
    /// on, and what it says in one turn is written to a member at once.
    pub async fn group_post(&self, audience: impl Into<Audience>, event: Arc<Envelope>) {
        let audience = audience.into();
        let mut crowded = Vec::new();
        self.reach_out(&audience, &event, |thread| crowded.extend(self.post(thread, walk(&audience, &event))));
        join_all(crowded).await;
    }

    /// Delivers an event to each of these channels of this process.
    pub async fn send_to_each(&self, channels: &[ChannelName], event: Arc<Envelope>) -> GroupReport {
        let mut report = GroupReport::default();
        let mut seats: BTreeMap<u32, Vec<SeatId>> = BTreeMap::new();
        for channel in channels {
            match Address::parse(channel, &self.0.head) {
                Address::Session(seat) => seats.entry(seat.thread).or_default().push(seat),
                Address::Queue => match self.push(channel, event.clone()) {
                    Ok(()) => report.delivered += 1,
                    Err(_) => report.full += 1,
                },
            }
        }
        let walks = seats.into_iter().map(|(thread, seats)| {
            let (event, count) = (event.clone(), seats.len());
            let walk = self.on(thread, move |local| local.post_each(&seats, &event));
            async move { walk.await.ok_or(count) }
        });
        self.count_full(report.full);
        for walked in join_all(walks.collect::<Vec<_>>()).await {
            match walked {
                Ok(walked) => report += walked,
                Err(gone) => self.count_gone(gone),
            }
        }
        report
    }

    /// Delivers an event to every connection of this process.
    pub async fn send_to_all(&self, event: Arc<Envelope>) {
        let threads: Vec<u32> = self.0.threads.pin().keys().copied().collect();
        let post = |thread| {
            let event = event.clone();
            self.on(thread, move |local| local.post_all(&event))
        };
        join_all(threads.into_iter().map(post)).await;
    }

    /// Whether a group has members in this process.
    #[must_use]
    pub fn has_members(&self, group: &GroupName) -> bool {
        self.0.groups.read().pin().contains_key(group)
    }

    /// The groups that have members in this process.
    #[must_use]
    pub fn group_names(&self) -> Vec<GroupName> {
        self.0.groups.read().pin().keys().cloned().collect()
    }

    /// The members of a group in this process.
    pub async fn group_channels(&self, group: &GroupName) -> Vec<ChannelName> {
        let Reach { threads, queues } = self.reach(group);
        let list = |thread| {
            let group = group.clone();
            self.on(thread, move |local| local.members(&group, usize::MAX))
        };
        let listed = join_all(threads.into_iter().map(list)).await;
        listed.into_iter().flatten().flatten().chain(self.unlapsed(queues)).collect()
    }

    /// How many members a group has in this process.
    pub async fn group_size(&self, group: &GroupName) -> usize {
        let Reach { threads, queues } = self.reach(group);
        let count = |thread| {
            let group = group.clone();
            self.on(thread, move |local| local.size(&group))
        };
        let counted = join_all(threads.into_iter().map(count)).await;
        counted.into_iter().flatten().sum::<usize>() + self.unlapsed(queues).count()
    }

    /// Forgets all groups and all events that wait.
    pub async fn flush(&self) {
        self.0.queues.clear();
        for group in &self.group_names() {
            self.0.groups.change(group, |reach| reach.queues.clear());
        }
        // Each thread takes itself out of the index: one that is joined again meanwhile stays in it.
        let threads: Vec<u32> = self.0.threads.pin().keys().copied().collect();
        join_all(threads.into_iter().map(|thread| self.on(thread, Local::flush))).await;
    }

    fn reach(&self, group: &GroupName) -> Reach {
        self.0.groups.read().pin().get(group).cloned().unwrap_or_default()
    }

    fn lapsed(&self, since: Instant) -> bool {
        since.elapsed() >= self.0.limits.group_expiry
    }

    /// Those named channels of a group that have not been in it for too long.
    fn unlapsed(&self, queues: Vec<(ChannelName, Instant)>) -> impl Iterator<Item = ChannelName> {
        queues.into_iter().filter(|(_, since)| !self.lapsed(*since)).map(|(name, _)| name)
    }

    /// Puts an event into a named channel, or fails with the capacity that it has.
    fn push(&self, channel: &ChannelName, event: Arc<Envelope>) -> Result<(), usize> {
        let capacity = self.0.limits.capacity_of(channel);
        self.0.queues.push(channel, event, capacity).map_err(|()| capacity)
    }

    /// Puts an event into the named channels of an audience, once into each, and then does something for every thread that
    /// has members of it, once for each. The report is that of the named channels.
    fn reach_out(&self, audience: &Audience, event: &Arc<Envelope>, mut then: impl FnMut(u32)) -> GroupReport {
        let mut report = GroupReport::default();
        let mut filled = HashSet::new();
        let mut threads = BTreeSet::new();
        let groups = self.0.groups.read();
        let groups = groups.pin();
        for group in audience.groups() {
            let Some(reach) = groups.get(group) else { continue };
            if !reach.queues.is_empty() {
                report += self.fill(audience, event, group, &reach.queues, &mut filled);
            }
            if audience.single().is_some() {
                reach.threads.iter().copied().for_each(&mut then);
            } else {
                threads.extend(&reach.threads);
            }
        }
        threads.into_iter().for_each(then);
        report
    }

    /// Puts an event into the named channels of one group, but those that it is in already; the others that have lapsed
    /// leave the group.
    fn fill(
        &self,
        audience: &Audience,
        event: &Arc<Envelope>,
        group: &GroupName,
        queues: &[(ChannelName, Instant)],
        filled: &mut HashSet<ChannelName>,
    ) -> GroupReport {
        let mut report = GroupReport::default();
        for (channel, since) in queues {
            if self.lapsed(*since) {
                report.expired += 1;
            } else if !audience.except().contains(channel)
                && !audience.without().iter().any(|group| self.has_queue_in(group, channel))
                && filled.insert(channel.clone())
            {
                match self.push(channel, event.clone()) {
                    Ok(()) => report.delivered += 1,
                    Err(_) => report.full += 1,
                }
            }
        }
        if report.expired > 0 {
            self.0.groups.change(group, |reach| reach.queues.retain(|(_, since)| !self.lapsed(*since)));
        }
        self.count_full(report.full);
        report
    }

    /// Whether a named channel is in a group.
    fn has_queue_in(&self, group: &GroupName, channel: &ChannelName) -> bool {
        self.0.groups.read().pin().get(group).is_some_and(|reach| reach.queues.iter().any(|(name, _)| name == channel))
    }

    /// Runs `task` on a thread of the hub: at once on this one, by a message to its actor on another. `None` when
    /// that thread has ended.
    fn on<R, F>(&self, thread: u32, task: F) -> impl Future<Output = Option<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Local) -> R + Send + 'static,
    {
        match self.local(thread) {
            Some(local) => Either::Left(ready(Some(task(&local)))),
            None => Either::Right(self.ask(self.0.threads.pin().get(&thread).cloned(), thread, Run::new(task))),
        }
    }

    /// The same for a task whose end nobody waits for; the future that is returned waits until it may be asked for, where
    /// too many wait already.
    fn post<R, F>(&self, thread: u32, task: F) -> Option<impl Future<Output = Option<R>> + Send + use<R, F>>
    where
        R: Send + 'static,
        F: FnOnce(&Local) -> R + Send + 'static,
    {
        if let Some(local) = self.local(thread) {
            task(&local);
            return None;
        }
        let threads = self.0.threads.pin();
        let addr = threads.get(&thread)?;
        match addr.try_send(Run::new(task)) {
            Ok(()) => None,
            Err(actix::prelude::SendError::Full(task) | actix::prelude::SendError::Closed(task)) => {
                Some(self.ask(Some(addr.clone()), thread, task))
            }
        }
    }

    /// What this thread has of the hub, if it is that thread.
    fn local(&self, thread: u32) -> Option<Rc<Local>> {
        Local::of(self).filter(|local| local.thread == thread)
    }

    fn ask<R, F>(
        &self,
        addr: Option<Addr<HubThread>>,
        thread: u32,
        task: Run<F, R>,
    ) -> impl Future<Output = Option<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Local) -> R + Send + 'static,
    {
        let hub = self.clone();
        async move {
            let answer = addr?.send(task).await;
            if answer.is_err() {
                hub.0.threads.pin().remove(&thread);
            }
            answer.ok()
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("node", &self.0.node).finish_non_exhaustive()
    }
}

/// Delivers an event to those of an audience that are on the thread where it runs.
fn walk(audience: &Audience, event: &Arc<Envelope>) -> impl FnOnce(&Local) -> GroupReport + Send + use<> {
    let (audience, event) = (audience.clone(), event.clone());
    move |local| local.walk(&audience, &event)
}

/// What became of an event at one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    Delivered,
    /// The capacity that it has.
    Full(usize),
    /// Its client is to read so many bytes first.
    Slow(usize),
    /// It is closing, or closed.
    Gone,
}
