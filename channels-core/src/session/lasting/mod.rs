//! Sessions that outlive the requests and sockets that carry them.
//!
//! A [`Lasting`] session is the life of one consumer, like a socket's. Its transport is an [`Inbox`], which requests fill;
//! what it sends waits in its outbox until a carrier takes it, and is kept until the client says that it has it. All that
//! carriers do to it are a few [wishes](Wish): take, push, close. It lives on one thread, its [`Home`]; a [`Link`] brings
//! the wishes there, from this thread, from another one, or from another process.

mod ask;
mod carried;
mod home;
mod inbox;
mod kept;
mod link;
mod peers;
mod relay;
mod watch;

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

pub(super) use self::carried::Carried;
use self::kept::Kept;
pub(crate) use self::{
    ask::{Asker, Given, Reply, Wish},
    home::{Home, Homes, SessionId},
    inbox::Inbox,
    link::Link,
};
use super::{Port, state::Phase};
use crate::{
    Close, CloseCode, Message,
    frame::Outgoing,
    scope::Owner,
    transport::batch::{End, Said},
};

/// What messages cost that are given at once, but for the last of them.
const GIVEN: usize = 64 * 1024;

/// A session that has a carrier now and then.
pub(crate) struct Lasting {
    port: Rc<Port>,
    inbox: Rc<Inbox>,
    path: String,
    owner: Owner,
    /// What its consumer chose.
    subprotocol: OnceCell<String>,
    /// The carrier there is, or was.
    carrier: Cell<u64>,
    /// How many takes wait.
    present: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
    end: RefCell<Option<Close>>,
    /// The client was told of the end.
    told: Notify,
}

impl Lasting {
    pub(crate) fn new(port: Rc<Port>, inbox: Rc<Inbox>, owner: Owner) -> Rc<Self> {
        port.carry();
        Rc::new(Self {
            path: port.path.clone(),
            port,
            inbox,
            owner,
            subprotocol: OnceCell::new(),
            carrier: Cell::default(),
            present: Cell::default(),
            waiting: RefCell::default(),
            end: RefCell::default(),
            told: Notify::new(),
        })
    }

    /// The consumer has accepted: the client is awaited.
    pub(crate) fn opened(&self, subprotocol: Option<String>) {
        if let Some(subprotocol) = subprotocol {
            let _ = self.subprotocol.set(subprotocol);
        }
        self.carried().set_away(Some(Instant::now()));
    }

    fn carried(&self) -> &Carried {
        self.port.carried().expect("set when the session is made")
    }

    /// Whether who asks is let in. A carrier that is in stays when the consumer logs somebody in or out: it is for the
    /// consumer to close it.
    fn admits(&self, carrier: u64, asker: &Asker) -> bool {
        self.path == asker.path && (self.carrier.get() == carrier || self.owner.get() == asker.owner)
    }

    /// Resolves when the client was told of the end.
    async fn told(&self) {
        self.told.notified().await;
    }

    async fn fulfil(&self, carrier: u64, wish: Wish) -> Reply {
        self.carried().set_visited();
        if matches!(wish, Wish::CloseCarrier(_) | Wish::Fail(_) | Wish::Leave) && self.carrier.get() != carrier {
            return Reply::TakenOver;
        }
        match wish {
            Wish::Close(_) | Wish::CloseCarrier(_) | Wish::Fail(_) if self.port.is_ending() => {
                self.told.notify_one();
                Reply::Done
            }
            Wish::Take { begins, after, ack, wait } => self.take(carrier, begins, after, ack, wait).await,
            Wish::Push { from, messages, ack, wait } => self.push(from, messages, ack, wait).await,
            Wish::Close(end) | Wish::CloseCarrier(end) => {
                self.inbox.close(end.into());
                self.told.notify_one();
                Reply::Done
            }
            Wish::Fail(end) => {
                self.inbox.fail(end.into());
                Reply::Done
            }
            Wish::Leave => {
                self.take_over(0);
                Reply::Done
            }
        }
    }

    async fn take(&self, carrier: u64, begins: bool, after: u64, ack: u64, wait: Duration) -> Reply {
        if !begins && self.carrier.get() != carrier {
            return Reply::TakenOver;
        }
        let last = self.carried().kept().last();
        if after > last || ack > last {
            return Reply::Bad(format!("message {} was never sent", after.max(ack)));
        }
        self.carried().kept_mut().acknowledge(ack);
        if self.has_forgotten(after) {
            return Reply::Gone;
        }
        if begins {
            self.take_over(carrier);
        }
        let _present = Present::new(self);
        let mut patience = pin!(tokio::time::sleep(wait));
        poll_fn(|task| {
            if self.carrier.get() != carrier {
                return Poll::Ready(Reply::TakenOver);
            }
            if self.has_forgotten(after) {
                return Poll::Ready(Reply::Gone);
            }
            self.collect(after, task);
            if self.has_news(after) || patience.as_mut().poll(task).is_ready() {
                return Poll::Ready(Reply::Given(self.give(after)));
            }
            self.waiting.replace(Some(task.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Whether the message behind this one is not kept any more, because what came later needed the room. The client has
    /// come too late: what it misses is counted.
    fn has_forgotten(&self, after: u64) -> bool {
        let forgotten = after < self.carried().kept().forgotten();
        if forgotten {
            let missed = self.carried().kept_mut().missed(after);
            self.port.drop_slow(missed);
        }
        forgotten
    }

    /// A new carrier: what the old one waits for is over.
    fn take_over(&self, carrier: u64) {
        self.carrier.set(carrier);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Takes messages out of the outbox, as many as are given at once.
    fn collect(&self, after: u64, task: &mut std::task::Context<'_>) {
        let mut cost: usize = self.carried().kept().after(after).map(Message::cost).sum();
        let before = cost;
        while cost < GIVEN
            && self.end.borrow().is_none()
            && let Poll::Ready(next) = self.port.poll_outgoing(task)
        {
            match next {
                Some(Outgoing::Close(close)) => drop(self.end.replace(Some(close))),
                Some(frame) => {
                    if let Some(message) = frame.message() {
                        cost += message.cost();
                        self.carried().kept_mut().push(message.clone());
                    }
                }
                None => drop(self.end.replace(Some(Close::new(CloseCode::ABNORMAL, "the session has ended")))),
            }
        }
        if cost > before {
            self.port.relieved();
        }
    }

    fn has_news(&self, after: u64) -> bool {
        self.carried().kept().last() > after || self.end.borrow().is_some()
    }

    fn give(&self, after: u64) -> Given {
        let kept = self.carried().kept();
        let mut cost = 0;
        let fits = |message: &&Message| {
            let fits = cost < GIVEN;
            cost += message.cost();
            fits
        };
        let messages: Vec<_> = kept.after(after).take_while(fits).map(|message| Said(message.clone())).collect();
        let close = self.end_behind(&kept, after + messages.len() as u64);
        if close.is_some() {
            self.inbox.end();
            self.told.notify_one();
        }
        let (taken, subprotocol) = (self.inbox.taken(), self.subprotocol.get().cloned());
        Given { from: after + 1, messages, close, taken, subprotocol }
    }

    /// The end, if it is what follows this message.
    fn end_behind(&self, kept: &Kept, number: u64) -> Option<End> {
        self.end.borrow().as_ref().filter(|_| kept.last() == number).map(End::from)
    }

    async fn push(&self, from: u64, messages: Vec<Said>, ack: u64, wait: Duration) -> Reply {
        if ack > self.carried().kept().last() {
            return Reply::Bad(format!("message {ack} was never sent"));
        }
        self.carried().kept_mut().acknowledge(ack);
        if messages.is_empty() {
            return Reply::Taken(self.inbox.taken());
        }
        let next = self.inbox.last() + 1;
        if from == 0 || from > next {
            return Reply::Bad(format!("the next message is {next}"));
        }
        let limit = self.port.config.max_message_size;
        if messages.iter().any(|Said(message)| message.len() > limit) {
            let close = Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes"));
            self.inbox.fail(close);
            return Reply::TooBig(limit);
        }
        let last = from + messages.len() as u64 - 1;
        let messages: Vec<_> = messages.into_iter().map(|Said(message)| message).collect();
        let all_taken = async {
            while self.inbox.taken() < last {
                // Of a session that ends nobody reads any more.
                if self.port.phase() == Phase::Open && !self.port.is_ending() {
                    self.inbox.push(from, &messages);
                }
                self.inbox.moved().await;
            }
        };
        // What waits is not confirmed, so that the client still has it should the session end.
        let _ = tokio::time::timeout(wait, all_taken).await;
        Reply::Taken(self.inbox.taken())
    }
}

/// A carrier waits: the client is there.
struct Present<'a>(&'a Lasting);

impl<'a> Present<'a> {
    fn new(session: &'a Lasting) -> Self {
        session.present.set(session.present.get() + 1);
        session.carried().set_away(None);
        Self(session)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let present = self.0.present.get() - 1;
        self.0.present.set(present);
        if present == 0 {
            self.0.carried().set_away(Some(Instant::now()));
        }
    }
}
