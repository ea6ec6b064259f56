//! What a client sent in requests, until its consumer gets to it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use crate::{Close, Message, frame::Incoming, transport::Transport};

/// Messages that wait, at most.
const MESSAGES: usize = 64;

/// The incoming half of a session over several carriers: a bounded queue that they fill.
pub(crate) struct Inbox {
    /// The bytes that wait at most, but for one message.
    limit: usize,
    queue: RefCell<VecDeque<Incoming>>,
    bytes: Cell<usize>,
    /// The number of the last message that was put into the queue.
    last: Cell<u64>,
    /// The number of the last message that the consumer was given.
    taken: Cell<u64>,
    /// The client's end is in the queue: nothing comes behind it.
    sealed: Cell<bool>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    moved: Notify,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            queue: RefCell::default(),
            bytes: Cell::default(),
            last: Cell::default(),
            taken: Cell::default(),
            sealed: Cell::default(),
            ended: Cell::default(),
            reader: RefCell::default(),
            moved: Notify::new(),
        })
    }

    /// What the session reads.
    pub(crate) fn reader(self: &Rc<Self>) -> InboxReader {
        InboxReader(self.clone())
    }

    pub(super) fn last(&self) -> u64 {
        self.last.get()
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Puts what there is room for of these messages into the queue. The first of them has the number `from`; what came
    /// before is left out.
    pub(super) fn push(&self, from: u64, messages: &[Message]) {
        let known = usize::try_from((self.last.get() + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        for message in messages.iter().skip(known) {
            if !self.has_room(message.len()) {
                break;
            }
            self.bytes.set(self.bytes.get() + message.len());
            self.last.set(self.last.get() + 1);
            self.put(Incoming::Message(message.clone()));
        }
    }

    /// Resolves when there may be more room, or more was taken.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// The client closes, behind what it sent.
    pub(super) fn close(&self, close: Close) {
        self.seal(Incoming::Close(Some(close)));
    }

    /// The client broke a rule.
    pub(super) fn fail(&self, close: Close) {
        self.seal(Incoming::Failed(close));
    }

    /// Nothing more will come: the client knows of the end.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    fn has_room(&self, bytes: usize) -> bool {
        if self.sealed.get() {
            return false;
        }
        let queued = self.queue.borrow().len();
        queued == 0 || queued < MESSAGES && self.bytes.get() + bytes <= self.limit
    }

    fn seal(&self, end: Incoming) {
        if !self.sealed.replace(true) {
            self.put(end);
        }
    }

    fn put(&self, incoming: Incoming) {
        self.queue.borrow_mut().push_back(incoming);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The session's end of an [`Inbox`].
pub(crate) struct InboxReader(Rc<Inbox>);

impl Transport for InboxReader {
    fn poll_incoming(&mut self, task: &mut Context<'_>) -> Poll<Incoming> {
        let inbox = &self.0;
        let next = inbox.queue.borrow_mut().pop_front();
        match next {
            Some(incoming) => {
                if let Incoming::Message(message) = &incoming {
                    inbox.bytes.set(inbox.bytes.get() - message.len());
                }
                inbox.moved.notify_waiters();
                Poll::Ready(incoming)
            }
            None if inbox.ended.get() => Poll::Ready(Incoming::Gone),
            None => {
                inbox.reader.replace(Some(task.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn given(&mut self) {
        self.0.taken.set(self.0.taken.get() + 1);
        self.0.moved.notify_waiters();
    }
}

impl Drop for InboxReader {
    fn drop(&mut self) {
        self.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reader: &mut InboxReader) -> Option<Incoming> {
        match reader.poll_incoming(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(incoming) => Some(incoming),
            Poll::Pending => None,
        }
    }

    #[test]
    fn behind_the_first_end_of_the_client_nothing_is_taken() {
        let inbox = Inbox::new(1_000);
        let mut reader = inbox.reader();
        inbox.push(1, &["a".into()]);
        inbox.close(Close::new(4001, ""));
        for _ in 0..1_000 {
            inbox.close(Close::new(4002, ""));
            inbox.fail(Close::new(4003, ""));
        }
        inbox.push(2, &["b".into()]);
        assert_eq!(inbox.last(), 1);
        assert!(matches!(next(&mut reader), Some(Incoming::Message(_))));
        assert!(matches!(next(&mut reader), Some(Incoming::Close(Some(close))) if close.code.get() == 4001));
        assert!(next(&mut reader).is_none());
        inbox.push(2, &["b".into()]);
        assert_eq!(inbox.last(), 1);
    }

    #[test]
    fn what_waits_is_not_taken_and_comes_once() {
        let inbox = Inbox::new(1_000);
        let mut reader = inbox.reader();
        inbox.push(1, &["a".into(), "b".into()]);
        inbox.push(1, &["a".into(), "b".into(), "c".into()]);
        assert_eq!((inbox.last(), inbox.taken()), (3, 0));
        for taken in 1..=3 {
            assert!(matches!(next(&mut reader), Some(Incoming::Message(_))));
            assert_eq!(inbox.taken(), taken - 1, "it may be read before the consumer is ready for it");
            reader.given();
            assert_eq!(inbox.taken(), taken);
        }
        assert!(next(&mut reader).is_none());
    }
}
