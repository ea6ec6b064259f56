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
    /// The number of the last message that was taken.
    taken: Cell<u64>,
    /// The client's end is in the queue: nothing comes behind it.
    sealed: Cell<bool>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    room: Notify,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            queue: RefCell::default(),
            bytes: Cell::default(),
            taken: Cell::default(),
            sealed: Cell::default(),
            ended: Cell::default(),
            reader: RefCell::default(),
            room: Notify::new(),
        })
    }

    /// What the session reads.
    pub(crate) fn reader(self: &Rc<Self>) -> InboxReader {
        InboxReader(self.clone())
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Takes what there is room for of these messages, the first of which has the number `from`, and leaves out what was
    /// taken before.
    pub(super) fn take(&self, from: u64, messages: &[Message]) {
        let known = usize::try_from((self.taken.get() + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        for message in messages.iter().skip(known) {
            if !self.has_room(message.len()) {
                break;
            }
            self.bytes.set(self.bytes.get() + message.len());
            self.taken.set(self.taken.get() + 1);
            self.put(Incoming::Message(message.clone()));
        }
    }

    /// Resolves when there may be more room.
    pub(super) async fn room(&self) {
        self.room.notified().await;
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
                inbox.room.notify_waiters();
                Poll::Ready(incoming)
            }
            None if inbox.ended.get() => Poll::Ready(Incoming::Gone),
            None => {
                inbox.reader.replace(Some(task.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for InboxReader {
    fn drop(&mut self) {
        self.0.room.notify_waiters();
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
        inbox.take(1, &["a".into()]);
        inbox.close(Close::new(4001, ""));
        for _ in 0..1_000 {
            inbox.close(Close::new(4002, ""));
            inbox.fail(Close::new(4003, ""));
        }
        inbox.take(2, &["b".into()]);
        assert_eq!(inbox.taken(), 1);
        assert!(matches!(next(&mut reader), Some(Incoming::Message(_))));
        assert!(matches!(next(&mut reader), Some(Incoming::Close(Some(close))) if close.code.get() == 4001));
        assert!(next(&mut reader).is_none());
        inbox.take(2, &["b".into()]);
        assert_eq!(inbox.taken(), 1);
    }
}
