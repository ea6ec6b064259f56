//! The connections of one worker thread, as an actor: it pings them, and ends them when the server stops.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseActFuture, WrapFuture};
use serde::Serialize;
use slab::Slab;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    flusher::Flusher,
    heartbeat::{Due, due},
    outbox::trim_spares,
    port::{Class, Cut, Port},
    state::Phase,
    stats::{Board, Counts, Stats},
};
use crate::{Close, GroupName, Layers, layer::Page, scope::Protocol, server::Guest};

/// How often quiet connections are looked for.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Connections that a stopping server ends at once.
const BATCH: usize = 100;
/// The mean pause between two such batches, at most.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of one worker thread.
#[derive(Clone, Default)]
pub(crate) struct Roster(Rc<Sessions>);

#[derive(Default)]
struct Sessions {
    ports: RefCell<Slab<Rc<Port>>>,
    board: Board,
    emptied: Notify,
}

impl Roster {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(&self, port: Rc<Port>, guest: Option<Guest>) -> Entry {
        let key = self.0.ports.borrow_mut().insert(port);
        Entry { roster: self.clone(), key, guest }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.0.ports.borrow().len()
    }

    /// Where the connections of this type of consumer are counted.
    pub(crate) fn stats(&self, class: Class) -> Rc<Stats> {
        self.0.board.of(class)
    }

    fn ports(&self) -> Vec<Rc<Port>> {
        self.0.ports.borrow().iter().map(|(_, port)| port.clone()).collect()
    }

    /// Does what is due on each connection.
    pub(crate) fn beat(&self) {
        let now = Instant::now();
        // Before the handshake is answered a client can neither be pinged nor told why it is closed: that has a deadline.
        for port in self.ports().into_iter().filter(|port| port.phase() != Phase::Connecting) {
            match due(now, port.signs(now), &port.config) {
                Due::Nothing => {}
                // There is no word for it in a response.
                Due::Ping if port.protocol() == Protocol::Http => {}
                Due::Ping => port.ping(),
                Due::Close(close) => port.close(close),
                Due::Cut => {
                    port.stats.count(|counts| counts.stalled += 1);
                    port.cut("the client stopped reading");
                }
            }
        }
    }

    async fn emptied(self) {
        while !self.0.ports.borrow().is_empty() {
            self.0.emptied.notified().await;
        }
    }
}

/// A connection's line in the roster.
pub(crate) struct Entry {
    roster: Roster,
    key: usize,
    guest: Option<Guest>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut ports = self.roster.0.ports.borrow_mut();
        let port = ports.remove(self.key);
        // A session that outlives its carriers is there until its client has had its last words.
        if let Some(carried) = port.carried() {
            carried.keep(self.guest.take());
        }
        if ports.is_empty() {
            ports.shrink_to_fit();
            self.roster.0.emptied.notify_waiters();
        }
    }
}

/// The actor of one worker thread.
pub(crate) struct Keeper {
    roster: Roster,
    flusher: Flusher,
    #[cfg(feature = "metrics")]
    publisher: crate::metrics::Publisher,
}

impl Keeper {
    /// Keeps this roster, and the flusher of its connections; `worker` tells the threads of a process apart, and `layers` are
    /// what they share.
    pub(crate) fn new(roster: Roster, flusher: Flusher, worker: usize, layers: Layers) -> Self {
        #[cfg(not(feature = "metrics"))]
        let _ = (worker, layers);
        Self {
            roster,
            flusher,
            #[cfg(feature = "metrics")]
            publisher: crate::metrics::Publisher::new(worker, layers),
        }
    }

    fn tick(&mut self) {
        self.roster.beat();
        trim_spares(self.roster.len());
        self.flusher.trim(self.roster.len());
        #[cfg(feature = "metrics")]
        for (consumer, counts) in self.roster.0.board.counts() {
            let ports = self.roster.0.ports.borrow();
            let waiting = ports.iter().filter(|(_, port)| port.class().name == consumer);
            self.publisher.publish(consumer, counts, waiting.map(|(_, port)| port.waiting_bytes()).sum());
        }
        #[cfg(feature = "metrics")]
        self.publisher.publish_layers();
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // An actor whose thread stops before its first turn is started outside of the runtime, to be stopped.
        if tokio::runtime::Handle::try_current().is_ok() {
            ctx.run_interval(TICK, |keeper, _| keeper.tick());
        }
    }
}

/// Ends every connection of the thread, in batches so that not all clients come back at once; answered when all have
/// ended.
#[derive(Clone)]
pub(crate) struct Drain {
    pub(crate) close: Close,
    /// Half of this time is for the batches.
    pub(crate) within: Duration,
}

impl Message for Drain {
    type Result = ();
}

impl Handler<Drain> for Keeper {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Drain { close, within }: Drain, _: &mut Self::Context) -> Self::Result {
        let roster = self.roster.clone();
        let drain = async move {
            let ports = roster.ports();
            let pause = within / 2 / u32::try_from(ports.len() / BATCH + 1).unwrap_or(u32::MAX);
            for (index, port) in ports.iter().enumerate() {
                if index > 0 && index % BATCH == 0 {
                    sleep(pause.min(PAUSE).mul_f32(fastrand::f32() * 2.0)).await;
                }
                port.end(close.clone(), Cut::AfterGrace);
            }
            if timeout(within / 2, roster.clone().emptied()).await.is_err() {
                for port in roster.ports().iter().filter(|port| port.is_stuck()) {
                    port.cut("the client stopped reading");
                }
                roster.emptied().await;
            }
        };
        Box::pin(drain.into_actor(self))
    }
}

/// Asks what a thread's connections are, a page of them, and what they have done.
pub(crate) struct Inspect {
    pub(crate) page: Page,
    /// Those alone that are in this group.
    pub(crate) group: Option<GroupName>,
}

/// The answer.
pub(crate) struct ThreadReport {
    /// How many connections there are, of which these are a page.
    pub(crate) total: usize,
    pub(crate) connections: Vec<Connection>,
    pub(crate) counts: Vec<(&'static str, Counts)>,
}

/// One connection, as an operator sees it.
#[derive(Serialize)]
pub(crate) struct Connection {
    pub(crate) consumer: &'static str,
    pub(crate) path: String,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) channel: Option<String>,
    /// How many groups it is in.
    pub(crate) group_count: usize,
    /// The first of them.
    pub(crate) groups: Vec<GroupName>,
    /// For how many seconds it has been open.
    pub(crate) seconds: f64,
    pub(crate) waiting_events: usize,
    pub(crate) waiting_bytes: usize,
    /// Messages dropped because the client reads too slowly.
    pub(crate) dropped: u64,
}

impl Message for Inspect {
    type Result = ThreadReport;
}

impl Handler<Inspect> for Keeper {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, Inspect { page, group }: Inspect, _: &mut Self::Context) -> Self::Result {
        let connection = |port: &Rc<Port>| {
            let (group_count, groups) = port.groups();
            Connection {
                consumer: port.class().name,
                path: port.path.clone(),
                client: port.client,
                channel: port.channel(),
                group_count,
                groups,
                seconds: port.age().as_secs_f64(),
                waiting_events: port.waiting_events(),
                waiting_bytes: port.waiting_bytes(),
                dropped: port.dropped(),
            }
        };
        let ports = self.roster.0.ports.borrow();
        let shown = ports.iter().map(|(_, port)| port);
        let shown = shown.filter(|port| group.as_ref().is_none_or(|group| port.is_in(group)));
        MessageResult(ThreadReport {
            total: if group.is_none() { ports.len() } else { shown.clone().count() },
            connections: shown.skip(page.offset).take(page.limit).map(connection).collect(),
            counts: self.roster.0.board.counts(),
        })
    }
}
