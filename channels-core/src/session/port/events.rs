//! The events that a connection is delivered.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use tracing::field;

use super::{Place, Port};
use crate::{
    event::{Envelope, Rendered},
    frame::{Outgoing, Shared},
    layer::{ChannelName, Delivery, GroupName, Hub},
    session::{Panic, state::Phase},
};

impl Port {
    /// Gives the connection its place in a channel layer, once.
    pub(crate) fn seat(&self, channel: ChannelName, hub: Hub) {
        let capacity = hub.limits().capacity_of(&channel);
        self.span.record("channel", field::display(&channel));
        let _ = self.place.set(Place { channel, hub, capacity });
    }

    pub(in crate::session) fn channel(&self) -> Option<String> {
        self.place.get().map(|place| place.channel.to_string())
    }

    /// How many groups it is in, and the names of the first of them.
    pub(in crate::session) fn groups(&self) -> (usize, Vec<GroupName>) {
        self.place.get().map(|place| place.hub.groups_of(&place.channel)).unwrap_or_default()
    }

    pub(in crate::session) fn is_in(&self, group: &GroupName) -> bool {
        self.place.get().is_some_and(|place| place.hub.is_in(&place.channel, group))
    }

    /// Takes an event for the consumer. What a pure handler makes of it goes straight to the client, unless something
    /// that came before it still waits.
    pub(crate) fn deliver(self: &Rc<Self>, event: &Arc<Envelope>) -> Delivery {
        let phase = self.phase();
        if matches!(phase, Phase::Closing | Phase::Closed) || self.is_ending() {
            return Delivery::Gone;
        }
        if let Some(close) = event.close() {
            self.close(close.clone());
            return Delivery::Delivered;
        }
        if let Some(wire) = self.wire.get() {
            wire.expect_more();
        }
        if phase == Phase::Open && self.events.borrow().is_empty() && !self.handling.get() {
            match self.render(event) {
                Rendered::NotPure => {}
                Rendered::Failed => return Delivery::Gone,
                Rendered::Made(shared) => return self.write_shared(shared),
            }
        }
        let capacity = self.place.get().map_or(usize::MAX, |place| place.capacity);
        if self.waiting_events() >= capacity {
            self.forget_expired();
        }
        if self.waiting_events() >= capacity {
            self.stats.count(|counts| counts.dropped_full += 1);
            return Delivery::Full(capacity);
        }
        self.events.borrow_mut().push_back(event.clone());
        self.wake_session();
        Delivery::Delivered
    }

    pub(crate) fn waiting_events(&self) -> usize {
        self.events.borrow().len()
    }

    fn write_shared(self: &Rc<Self>, shared: &Arc<Shared>) -> Delivery {
        match self.write(Outgoing::Shared(shared.clone())) {
            Ok(()) => Delivery::Delivered,
            Err(_) => Delivery::Slow(self.config.max_waiting_bytes),
        }
    }

    /// What the consumer's pure handlers make of an event: made by the first member that asks, for all of its type.
    fn render<'a>(&self, event: &'a Envelope) -> &'a Rendered {
        let class = &self.stats.class;
        event.rendered(class.id, || {
            let error = match Panic::catch(|| (class.render)(event)) {
                Ok(None) => return Rendered::NotPure,
                Ok(Some(Ok(message))) => return Rendered::Made(Arc::new(Shared::new(message))),
                Ok(Some(Err(error))) => format!("{error:?}"),
                Err(panic) => panic.to_string(),
            };
            self.stats.count(|counts| counts.failures += 1);
            tracing::error!(consumer = class.name, event = event.name(), error, "a pure handler failed");
            Rendered::Failed
        })
    }

    /// Sends what a pure handler makes of an event that had to wait; `false` when the consumer has none for it.
    pub(crate) fn send_pure(self: &Rc<Self>, event: &Envelope) -> bool {
        let delivery = match self.render(event) {
            Rendered::NotPure => return false,
            Rendered::Failed => Delivery::Gone,
            Rendered::Made(shared) => self.write_shared(shared),
        };
        if let Some(place) = self.place.get() {
            match delivery {
                Delivery::Delivered => {}
                Delivery::Gone => place.hub.count_gone(1),
                Delivery::Full(_) => place.hub.count_full(1),
                Delivery::Slow(_) => place.hub.count_slow(1),
            }
        }
        true
    }

    pub(crate) fn take_event(&self) -> Option<Arc<Envelope>> {
        if self.waiting_events() == 0 {
            return None;
        }
        self.forget_expired();
        let mut events = self.events.borrow_mut();
        let event = events.pop_front();
        if events.is_empty() && events.capacity() > 32 {
            *events = VecDeque::new();
        }
        event
    }

    /// Drops the events that have waited too long.
    fn forget_expired(&self) {
        let Some(place) = self.place.get() else { return };
        let mut events = self.events.borrow_mut();
        let expiry = place.hub.limits().expiry;
        let expired = events.iter().take_while(|event| event.age() >= expiry).count();
        if expired > 0 {
            events.drain(..expired);
            place.hub.count_expired(expired);
            self.stats.count(|counts| counts.dropped_expired += expired as u64);
        }
    }

    pub(crate) fn forget_events(&self) -> usize {
        std::mem::take(&mut *self.events.borrow_mut()).len()
    }

    /// The consumer is given an event.
    pub(crate) fn count_event(&self) {
        self.took_event.set(true);
        self.stats.count(|counts| counts.events += 1);
    }

    /// Whether the consumer was given any: what its type counts is others' as well.
    pub(crate) fn took_event(&self) -> bool {
        self.took_event.get()
    }

    pub(crate) fn set_handling(&self, handling: bool) {
        self.handling.set(handling);
    }
}
