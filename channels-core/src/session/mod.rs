//! The session: runs the life of a connection's consumer, and writes to its client. The only file that names
//! `actix-web-actors`.
//!
//! Until the handshake is answered a session is an [`Opening`]. Then it is either a task with the client's socket of its
//! own, which is the short way, or an actor that streams the response of an HTTP server, which works in anybody's. When
//! the connection ends before the consumer has, the rest of the life goes on as a task of the thread: so `disconnect` runs
//! whatever the end is.

mod access;
mod closes;
mod flusher;
mod heartbeat;
mod inflow;
mod lasting;
mod life;
mod line;
#[cfg(test)]
pub(crate) mod nobody;
mod outbox;
mod panic;
mod port;
mod roster;
mod state;
mod stats;
mod unhandled;
mod wire;

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, ready},
};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext};
use actix_web::body::{BodySize, MessageBody};
use actix_web_actors::HttpContext;
use bytes::Bytes;
use futures_util::{Stream, future::LocalBoxFuture};
use tokio::time::timeout;

#[cfg(any(feature = "testing", feature = "metrics", target_os = "linux"))]
pub(crate) use self::roster::TICK;
#[cfg(feature = "metrics")]
pub(crate) use self::stats::Hook;
pub use self::{closes::Closes, stats::Counts};
pub(crate) use self::{
    flusher::Flusher,
    inflow::ClientBytes,
    lasting::{Asker, Given, Home, Homes, Inbox, Lasting, Link, Reply, SessionId},
    life::live,
    line::Line,
    panic::{Panic, note_places},
    port::{Answer, Class, Cut, Port},
    roster::{Connection, Drain, Inspect, Keeper, Roster, ThreadReport},
    stats::{Board, Stats},
    wire::Wire,
};
use crate::{frame::Outgoing, transport::websocket::Encoder};

/// A session whose handshake is not answered. Dropping it drops the connection.
pub(crate) struct Opening(Rc<Port>);

impl Opening {
    pub(crate) fn new(port: Rc<Port>, life: LocalBoxFuture<'static, ()>) -> Self {
        port.put_life(life);
        Self(port)
    }

    /// Runs the life until it answers the handshake; `None` when it ends without an answer.
    pub(crate) fn poll_answer(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Answer>> {
        let ended = self.0.poll_life(task).is_ready();
        match self.0.take_answer() {
            None if !ended => Poll::Pending,
            answer => Poll::Ready(answer),
        }
    }

    /// Goes on as a task that reads and writes the client's socket.
    pub(crate) fn take_over(self, wire: Wire) {
        let life = self.0.take_life().unwrap_or_else(|| Box::pin(std::future::ready(())));
        self.0.plug(wire);
        actix_rt::spawn(live_on_wire(self.0.clone(), life));
    }

    /// Goes on without a client of its own: carriers come and go. Whoever gets the life runs it.
    pub(crate) fn into_life(self) -> LocalBoxFuture<'static, ()> {
        self.0.take_life().unwrap_or_else(|| Box::pin(std::future::ready(())))
    }

    /// Goes on as the body of the answer.
    pub(crate) fn into_body(self, encoder: Encoder) -> Body {
        let (port, life) = (self.0.clone(), self.0.take_life());
        drop(self);
        if let Some(life) = life {
            port.put_life(life);
        }
        Body { actor: Box::pin(HttpContext::create(Session(port.clone()))), port, encoder, ended: false }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.live_on_without_response("the connection was lost");
    }
}

/// Runs a life, and writes what it leaves.
async fn live_on_wire(port: Rc<Port>, mut life: LocalBoxFuture<'static, ()>) {
    poll_fn(|task| port.attend(task, |task| life.as_mut().poll(task))).await;
    drop(life);
    // A client whose close frame was waited for in vain has had its time.
    if port.phase() != state::Phase::Closing {
        let written = poll_fn(|task| port.attend(task, |_| port.poll_written()));
        // By itself, so that the timer takes no room before it is needed.
        let _ = Box::pin(timeout(port.config.close_timeout, written)).await;
    }
    port.unplug();
}

/// The actor of one connection. It runs the consumer's life, a future that goes to the end of `disconnect`.
struct Session(Rc<Port>);

impl Actor for Session {
    type Context = HttpContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Turn);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.0.live_on_without_response("the connection was lost");
    }
}

/// One turn of the session: the life goes on as far as it can.
struct Turn;

impl ActorFuture<Session> for Turn {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut HttpContext<Session>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        ready!(session.0.poll_life(task));
        ctx.stop();
        Poll::Ready(())
    }
}

/// The response to a request ends before it is complete: the connection is dropped, so that the client can tell.
#[derive(Debug, thiserror::Error)]
#[error("the response was broken off")]
pub(crate) struct BrokenOff;

/// The body of a session's response: the frames of its outbox, encoded for the wire.
pub(crate) struct Body {
    actor: Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::Error>>>>,
    port: Rc<Port>,
    encoder: Encoder,
    ended: bool,
}

impl Body {
    fn poll_actor(&mut self, task: &mut task::Context<'_>) {
        if !self.ended {
            self.ended = matches!(self.actor.as_mut().poll_next(task), Poll::Ready(None));
        }
    }

    fn poll_frame(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.port.poll_outgoing(task).map(|frame| match frame? {
            Outgoing::Close(_) if self.encoder.is_raw() => Some(Err(BrokenOff)),
            frame => Some(Ok(self.encoder.encode(&frame))),
        })
    }
}

impl MessageBody for Body {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = &mut *self;
        if let Poll::Ready(frame) = body.poll_frame(task) {
            return Poll::Ready(frame);
        }
        body.poll_actor(task);
        match body.poll_frame(task) {
            Poll::Pending if body.ended => Poll::Ready(None),
            frame => frame,
        }
    }
}
