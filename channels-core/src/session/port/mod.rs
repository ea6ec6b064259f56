//! What the rest of a thread may do to a connection.

mod client;
mod events;
mod life;
mod sending;
mod writing;

use std::{
    any::TypeId,
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use actix_web::{HttpResponse, dev::Payload};
use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;
use tracing::{Span, field};

use super::{
    lasting::Carried,
    outbox::Outbox,
    state::{Phase, Step},
    stats::Stats,
    wire::Wire,
};
use crate::{
    Close, Message, Result, Scope,
    consumer::{Accept, Deny, WriteError},
    event::Envelope,
    layer::{ChannelName, Hub},
    scope::Protocol,
    server::Config,
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
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) close: Close,
    pub(crate) at: Instant,
    pub(crate) cut: Cell<Cut>,
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
/// All of them live on one thread, so cells are enough; no borrow outlasts a method. What a delivery touches comes first and
/// lies together: the members of a room are seldom in the processor's caches, and each line of them has to be fetched.
#[repr(C)]
pub(crate) struct Port {
    phase: Cell<Phase>,
    protocol: Protocol,
    /// A handler runs: what it sends goes before what comes after its event.
    handling: Cell<bool>,
    /// The consumer was given an event.
    took_event: Cell<bool>,
    accepted: Cell<bool>,
    /// Counted as a connection.
    counted: Cell<bool>,
    /// Whether anything came since somebody looked: a message costs no look at the clock.
    heard_since: Cell<bool>,
    /// Whether what the client sends is read now.
    reading: Cell<bool>,
    pub(crate) config: Arc<Config>,
    pub(crate) stats: Rc<Stats>,
    ending: OnceCell<Box<Ending>>,
    /// What a session has that outlives its carriers.
    carried: OnceCell<Box<Carried>>,
    /// The socket, once the session has it.
    wire: OnceCell<Box<Wire>>,
    events: RefCell<VecDeque<Arc<Envelope>>>,
    session: RefCell<Option<Waker>>,
    outbox: RefCell<Outbox>,
    /// Whoever else takes frames out of the outbox, while it waits for one.
    writer: Cell<Option<Waker>>,
    place: OnceCell<Place>,
    pub(crate) path: String,
    pub(crate) client: Option<SocketAddr>,
    /// What is logged while the consumer runs is logged within it.
    pub(crate) span: Span,
    /// What a request brings, until its consumer takes it.
    payload: Cell<Option<Payload>>,
    answer: Cell<Option<Box<Answer>>>,
    /// The consumer's life, while nobody runs it.
    life: Cell<Option<LocalBoxFuture<'static, ()>>>,
    /// Messages that were dropped because the client reads too slowly.
    dropped: Cell<u64>,
    /// Since when something has waited and nothing been written.
    stalled: Cell<Option<Instant>>,
    opened: Instant,
    heard: Cell<Instant>,
    pinged: Cell<Option<Instant>>,
}

impl Port {
    pub(crate) fn new(config: Arc<Config>, scope: &Scope, stats: Rc<Stats>) -> Rc<Self> {
        stats.count(|counts| counts.connections += 1);
        Rc::new(Self {
            span: tracing::info_span!(
                "connection",
                path = scope.path(),
                consumer = stats.class.name,
                peer = scope.client().map(field::display),
                channel = field::Empty,
            ),
            path: scope.path().to_owned(),
            client: scope.client(),
            protocol: scope.protocol(),
            payload: Cell::default(),
            stats,
            phase: Cell::new(Phase::Connecting),
            answer: Cell::default(),
            accepted: Cell::default(),
            ending: OnceCell::new(),
            events: RefCell::default(),
            place: OnceCell::new(),
            handling: Cell::new(false),
            took_event: Cell::default(),
            outbox: RefCell::new(Outbox::new(config.max_waiting_bytes)),
            writer: Cell::default(),
            wire: OnceCell::new(),
            counted: Cell::new(true),
            carried: OnceCell::new(),
            life: Cell::default(),
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
        self.stats.class
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
}

impl Drop for Port {
    fn drop(&mut self) {
        self.drop_events();
        self.drop_gone(self.waiting_messages());
        self.discount();
    }
}
