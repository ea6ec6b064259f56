//! One stream: a session of its own within the connection's.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context as Task, Poll},
};

use actix_rt::task::JoinHandle;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Close, CloseCode, ClosedBy, Context, Error, Message, Result, Scope,
    frame::{Incoming, Outgoing},
    routing::Endpoint,
    session::{Answer, Line, Port, Stats},
    transport::Transport,
};

/// Messages that wait for one stream's consumer.
const BEHIND: usize = 16;

/// How many streams of a connection go on.
pub(super) type Siblings = Rc<Cell<usize>>;

/// A stream, as the connection's consumer sees it.
pub(super) struct Stream {
    port: Rc<Port>,
    input: mpsc::Sender<Message>,
    answer: Option<oneshot::Receiver<Answer>>,
    open: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// What a stream's consumer sends.
#[derive(Serialize)]
struct Sent<'a, P: Serialize> {
    stream: &'a str,
    payload: P,
}

/// How a stream ended.
#[derive(Serialize)]
struct Closed<'a> {
    stream: &'a str,
    closed: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: u16,
    reason: &'a str,
}

impl Stream {
    /// Begins a consumer's life: a task of the thread, which runs its hooks and passes on what it sends.
    pub(super) fn start(
        name: &str,
        scope: Scope,
        endpoint: &Endpoint,
        connection: &Context,
        siblings: &Siblings,
    ) -> Result<Self> {
        let layer = connection.layers().get(endpoint.layer())?.clone();
        let outer = connection.port().clone();
        let port = Port::new(outer.config.clone(), &scope, Stats::new(endpoint.class()));
        let (input, messages) = mpsc::channel(BEHIND);
        let line = Line::new(Box::new(Messages(messages)), port.clone());
        let cx = Context::new(port.clone(), scope, connection.layers().clone(), layer);
        let life = endpoint.start(cx, line).map_err(Error::msg)?;
        let ((tell, answer), (open, opened)) = (oneshot::channel(), oneshot::channel());
        let siblings = siblings.clone();
        siblings.set(siblings.get() + 1);
        let task =
            Pump { name: name.to_owned(), port: port.clone(), outer, life: Some(life), tell: Some(tell), siblings };
        let running = actix_rt::spawn(task.run(opened));
        Ok(Self { port, input, answer: Some(answer), open: Some(open), running })
    }

    /// How its consumer answered the handshake; `None` when it ended without.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        self.answer.take()?.await.ok()
    }

    /// The connection is accepted: what the consumer sent may go out.
    pub(super) fn open(&mut self) {
        self.open.take();
    }

    /// Hands its consumer a message; waits while too many wait there. One that has ended does not get it.
    pub(super) async fn give(&self, message: Message) {
        let _ = self.input.send(message).await;
    }

    /// Ends it as the connection has ended; resolves when its consumer's `disconnect` has run.
    pub(super) async fn end(self, close: &Close) {
        let Self { port, input, open, running, .. } = self;
        match close.by {
            ClosedBy::Client => port.peer_closed(Some(close.clone())),
            ClosedBy::Server => port.close(close.clone()),
        }
        drop((input, open));
        let _ = running.await;
    }
}

/// The task of a stream.
struct Pump {
    name: String,
    port: Rc<Port>,
    outer: Rc<Port>,
    life: Option<LocalBoxFuture<'static, ()>>,
    tell: Option<oneshot::Sender<Answer>>,
    siblings: Siblings,
}

impl Pump {
    async fn run(mut self, opened: oneshot::Receiver<()>) {
        let mut opened = Some(opened);
        let mut last = None;
        poll_fn(|task| {
            let mut over = self.poll_life(task);
            if let Some(wait) = &mut opened
                && (over || Pin::new(wait).poll(task).is_ready())
            {
                opened = None;
            }
            if opened.is_none() {
                while let Poll::Ready(Some(frame)) = self.port.poll_outgoing(task) {
                    let close = if let Outgoing::Close(close) = &frame { Some(close.clone()) } else { None };
                    self.pass(frame);
                    if close.is_some() {
                        last = close;
                        // Its close is answered, for which it may have waited.
                        over = self.poll_life(task);
                    }
                }
            }
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.siblings.set(self.siblings.get() - 1);
        // Where none was accepted, the connection's consumer refuses.
        if self.siblings.get() == 0 && self.port.was_accepted() {
            self.outer.close(last.unwrap_or_else(|| Close::new(CloseCode::NORMAL, "")));
        }
    }

    /// Runs the consumer as far as it goes; whether its life is over.
    fn poll_life(&mut self, task: &mut Task<'_>) -> bool {
        if let Some(life) = &mut self.life
            && life.as_mut().poll(task).is_ready()
        {
            self.life = None;
        }
        if let Some(answer) = self.port.take_answer()
            && let Some(tell) = self.tell.take()
        {
            let _ = tell.send(answer);
        }
        self.life.is_none()
    }

    /// Passes what the consumer sends on to the connection. What that has no room for is counted and dealt with there.
    fn pass(&self, frame: Outgoing) {
        match frame {
            Outgoing::Message(message) => self.send(&message),
            Outgoing::Shared(shared) => self.send(&shared.message),
            Outgoing::Close(close) => {
                tell_closed(&self.outer, &self.name, &close);
                // Nobody answers a stream's close but us.
                self.port.peer_closed(None);
            }
            Outgoing::Ping | Outgoing::Pong(_) => {}
        }
    }

    fn send(&self, message: &Message) {
        let stream = &self.name;
        let Some(text) = message.as_text() else {
            tracing::error!(stream, "a stream cannot send binary messages: this one is dropped");
            return;
        };
        let frame = match serde_json::from_str::<&RawValue>(text) {
            Ok(payload) => Message::json(&Sent { stream, payload }),
            Err(_) => Message::json(&Sent { stream, payload: text }),
        };
        let _ = self.outer.send(frame.expect("texts and JSON are JSON"));
    }
}

pub(super) fn tell_closed(outer: &Rc<Port>, stream: &str, close: &Close) {
    let closed = Reason { code: close.code.get(), reason: &close.reason };
    let _ = outer.send(Message::json(&Closed { stream, closed }).expect("texts and numbers are JSON"));
}

/// The messages of one stream as a transport. It is gone when the connection's consumer lets go of it.
struct Messages(mpsc::Receiver<Message>);

impl Transport for Messages {
    fn poll_incoming(&mut self, task: &mut Task<'_>) -> Poll<Incoming> {
        self.0.poll_recv(task).map(|message| message.map_or(Incoming::Gone, Incoming::Message))
    }
}
