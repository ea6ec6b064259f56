//! The connections of one thread, and the actor through which other threads reach them.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    marker::PhantomData,
    rc::Rc,
    sync::{Arc, Weak, atomic::Ordering},
};

use actix::{Actor, Context, Handler, Message, MessageResult};
use indexmap::IndexMap;
use slab::Slab;
use uuid::Uuid;

use super::{
    Delivery, Hub, Shared,
    address::{Address, SeatId},
};
use crate::{
    event::Envelope,
    layer::{Audience, ChannelName, GroupName, GroupReport},
    room,
    session::Port,
};

/// Tasks that may wait for one thread before those who send more have to wait themselves.
const MAILBOX: usize = 1_024;

thread_local! {
    /// The hubs that have connections on this thread.
    static LOCALS: RefCell<Vec<Rc<Local>>> = const { RefCell::new(Vec::new()) };
}

/// The connections of one hub on this thread.
pub(super) struct Local {
    pub(super) thread: u32,
    hub: Weak<Shared>,
    /// Whether the actor runs. Its address is the hub's alone, so that it ends with the hub.
    alive: Cell<bool>,
    seats: RefCell<Slab<Occupied>>,
    groups: RefCell<HashMap<GroupName, IndexMap<usize, Rc<Port>>>>,
}

struct Occupied {
    nonce: u32,
    port: Rc<Port>,
    name: ChannelName,
    groups: Vec<GroupName>,
}

/// What a walk over some connections of one thread has done so far.
#[derive(Default)]
struct Walk {
    report: GroupReport,
    gone: usize,
}

impl Walk {
    fn count(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Delivered => self.report.delivered += 1,
            Delivery::Full(_) => self.report.full += 1,
            Delivery::Slow(_) => self.report.slow += 1,
            Delivery::Gone => self.gone += 1,
        }
    }
}

impl Local {
    /// The connections of `hub` on this thread, if there are or were any.
    pub(super) fn of(hub: &Hub) -> Option<Rc<Self>> {
        LOCALS.try_with(|locals| locals.borrow().iter().find(|local| local.is_of(hub)).cloned()).ok().flatten()
    }

    /// The same; starts this thread's actor for `hub` if there is none.
    fn of_or_start(hub: &Hub) -> Rc<Self> {
        Self::of(hub).unwrap_or_else(|| {
            let local = Rc::new(Self {
                thread: hub.0.next_thread.fetch_add(1, Ordering::Relaxed),
                hub: Arc::downgrade(&hub.0),
                alive: Cell::new(true),
                seats: RefCell::default(),
                groups: RefCell::default(),
            });
            let addr = HubThread(local.clone()).start();
            hub.0.threads.pin().insert(local.thread, addr);
            LOCALS.with_borrow_mut(|locals| {
                locals.retain(|local| local.hub.strong_count() > 0);
                locals.push(local.clone());
            });
            local
        })
    }

    fn is_of(&self, hub: &Hub) -> bool {
        std::ptr::eq(self.hub.as_ptr(), Arc::as_ptr(&hub.0)) && self.alive.get()
    }

    /// Changes whether this thread is among those that have members of `group`.
    fn set_present(&self, group: &GroupName, present: bool) {
        if let Some(shared) = self.hub.upgrade() {
            shared.groups.change(group, |reach| {
                reach.threads.retain(|thread| *thread != self.thread);
                if present {
                    reach.threads.push(self.thread);
                }
            });
        }
    }

    pub(super) fn join(&self, seat: SeatId, group: &GroupName) {
        let mut seats = self.seats.borrow_mut();
        let Some(occupied) = seats.get_mut(seat.key).filter(|occupied| occupied.nonce == seat.nonce) else { return };
        if occupied.groups.contains(group) {
            return;
        }
        room::push(&mut occupied.groups, group.clone());
        let mut groups = self.groups.borrow_mut();
        let members = groups.entry(group.clone()).or_default();
        members.insert(seat.key, occupied.port.clone());
        if members.len() == 1 {
            self.set_present(group, true);
        }
    }

    pub(super) fn leave(&self, seat: SeatId, group: &GroupName) {
        let mut seats = self.seats.borrow_mut();
        let Some(occupied) = seats.get_mut(seat.key).filter(|occupied| occupied.nonce == seat.nonce) else { return };
        occupied.groups.retain(|name| name != group);
        self.remove(seat.key, group);
    }

    fn remove(&self, key: usize, group: &GroupName) {
        let mut groups = self.groups.borrow_mut();
        let Some(members) = groups.get_mut(group) else { return };
        members.swap_remove(&key);
        if members.is_empty() {
            groups.remove(group);
            self.set_present(group, false);
        } else if let Some(room) = room::to_keep(members.len(), members.capacity()) {
            members.shrink_to(room);
        }
        if let Some(room) = room::to_keep(groups.len(), groups.capacity()) {
            groups.shrink_to(room);
        }
    }

    /// Gives back the room of a crowd when the last one leaves.
    fn shrink(&self) {
        let mut seats = self.seats.borrow_mut();
        if !seats.is_empty() {
            return;
        }
        seats.shrink_to_fit();
        self.groups.borrow_mut().shrink_to_fit();
        if let Some(hub) = self.hub.upgrade() {
            hub.groups.flush();
        }
    }

    pub(super) fn post(&self, seat: SeatId, event: &Arc<Envelope>) -> Delivery {
        let port = match self.seats.borrow().get(seat.key) {
            Some(occupied) if occupied.nonce == seat.nonce => occupied.port.clone(),
            _ => return Delivery::Gone,
        };
        port.deliver(event)
    }

    pub(super) fn post_each(&self, seats: &[SeatId], event: &Arc<Envelope>) -> GroupReport {
        let mut walk = Walk::default();
        for seat in seats {
            walk.count(self.post(*seat, event));
        }
        self.end(walk)
    }

    pub(super) fn post_all(&self, event: &Arc<Envelope>) {
        let ports: Vec<_> = self.seats.borrow().iter().map(|(_, occupied)| occupied.port.clone()).collect();
        for port in ports {
            port.deliver(event);
        }
    }

    /// Delivers an event to the members of an audience; to who is in several of its groups, once.
    pub(super) fn walk(&self, audience: &Audience, event: &Arc<Envelope>) -> GroupReport {
        let skip = self.keys(audience.except());
        let mut walk = Walk::default();
        if let Some(group) = audience.single() {
            for (key, port) in self.groups.borrow().get(group).into_iter().flatten() {
                if !skip.contains(key) {
                    walk.count(port.deliver(event));
                }
            }
        } else {
            let mut seen: HashSet<_> = skip.into_iter().collect();
            for group in audience.without() {
                seen.extend(self.groups.borrow().get(group).into_iter().flat_map(IndexMap::keys));
            }
            for group in audience.groups() {
                for (key, port) in self.groups.borrow().get(group).into_iter().flatten() {
                    if seen.insert(*key) {
                        walk.count(port.deliver(event));
                    }
                }
            }
        }
        self.end(walk)
    }

    /// Counts what a walk has lost, and gives its report.
    fn end(&self, walk: Walk) -> GroupReport {
        if walk.report.full + walk.report.slow + walk.gone > 0
            && let Some(shared) = self.hub.upgrade()
        {
            let hub = Hub(shared);
            hub.count_full(walk.report.full);
            hub.count_slow(walk.report.slow);
            hub.count_gone(walk.gone);
        }
        walk.report
    }

    /// The keys of those of these channels that are connections of this thread.
    fn keys(&self, channels: &[ChannelName]) -> Vec<usize> {
        if channels.is_empty() {
            return Vec::new();
        }
        let (seats, Some(shared)) = (self.seats.borrow(), self.hub.upgrade()) else { return Vec::new() };
        let key = |channel| match Address::parse(channel, &shared.head) {
            Address::Session(seat) if seat.thread == self.thread => {
                seats.get(seat.key).filter(|occupied| occupied.nonce == seat.nonce).map(|_| seat.key)
            }
            _ => None,
        };
        channels.iter().filter_map(key).collect()
    }

    /// The first members of a group, up to `limit` of them.
    pub(super) fn members(&self, group: &GroupName, limit: usize) -> Vec<ChannelName> {
        let (groups, seats) = (self.groups.borrow(), self.seats.borrow());
        let keys = groups.get(group).into_iter().flat_map(IndexMap::keys).take(limit);
        keys.filter_map(|key| seats.get(*key)).map(|occupied| occupied.name.clone()).collect()
    }

    pub(super) fn size(&self, group: &GroupName) -> usize {
        self.groups.borrow().get(group).map_or(0, IndexMap::len)
    }

    /// Tells the groups of a connection.
    pub(super) fn with_groups_of<R>(&self, seat: SeatId, tell: impl FnOnce(&[GroupName]) -> R) -> Option<R> {
        let seats = self.seats.borrow();
        seats.get(seat.key).filter(|occupied| occupied.nonce == seat.nonce).map(|occupied| tell(&occupied.groups))
    }

    pub(super) fn flush(&self) {
        for (group, _) in self.groups.borrow_mut().drain() {
            self.set_present(&group, false);
        }
        for (_, occupied) in self.seats.borrow_mut().iter_mut() {
            occupied.groups.clear();
            occupied.port.forget_events();
        }
    }
}

/// A connection's place in a hub; leaving it leaves every group.
pub(crate) struct Seat {
    local: Rc<Local>,
    id: SeatId,
    name: ChannelName,
}

impl Seat {
    pub(super) fn take(hub: Hub, port: Rc<Port>) -> Self {
        let local = Local::of_or_start(&hub);
        let (id, name) = {
            let mut seats = local.seats.borrow_mut();
            let entry = seats.vacant_entry();
            let nonce = Uuid::new_v4().as_fields().0;
            let id = SeatId { thread: local.thread, key: entry.key(), nonce };
            let name = Address::Session(id).name(hub.head());
            port.seat(name.clone(), hub);
            entry.insert(Occupied { nonce, port, name: name.clone(), groups: Vec::new() });
            (id, name)
        };
        Self { local, id, name }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let occupied = self.local.seats.borrow_mut().remove(self.id.key);
        for group in &occupied.groups {
            self.local.remove(self.id.key, group);
        }
        self.local.shrink();
    }
}

/// The actor of one thread.
pub(super) struct HubThread(Rc<Local>);

impl Drop for HubThread {
    fn drop(&mut self) {
        self.0.alive.set(false);
    }
}

impl Actor for HubThread {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

/// A task for another thread's connections.
pub(super) struct Run<F, R>(F, PhantomData<fn() -> R>);

impl<F, R> Run<F, R>
where
    F: FnOnce(&Local) -> R,
{
    pub(super) fn new(task: F) -> Self {
        Self(task, PhantomData)
    }
}

impl<F, R: 'static> Message for Run<F, R> {
    type Result = R;
}

impl<F, R> Handler<Run<F, R>> for HubThread
where
    F: FnOnce(&Local) -> R,
    R: 'static,
{
    type Result = MessageResult<Run<F, R>>;

    fn handle(&mut self, task: Run<F, R>, _: &mut Self::Context) -> Self::Result {
        MessageResult((task.0)(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use bytestring::ByteString;

    use super::*;
    use crate::{layer::Limits, session::nobody};

    fn sit_down(hub: &Hub) -> Seat {
        hub.sit_down(nobody::port(Default::default(), nobody::class()))
    }

    #[test]
    fn what_a_thread_keeps_for_a_hub_ends_with_the_hub() {
        crate::run(async {
            let hub = Hub::new(Limits::default());
            let local = Rc::downgrade(&Local::of_or_start(&hub));
            assert!(Local::of(&hub).is_some());
            drop(hub);
            // The actor learns that nobody has its address any more; the next hub makes room for itself.
            tokio::task::yield_now().await;
            Local::of_or_start(&Hub::new(Limits::default()));
            assert!(local.upgrade().is_none());
        });
    }

    #[test]
    fn the_index_forgets_a_group_that_nobody_is_in() {
        crate::run(async {
            let hub = Hub::new(Limits::default());
            let group = GroupName::new("room").unwrap();
            let (first, second) = (sit_down(&hub), sit_down(&hub));
            for channel in [first.name(), second.name(), &hub.new_channel()] {
                hub.group_add(&group, channel).await;
                hub.group_discard(&group, channel).await;
                assert!(hub.0.groups.read().is_empty());
            }
            hub.group_add(&group, first.name()).await;
            hub.group_add(&group, second.name()).await;
            drop(first);
            assert_eq!(hub.group_channels(&group).await, [second.name().clone()]);
            drop(second);
            assert!(hub.0.groups.read().is_empty());

            let third = sit_down(&hub);
            hub.group_add(&group, third.name()).await;
            hub.group_add(&group, &hub.new_channel()).await;
            hub.flush().await;
            assert!(hub.0.groups.read().is_empty());
        });
    }

    #[test]
    fn nothing_is_kept_of_a_group_when_the_last_connection_has_left() {
        crate::run(async {
            let hub = Hub::new(Limits::default());
            let letters: Arc<[u8]> = Arc::from(*b"room");
            let name = ByteString::try_from(Bytes::from_owner(letters.clone())).unwrap();
            let group = GroupName::new(name).unwrap();
            let seat = sit_down(&hub);
            hub.group_add(&group, seat.name()).await;
            drop(group);
            drop(seat);
            assert_eq!(Arc::strong_count(&letters), 1);
        });
    }

    #[test]
    fn a_hub_outlives_the_runtime_of_a_thread() {
        let hub = Hub::new(Limits::default());
        let thread = || crate::run(async { Local::of_or_start(&hub).thread });
        assert_ne!(thread(), thread());
        assert!(Local::of(&hub).is_none());
    }
}
