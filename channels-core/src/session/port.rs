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

use actix_web::{HttpResponse, dev::Payload, http::StatusCode};
use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;
use tracing::{Span, field};

use super::{
    heartbeat::Signs,
    lasting::Carried,
    outbox::Outbox,
    state::{Phase, Step},
    stats::Stats,
    wire::{Flushed, Wire},
};
use crate::{
    Close, CloseCode, Message, Result, Scope,
    consumer::{Accept, Deny, WriteError},
    event::{Envelope, Rendered},
    frame::{Outgoing, Shared},
    layer::{ChannelName, Delivery, Hub},
    scope::Protocol,
    server::{Config, SlowClient},
};

/// What a consumer's type does with events, without an instance of it.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    pub(crate) id: TypeId,
    pub(crate) protocol: Protocol,
    pub(crate) name: &'static str,
    pub(crate) render: fn(&Envelope) -> Option<Result<Message>>,
}

/// How the handshake is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Accept(Accept),
    /// The response to a request, whole or begun.
    Respond(HttpResponse),
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
    /// What is logged while the consumer runs is logged within it.
    pub(crate) span: Span,
    class: Class,
    protocol: Protocol,
    /// What a request brings, until its consumer takes it.
    payload: RefCell<Option<Payload>>,
    phase: Cell<Phase>,
    accepted: Cell<bool>,
    answer: RefCell<Option<Answer>>,
    ending: RefCell<Option<Ending>>,
    events: RefCell<VecDeque<Arc<Envelope>>>,
    place: OnceCell<Place>,
    /// A handler runs: what it sends goes before what comes after its event.
    handling: Cell<bool>,
    outbox: RefCell<Outbox>,
    /// Whoever else takes frames out of the outbox, while it waits for one.
    writer: RefCell<Option<Waker>>,
    /// The client sent something before it was answered.
    early: Cell<bool>,
    /// The socket, once the session has it.
    wire: OnceCell<Wire>,
    /// Counted as a connection.
    counted: Cell<bool>,
    /// What a session has that outlives its carriers.
    carried: OnceCell<Box<Carried>>,
    /// The consumer's life, while nobody runs it.
    life: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    /// Messages that were dropped because the client reads too slowly.
    dropped: Cell<u64>,
    /// Since when something has waited and nothing been written.
    stalled: Cell<Option<Instant>>,
    session: RefCell<Option<Waker>>,
    opened: Instant,
    heard: Cell<Instant>,
    /// Whether anything came since somebody looked: a message costs no look at the clock.
    heard_since: Cell<bool>,
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
            span: tracing::info_span!(
                "connection",
                path = scope.path(),
                consumer = class.name,
                client = scope.client().map(field::display),
                channel = field::Empty,
            ),
            class,
            path: scope.path().to_owned(),
            client: scope.client(),
            protocol: scope.protocol(),
            payload: RefCell::default(),
            stats,
            phase: Cell::new(Phase::Connecting),
            answer: RefCell::default(),
            accepted: Cell::default(),
            ending: RefCell::default(),
            events: RefCell::default(),
            place: OnceCell::new(),
            handling: Cell::new(false),
            outbox: RefCell::new(Outbox::new(config.max_waiting_bytes)),
            writer: RefCell::default(),
            early: Cell::default(),
            wire: OnceCell::new(),
            counted: Cell::new(true),
            carried: OnceCell::new(),
            life: RefCell::default(),
            dropped: Cell::default(),
            stalled: Cell::default(),
            session: RefCell::default(),
            opened: Instant::now(),
            heard: Cell::new(Instant::now()),
            heard_since: Cell::default(),
            pinged: Cell::default(),
            reading: Cell::new(true),
            config,
        })
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Whether a client's handshake was accepted.
    pub(crate) fn was_accepted(&self) -> bool {
        self.accepted.get() && self.protocol != Protocol::Channel
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
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
        self.accepted.set(true);
        self.answer.replace(Some(Answer::Accept(accept)));
        self.wake_session();
        Ok(())
    }

    /// Begins the response to a request.
    pub(crate) fn respond(&self, response: HttpResponse) -> Result<(), WriteError> {
        self.step(Step::Accept)?;
        self.accepted.set(true);
        self.answer.replace(Some(Answer::Respond(response)));
        self.wake_session();
        Ok(())
    }

    /// Completes the response to a request.
    pub(crate) fn complete(self: &Rc<Self>) -> Result<(), WriteError> {
        self.step(Step::Send)?;
        let _ = self.step(Step::Gone);
        self.finish();
        self.end(Close::new(CloseCode::NORMAL, ""), Cut::AfterGrace);
        Ok(())
    }

    /// Whether nothing waits to be written, and nothing will be.
    pub(crate) fn is_written(&self) -> bool {
        let outbox = self.outbox.borrow();
        outbox.is_finished() && !outbox.is_waiting()
    }

    pub(crate) fn put_payload(&self, payload: Payload) {
        self.payload.replace(Some(payload));
    }

    pub(crate) fn take_payload(&self) -> Option<Payload> {
        self.payload.take()
    }

    /// Refuses the handshake, if it is not answered.
    pub(crate) fn refuse(self: &Rc<Self>, deny: Deny) {
        if self.phase() == Phase::Connecting {
            let _ = self.step(Step::Close);
            self.answer.replace(Some(Answer::Refuse(deny)));
            self.end(Close::new(CloseCode::ABNORMAL, "the handshake was refused"), Cut::AfterGrace);
        }
    }

    pub(crate) fn send(self: &Rc<Self>, message: Message) -> Result<(), WriteError> {
        self.write(Outgoing::Message(message))
    }

    fn write(self: &Rc<Self>, frame: Outgoing) -> Result<(), WriteError> {
        self.step(Step::Send)?;
        if self.protocol == Protocol::Channel {
            return Err(WriteError::NoClient);
        }
        if !self.outbox.borrow().has_room(frame.len()) {
            // Only what the client does not take counts against it.
            self.flush();
        }
        if matches!(self.config.slow_client, SlowClient::DropOldest) {
            let dropped = self.outbox.borrow_mut().make_room(frame.len());
            self.drop_slow(dropped as u64);
        }
        let key = match self.config.slow_client {
            SlowClient::Coalesce(key) if self.is_behind() => frame.message().and_then(key),
            _ => None,
        };
        let written = match key {
            Some(key) => self.outbox.borrow_mut().replace_or_push(key, frame).map(|replaced| self.drop_slow(replaced)),
            None => self.outbox.borrow_mut().push(frame),
        };
        if written.is_ok() {
            self.stats.count(|counts| counts.deliveries += 1);
            if let Some(carried) = self.carried.get() {
                carried.shrink(self.config.max_waiting_bytes.saturating_sub(self.outbox.borrow().bytes()));
            }
            self.expect_write();
        } else {
            self.drop_slow(1);
            if matches!(self.config.slow_client, SlowClient::Close | SlowClient::Coalesce(_)) {
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
    pub(crate) fn close(self: &Rc<Self>, close: Close) {
        match self.phase() {
            Phase::Connecting if self.protocol == Protocol::Http => {
                return self.refuse(Deny::new(StatusCode::SERVICE_UNAVAILABLE));
            }
            Phase::Connecting => return self.refuse(Deny::forbidden()),
            Phase::Open if self.protocol == Protocol::Channel => {
                let _ = self.step(Step::Gone);
            }
            Phase::Open if self.protocol == Protocol::Http => {
                let _ = self.step(Step::Gone);
                self.outbox.borrow_mut().close(close.clone());
                self.finish();
            }
            Phase::Open => {
                let _ = self.step(Step::Close);
                self.outbox.borrow_mut().close(close.clone());
                self.expect_write();
            }
            Phase::Closing | Phase::Closed => return,
        }
        self.end(close, Cut::AfterGrace);
    }

    // What the client does.

    pub(crate) fn peer_closed(self: &Rc<Self>, close: Option<Close>) {
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
    pub(crate) fn gone(self: &Rc<Self>, reason: &'static str) {
        let _ = self.step(Step::Gone);
        if let Some(wire) = self.wire.get() {
            // A client that sends no more may still read what was on its way.
            wire.flush(&mut self.outbox.borrow_mut(), || ());
            wire.abandon();
        }
        self.outbox.borrow_mut().clear();
        self.finish();
        self.end(Close::vanished(reason), Cut::AfterGrace);
    }

    pub(crate) fn pong(self: &Rc<Self>, payload: bytes::Bytes) {
        if self.phase() != Phase::Closed {
            self.outbox.borrow_mut().pong(payload);
            self.expect_write();
        }
    }

    /// Anything that arrives shows that the client lives.
    pub(crate) fn heard(&self) {
        self.heard_since.set(true);
        self.pinged.set(None);
    }

    /// The client sends before it is answered, which RFC 6455, section 4.1, forbids. What it sent is in more than one place
    /// then: its socket cannot be taken over.
    pub(super) fn set_early(&self) {
        self.early.set(true);
    }

    pub(super) fn is_early(&self) -> bool {
        self.early.get()
    }

    pub(super) fn set_reading(&self, reading: bool) {
        self.reading.set(reading);
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        let kept = self.carried.get().map_or(0, |carried| carried.bytes());
        self.outbox.borrow().bytes() + kept + self.wire.get().map_or(0, Wire::bytes)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The signs of life there were. That nothing is written is noticed by looking twice.
    pub(super) fn signs(&self, now: Instant) -> Signs {
        if let Some(carried) = self.carried.get() {
            // Its carriers see to it that the client lives.
            let (opened, away) = (self.opened, carried.away());
            return Signs { opened, heard: now, pinged: None, reading: false, stalled: None, away };
        }
        let unwritten = |wire: &Wire| wire.bytes() > 0 || wire.is_blocked();
        let waiting = self.outbox.borrow().is_waiting() || self.wire.get().is_some_and(unwritten);
        let stalled = waiting.then(|| self.stalled.get().unwrap_or(now));
        self.stalled.set(stalled);
        if self.heard_since.take() {
            self.heard.set(now);
        }
        let (heard, pinged, reading) = (self.heard.get(), self.pinged.get(), self.reading.get());
        Signs { opened: self.opened, heard, pinged, reading, stalled, away: None }
    }

    pub(crate) fn ping(self: &Rc<Self>) {
        self.pinged.set(Some(Instant::now()));
        self.outbox.borrow_mut().ping();
        self.expect_write();
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
    pub(crate) fn finish(self: &Rc<Self>) {
        self.outbox.borrow_mut().finish();
        self.expect_write();
    }

    // The life, for whoever runs it.

    pub(super) fn put_life(&self, life: LocalBoxFuture<'static, ()>) {
        self.life.replace(Some(life));
    }

    pub(super) fn take_life(&self) -> Option<LocalBoxFuture<'static, ()>> {
        self.life.take()
    }

    /// Lets the life go on as far as it can.
    pub(super) fn poll_life(&self, task: &mut Context<'_>) -> Poll<()> {
        if let Some(mut life) = self.take_life()
            && life.as_mut().poll(task).is_pending()
        {
            self.put_life(life);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The connection is gone: its response is not polled any more, and the rest of the life goes on as a task of the
    /// thread.
    pub(super) fn live_on_without_response(self: &Rc<Self>, reason: &'static str) {
        if let Some(life) = self.take_life() {
            self.gone(reason);
            actix_rt::spawn(life);
        }
    }

    /// Drops a connection that nothing can be written to.
    pub(super) fn cut(self: &Rc<Self>, reason: &'static str) {
        match self.wire.get() {
            Some(_) => self.gone(reason),
            None => self.live_on_without_response(reason),
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
        let mut outbox = self.outbox.borrow_mut();
        match outbox.pop_control().or_else(|| outbox.pop()) {
            Some(frame) => {
                self.stalled.set(None);
                Poll::Ready(Some(frame))
            }
            None if outbox.is_finished() => Poll::Ready(None),
            None => {
                self.writer.replace(Some(task.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Sees to it that what was put into the outbox is written, once however much it is.
    fn expect_write(self: &Rc<Self>) {
        if let Some(wire) = self.wire.get() {
            wire.list(self);
        } else if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    // The socket, once it is the session's own.

    /// Gives the session its socket: it writes to the client by itself from now on.
    pub(super) fn plug(self: &Rc<Self>, wire: Wire) {
        let _ = self.wire.set(wire);
        self.expect_write();
    }

    pub(super) fn unplug(&self) {
        if let Some(wire) = self.wire.get() {
            wire.hang_up();
        }
    }

    /// Whether the client does not take what waits for it: it is not read from meanwhile.
    pub(super) fn is_blocked(&self) -> bool {
        match self.wire.get() {
            Some(wire) => wire.is_blocked(),
            None => self.carried.get().is_some() && self.outbox.borrow().bytes() > self.config.max_waiting_bytes / 2,
        }
    }

    /// Makes this the port of a session that has a carrier now and then.
    pub(super) fn carry(&self) {
        self.carried.get_or_init(Box::default);
    }

    pub(super) fn carried(&self) -> Option<&Carried> {
        self.carried.get().map(|carried| &**carried)
    }

    /// The connection is over, though its port is still there.
    pub(super) fn discount(&self) {
        if self.counted.take() {
            self.stats.count(|counts| counts.connections -= 1);
        }
    }

    /// A carrier has taken some of what waits: the client may be read from again.
    pub(super) fn relieved(&self) {
        self.wake_session();
    }

    /// Whether the client has not taken what came before.
    fn is_behind(&self) -> bool {
        self.wire.get().map_or_else(|| self.outbox.borrow().is_waiting(), Wire::is_blocked)
    }

    pub(super) fn wire(&self) -> Option<&Wire> {
        self.wire.get()
    }

    /// Runs a turn of the session's task. What it sends is written when those have had their turn that are ready as well.
    pub(super) fn attend<T>(
        self: &Rc<Self>,
        task: &mut Context<'_>,
        turn: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(wire) = self.wire.get() else { return turn(task) };
        wire.set_task(task);
        if wire.is_blocked() {
            self.flush();
        }
        turn(task)
    }

    /// Whether all that waits is written, or nothing can be.
    pub(super) fn poll_written(self: &Rc<Self>) -> Poll<()> {
        if self.flush() == Flushed::Blocked { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Writes for the flusher, on whose list the connection was.
    pub(super) fn flush_listed(self: &Rc<Self>) {
        if let Some(wire) = self.wire.get() {
            wire.unlist();
            self.flush();
        }
    }

    /// Writes what waits, as far as the client takes it.
    pub(super) fn flush(self: &Rc<Self>) -> Flushed {
        let Some(wire) = self.wire.get() else { return Flushed::All };
        let flushed = wire.flush(&mut self.outbox.borrow_mut(), || self.stalled.set(None));
        match flushed {
            Flushed::Finished => wire.hang_up(),
            Flushed::Lost if self.phase() != Phase::Closed => self.gone("the connection was lost"),
            Flushed::All | Flushed::Blocked | Flushed::Lost => {}
        }
        flushed
    }

    // Events.

    /// Gives the connection its place in a channel layer, once.
    pub(crate) fn seat(&self, channel: ChannelName, hub: Hub) {
        let capacity = hub.limits().capacity_of(&channel);
        self.span.record("channel", field::display(&channel));
        let _ = self.place.set(Place { channel, hub, capacity });
    }

    pub(super) fn channel(&self) -> Option<String> {
        self.place.get().map(|place| place.channel.to_string())
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
    pub(crate) fn send_pure(self: &Rc<Self>, event: &Envelope) -> bool {
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
        self.discount();
    }
}
