//! What the connections of one type of consumer have done on one thread: counted on the way of a message, without
//! atomics, and added up by who asks.

use std::{any::TypeId, cell::RefCell, collections::HashMap, ops::AddAssign, rc::Rc, time::Duration};

use serde::Serialize;

use super::{closes::Closes, port::Class};

/// What connections have done since the server started; only `connections` also falls.
///
/// A request of an [`HttpConsumer`](crate::HttpConsumer) is a connection for as long as its response is open. Workers have no
/// connections and are not counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that reached `connect`.
    pub opened: u64,
    /// Messages of clients.
    pub inputs: u64,
    /// Events that consumers were given, with a handler for it or without; pure handlers' are counted as deliveries only.
    pub events: u64,
    /// Messages on their way to clients.
    pub deliveries: u64,
    /// Messages dropped because a client reads too slowly; when it is closed for that, also those that waited for it, and
    /// when it comes back to a session too late, those that are not kept any more.
    pub dropped_slow: u64,
    /// Events dropped because the connection had no room.
    pub dropped_full: u64,
    /// Events dropped because they had waited too long.
    pub dropped_expired: u64,
    /// Messages that waited for a client, and events that waited for the consumer, when their connection was lost, cut or over.
    pub dropped_gone: u64,
    /// Connections that were cut, by the server or the system, because their client took no bytes any more.
    pub stalled: u64,
    /// Hooks that failed, panicked, or were cancelled; a pure handler once for all members.
    pub failures: u64,
    /// Connections that were accepted and have ended, by close code.
    pub closes: Closes,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.opened += other.opened;
        self.inputs += other.inputs;
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.dropped_slow += other.dropped_slow;
        self.dropped_full += other.dropped_full;
        self.dropped_expired += other.dropped_expired;
        self.dropped_gone += other.dropped_gone;
        self.stalled += other.stalled;
        self.failures += other.failures;
        self.closes += other.closes;
    }
}

/// The hooks whose time is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    Connect,
    Receive,
    Handler,
    Disconnect,
}

/// When a hook started, where somebody wants to know how long it runs.
pub(super) struct Timer {
    #[cfg(feature = "metrics")]
    started: std::time::Instant,
}

impl Timer {
    pub(super) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            started: std::time::Instant::now(),
        }
    }
}

/// The counts of one type of consumer on one thread.
pub(crate) struct Stats {
    pub(super) class: Class,
    counts: RefCell<Counts>,
    #[cfg(feature = "metrics")]
    meter: crate::metrics::Meter,
}

impl Stats {
    pub(crate) fn new(class: Class) -> Rc<Self> {
        Rc::new(Self {
            class,
            counts: RefCell::default(),
            #[cfg(feature = "metrics")]
            meter: crate::metrics::Meter::new(class.name),
        })
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.borrow_mut());
    }

    /// Notes how long a hook has run.
    pub(super) fn took(&self, hook: Hook, timer: &Timer) {
        #[cfg(feature = "metrics")]
        self.meter.hook(hook, timer.started.elapsed().as_secs_f64());
        #[cfg(not(feature = "metrics"))]
        let _ = (hook, timer);
    }

    /// Notes how long an event has waited for its handler.
    pub(super) fn lag(&self, age: Duration) {
        #[cfg(feature = "metrics")]
        self.meter.lag(age.as_secs_f64());
        #[cfg(not(feature = "metrics"))]
        let _ = age;
    }
}

#[cfg(feature = "metrics")]
impl Hook {
    pub(crate) const ALL: [Self; 4] = [Self::Connect, Self::Receive, Self::Handler, Self::Disconnect];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Receive => "receive",
            Self::Handler => "handler",
            Self::Disconnect => "disconnect",
        }
    }
}

/// The counts of a thread, by type of consumer.
#[derive(Default)]
pub(crate) struct Board(RefCell<HashMap<TypeId, Rc<Stats>>>);

impl Board {
    pub(crate) fn of(&self, class: Class) -> Rc<Stats> {
        self.0.borrow_mut().entry(class.id).or_insert_with(|| Stats::new(class)).clone()
    }

    pub(crate) fn counts(&self) -> Vec<(&'static str, Counts)> {
        self.0.borrow().values().map(|stats| (stats.class.name, *stats.counts.borrow())).collect()
    }
}
