//! What the rest of a thread may do to a connection.

use std::{
    any::TypeId,
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

use super::{
    heartbeat::Signs,
    outbox::Outbox,
    state::{Phase, Step},
    stats::Stats,
};
use crate::{
    Close, CloseCode, Message, Result, Scope,
    consumer::{Accept, Deny, WriteError},
    event::{CloseConnection, Envelope, Rendered},
    frame::{Outgoing, Shared},
    layer::{ChannelName, Delivery, Hub},
    scope::Protocol,
    server::{Config, SlowClient},
};

/// What a consumer's type does with events, without an instance of it.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) render: fn(&Envelope) -> Option<Result<Message>>,
}

/// How the handshake is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Accept(Accept),
    Refuse(Deny),
}

/// Why a connection ends, and how long the hook that runs may go on.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) close: Close,
    pub(crate) at: Instant,
    pub(crate) cut: Cut,
}

/// A connection's place in its channel layer.
struct Place {
    channel: ChannelName,
    hub: Hub,
    /// How many events it holds.
    capacity: usize,
}

/// When a hook that still runs is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    Now,
    AfterGrace,
}

/// One connection, as the layer's walk, the roster, the writer and the session itself share it.
///
/// All of them live on one thread, so cells are enough; no borrow outlasts a method.
pub(crate) struct Port {
    pub(crate) config: Arc<Config>,
    pub(crate) path: String,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) stats: Rc<Stats>,
    class: Class,
    /// Whether nobody is at the other end: a worker's consumer.
    clientless: bool,
    phase: Cell<Phase>,
    answer: RefCell<Option<Answer>>,
    accepted: Cell<bool>,
    ending: RefCell<Option<Ending>>,
    events: RefCell<VecDeque<Arc<Envelope>>>,
    place: OnceCell<Place>,
    /// A handler runs: what it sends goes before what comes after its event.
    handling: Cell<bool>,
    outbox: RefCell<Outbox>,
    /// The consumer's life, while nobody runs it.
    life: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    /// Messages that were dropped because the client reads too slowly.
    dropped: Cell<u64>,
    /// Since when something has waited and nothing been written.
    stalled: Cell<Option<Instant>>,
    session: RefCell<Option<Waker>>,
    opened: Instant,
    heard: Cell<Instant>,
    pinged: Cell<Option<Instant>>,
    /// Whether what the client sends is read now.
    reading: Cell<bool>,
}

impl Port {
    pub(crate) fn new(config: Arc<Config>, class: Class, scope: &Scope, stats: Rc<Stats>) -> Rc<Self> {
        stats.count(|counts| {
            counts.opened += 1;
            counts.connections += 1;
        });
        Rc::new(Self {
            class,
            path: scope.path().to_owned(),
            client: scope.client(),
            clientless: scope.protocol() == Protocol::Channel,
            stats,
            phase: Cell::new(Phase::Connecting),
            answer: RefCell::default(),
            accepted: Cell::default(),
            ending: RefCell::default(),
            events: RefCell::default(),
            place: OnceCell::new(),
            handling: Cell::new(false),
            outbox: RefCell::new(Outbox::new(config.max_waiting_bytes)),
            life: RefCell::default(),
            dropped: Cell::default(),
            stalled: Cell::default(),
            session: RefCell::default(),
            opened: Instant::now(),
            heard: Cell::new(Instant::now()),
            pinged: Cell::default(),
            reading: Cell::new(true),
            config,
        })
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Whether the handshake was ever accepted.
    pub(crate) fn was_accepted(&self) -> bool {
        self.accepted.get()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    fn step(&self, step: Step) -> Result<(), WriteError> {
        self.phase.get().after(step).map(|phase| self.phase.set(phase))
    }

    // What the consumer does.

    pub(crate) fn accept(&self, accept: Accept) -> Result<(), WriteError> {
        self.step(Step::Accept)?;
        self.answer.replace(Some(Answer::Accept(accept)));
        self.accepted.set(true);
        self.wake_session();
        Ok(())
    }

    /// Refuses the handshake, if it is not answered.
    pub(crate) fn refuse(&self, deny: Deny) {
        if self.phase() == Phase::Connecting {
            let _ = self.step(Step::Close);
            self.answer.replace(Some(Answer::Refuse(deny)));
            self.end(Close::new(CloseCode::ABNORMAL, "the handshake was refused"), Cut::AfterGrace);
        }
    }

    pub(crate) fn send(&self, message: Message) -> Result<(), WriteError> {
        self.write(Outgoing::Message(message))
    }

    fn write(&self, frame: Outgoing) -> Result<(), WriteError> {
        self.step(Step::Send)?;
        if self.clientless {
            return Err(WriteError::NoClient);
        }
        if self.config.slow_client == SlowClient::DropOldest {
            let dropped = self.outbox.borrow_mut().make_room(frame.len());
            self.drop_slow(dropped as u64);
        }
        let written = self.outbox.borrow_mut().push(frame);
        if written.is_ok() {
            self.stats.count(|counts| counts.deliveries += 1);
        } else {
            self.drop_slow(1);
            if self.config.slow_client == SlowClient::Close {
                self.outbox.borrow_mut().clear();
                self.close(Close::new(CloseCode::TOO_SLOW, "the client reads too slowly"));
            }
        }
        written
    }

    fn drop_slow(&self, messages: u64) {
        self.dropped.set(self.dropped.get() + messages);
        self.stats.count(|counts| counts.dropped_slow += messages);
    }

    /// Sends the close frame, or refuses a handshake that is not answered. Later calls change nothing.
    pub(crate) fn close(&self, close: Close) {
        match self.phase() {
            Phase::Connecting => return self.refuse(Deny::forbidden()),
            Phase::Open if self.clientless => {
                let _ = self.step(Step::Gone);
            }
            Phase::Open => {
                let _ = self.step(Step::Close);
                self.outbox.borrow_mut().close(close.clone());
            }
            Phase::Closing | Phase::Closed => return,
        }
        self.end(close, Cut::AfterGrace);
    }

    // What the client does.

    pub(crate) fn peer_closed(&self, close: Option<Close>) {
        let echo = self.phase() == Phase::Open;
        let _ = self.step(Step::PeerClosed);
        let close = close.unwrap_or_else(|| Close::new(CloseCode::NO_STATUS, ""));
        if echo {
            self.outbox.borrow_mut().close(Close::new(close.code, ""));
        }
        self.finish();
        self.end(close.by_client(), Cut::AfterGrace);
    }

    /// The connection is gone: nothing can be sent, and nobody reads what waits.
    pub(crate) fn gone(&self, reason: &'static str) {
        let _ = self.step(Step::Gone);
        self.outbox.borrow_mut().clear();
        self.finish();
        self.end(Close::vanished(reason), Cut::AfterGrace);
    }

    pub(crate) fn pong(&self, payload: bytes::Bytes) {
        if self.phase() != Phase::Closed {
            self.outbox.borrow_mut().pong(payload);
        }
    }

    /// Anything that arrives shows that the client lives.
    pub(crate) fn heard(&self) {
        self.heard.set(Instant::now());
        self.pinged.set(None);
    }

    pub(super) fn set_reading(&self, reading: bool) {
        self.reading.set(reading);
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The signs of life there were. That nothing is written is noticed by looking twice.
    pub(super) fn signs(&self, now: Instant) -> Signs {
        let stalled = self.outbox.borrow().is_waiting().then(|| self.stalled.get().unwrap_or(now));
        self.stalled.set(stalled);
        let (heard, pinged, reading) = (self.heard.get(), self.pinged.get(), self.reading.get());
        Signs { opened: self.opened, heard, pinged, reading, stalled }
    }

    pub(crate) fn ping(&self) {
        self.pinged.set(Some(Instant::now()));
        self.outbox.borrow_mut().ping();
    }

    // The end.

    /// Asks the session to end; the first reason counts, the most urgent cut does.
    pub(crate) fn end(&self, close: Close, cut: Cut) {
        let mut ending = self.ending.borrow_mut();
        match &mut *ending {
            None => *ending = Some(Ending { close, at: Instant::now(), cut }),
            Some(ending) if cut == Cut::Now => ending.cut = Cut::Now,
            Some(_) => return,
        }
        drop(ending);
        self.wake_session();
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.borrow().clone()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// The response ends behind the frames that wait.
    pub(crate) fn finish(&self) {
        self.outbox.borrow_mut().finish();
    }

    // The life, for whoever runs it.

    pub(super) fn put_life(&self, life: LocalBoxFuture<'static, ()>) {
        self.life.replace(Some(life));
    }

    pub(super) fn take_life(&self) -> Option<LocalBoxFuture<'static, ()>> {
        self.life.take()
    }

    /// The connection is gone: its response is not polled any more, and the rest of the life goes on as a task of the
    /// thread.
    pub(super) fn live_on_without_response(&self, reason: &'static str) {
        if let Some(life) = self.take_life() {
            self.gone(reason);
            actix_rt::spawn(life);
        }
    }

    /// Whether the end has come and the life has not run since: its response is not polled, because nothing can be
    /// written to the client.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_ending() && self.session.borrow().is_none()
    }

    // The answer and the frames, for whoever writes them.

    pub(crate) fn take_answer(&self) -> Option<Answer> {
        self.answer.take()
    }

    pub(crate) fn poll_outgoing(&self, task: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let frame = self.outbox.borrow_mut().poll_next(task);
        if frame.is_ready() {
            self.stalled.set(None);
        }
        frame
    }

    // Events.

    /// Gives the connection its place in a channel layer, once.
    pub(crate) fn seat(&self, channel: ChannelName, hub: Hub) {
        let capacity = hub.limits().capacity_of(&channel);
        let _ = self.place.set(Place { channel, hub, capacity });
    }

    pub(super) fn channel(&self) -> Option<String> {
        self.place.get().map(|place| place.channel.to_string())
    }

    /// Takes an event for the consumer. What a pure handler makes of it goes straight to the client, unless something
    /// that came before it still waits.
    pub(crate) fn deliver(&self, event: &Arc<Envelope>) -> Delivery {
        let phase = self.phase();
        if matches!(phase, Phase::Closing | Phase::Closed) || self.is_ending() {
            return Delivery::Gone;
        }
        if let Some(close) = CloseConnection::asked_by(event) {
            self.close(close);
            return Delivery::Delivered;
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

    fn write_shared(&self, shared: &Arc<Shared>) -> Delivery {
        match self.write(Outgoing::Shared(shared.clone())) {
            Ok(()) => Delivery::Delivered,
            Err(_) => Delivery::Full(self.config.max_waiting_bytes),
        }
    }

    /// What the consumer's pure handlers make of an event: made by the first member that asks, for all of its type.
    fn render<'a>(&self, event: &'a Envelope) -> &'a Rendered {
        event.rendered(self.class.id, || {
            let rendered = catch_unwind(AssertUnwindSafe(|| (self.class.render)(event)));
            let error = match rendered {
                Ok(None) => return Rendered::NotPure,
                Ok(Some(Ok(message))) => return Rendered::Made(Arc::new(Shared::new(message))),
                Ok(Some(Err(error))) => format!("{error:?}"),
                Err(panic) => super::panic_text(&*panic),
            };
            tracing::error!(consumer = self.class.name, event = event.name(), error, "a pure handler failed");
            Rendered::Failed
        })
    }

    /// Sends what a pure handler makes of an event that had to wait; `false` when the consumer has none for it.
    pub(crate) fn send_pure(&self, event: &Envelope) -> bool {
        match self.render(event) {
            Rendered::NotPure => return false,
            Rendered::Failed => {}
            Rendered::Made(shared) => {
                self.write_shared(shared);
            }
        }
        true
    }

    pub(crate) fn take_event(&self) -> Option<Arc<Envelope>> {
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

    pub(crate) fn set_handling(&self, handling: bool) {
        self.handling.set(handling);
    }

    // Waking.

    pub(crate) fn register_session(&self, waker: &Waker) {
        let mut session = self.session.borrow_mut();
        if session.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *session = Some(waker.clone());
        }
    }

    /// Wakes the session once, however much happens before it comes.
    fn wake_session(&self) {
        if let Some(waker) = self.session.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stats.count(|counts| counts.connections -= 1);
    }
}
