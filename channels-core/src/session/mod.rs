//! The session: the actor that owns a connection's consumer and streams its response. The only file that names
//! `actix-web-actors`.
//!
//! A session's body stream is the response: polling it runs the actor, which runs the consumer's hooks, and yields the
//! frames that wait in the outbox. When the response ends before the consumer has, by a lost connection or a refused
//! handshake, the rest of the life goes on as a task of the thread: so `disconnect` runs whatever the end is.

mod access;
mod heartbeat;
mod life;
mod line;
mod outbox;
mod port;
mod roster;
mod state;
mod stats;
mod unhandled;

use std::{
    any::Any,
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext};
use actix_web::body::{BodySize, MessageBody};
use actix_web_actors::HttpContext;
use bytes::Bytes;
use futures_util::{Stream, future::LocalBoxFuture};

#[cfg(feature = "testing")]
pub(crate) use self::roster::TICK;
#[cfg(feature = "metrics")]
pub(crate) use self::stats::Hook;
pub(crate) use self::{
    life::live,
    line::Line,
    port::{Answer, Class, Cut, Port},
    roster::{Connection, Drain, Inspect, Keeper, Roster, ThreadReport},
    stats::{Counts, Stats},
};
use crate::transport::websocket::Encoder;

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
        if let Some(mut life) = session.0.take_life()
            && life.as_mut().poll(task).is_pending()
        {
            session.0.put_life(life);
            return Poll::Pending;
        }
        ctx.stop();
        Poll::Ready(())
    }
}

/// The body of a session's response: the frames of its outbox, encoded for the wire.
pub(crate) struct Body {
    actor: Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::Error>>>>,
    port: Rc<Port>,
    encoder: Encoder,
    ended: bool,
}

impl Body {
    pub(crate) fn new(port: Rc<Port>, life: LocalBoxFuture<'static, ()>, encoder: Encoder) -> Self {
        port.put_life(life);
        Self { actor: Box::pin(HttpContext::create(Session(port.clone()))), port, encoder, ended: false }
    }

    /// Runs the session until it answers the handshake.
    pub(crate) fn poll_answer(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Answer>> {
        self.poll_actor(task);
        match self.port.take_answer() {
            None if !self.ended => Poll::Pending,
            answer => Poll::Ready(answer),
        }
    }

    fn poll_actor(&mut self, task: &mut task::Context<'_>) {
        if !self.ended {
            self.ended = matches!(self.actor.as_mut().poll_next(task), Poll::Ready(None));
        }
    }

    fn poll_frame(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Bytes>> {
        self.port.poll_outgoing(task).map(|frame| frame.map(|frame| self.encoder.encode(&frame)))
    }
}

impl MessageBody for Body {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = &mut *self;
        if let Poll::Ready(frame) = body.poll_frame(task) {
            return Poll::Ready(frame.map(Ok));
        }
        body.poll_actor(task);
        match body.poll_frame(task) {
            Poll::Pending if body.ended => Poll::Ready(None),
            frame => frame.map(|frame| frame.map(Ok)),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}
