//! The connections of one worker thread, as an actor: it pings them, and ends them when the server stops.

use std::{cell::RefCell, rc::Rc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use slab::Slab;
use tokio::{sync::Notify, time::Instant};

use super::{
    heartbeat::{Due, due},
    port::{Cut, Port},
};
use crate::{Close, CloseCode};

/// How often quiet connections are looked for.
const TICK: Duration = Duration::from_secs(1);

/// The connections of one worker thread.
#[derive(Clone, Default)]
pub(crate) struct Roster(Rc<Sessions>);

#[derive(Default)]
struct Sessions {
    ports: RefCell<Slab<Rc<Port>>>,
    emptied: Notify,
}

impl Roster {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(&self, port: Rc<Port>) -> Entry {
        let key = self.0.ports.borrow_mut().insert(port);
        Entry { roster: self.clone(), key }
    }

    fn ports(&self) -> Vec<Rc<Port>> {
        self.0.ports.borrow().iter().map(|(_, port)| port.clone()).collect()
    }

    fn beat(&self) {
        let now = Instant::now();
        for port in self.ports() {
            let config = &port.config;
            match due(now, port.heard_at(), port.pinged_at(), config.ping_interval, config.ping_timeout) {
                Due::Nothing => {}
                Due::Ping => port.ping(),
                Due::Close => port.close(Close::new(CloseCode::PING_TIMEOUT, "no answer to a ping")),
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
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut ports = self.roster.0.ports.borrow_mut();
        ports.remove(self.key);
        if ports.is_empty() {
            self.roster.0.emptied.notify_one();
        }
    }
}

/// The actor of one worker thread.
pub(crate) struct Keeper(pub(crate) Roster);

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |keeper, _| keeper.0.beat());
    }
}

/// Ends every connection of the thread; answered when all have ended.
#[derive(Clone)]
pub(crate) struct Drain(pub(crate) Close);

impl Message for Drain {
    type Result = ();
}

impl Handler<Drain> for Keeper {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Drain(close): Drain, _: &mut Self::Context) -> Self::Result {
        for port in self.0.ports() {
            port.end(close.clone(), Cut::AfterGrace);
        }
        Box::pin(self.0.clone().emptied().into_actor(self).map(|(), _, _| ()))
    }
}
