//! What is written, for whoever writes it: the body of an answer, or the session itself on its own socket.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use super::{Answer, Port};
use crate::{
    frame::Outgoing,
    server::SlowClient,
    session::{
        lasting::Carried,
        state::Phase,
        wire::{Flushed, Wire},
    },
};

impl Port {
    pub(crate) fn take_answer(&self) -> Option<Answer> {
        self.answer.take().map(|answer| *answer)
    }

    pub(crate) fn poll_outgoing(&self, task: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let mut outbox = self.outbox.borrow_mut();
        match outbox.pop_control().or_else(|| outbox.pop()) {
            Some(frame) => {
                self.stalled.set(None);
                Poll::Ready(Some(frame))
            }
            None if outbox.is_finished() => Poll::Ready(None),
            None => {
                self.writer.set(Some(task.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Sees to it that what was put into the outbox is written, once however much it is.
    pub(super) fn expect_write(self: &Rc<Self>) {
        if let Some(wire) = self.wire.get() {
            wire.list(self);
        } else if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Gives the session its socket: it writes to the client by itself from now on.
    pub(in crate::session) fn plug(self: &Rc<Self>, wire: Wire) {
        let _ = self.wire.set(Box::new(wire));
        self.expect_write();
    }

    pub(in crate::session) fn unplug(&self) {
        if let Some(wire) = self.wire.get() {
            wire.hang_up();
        }
    }

    /// Ends this side's half of the connection if all is written, and says whether it did. The other half can be read still.
    pub(in crate::session) fn shut_down(self: &Rc<Self>) -> bool {
        self.outbox.borrow_mut().finish();
        self.wire.get().is_some() && self.flush() == Flushed::Finished
    }

    /// Whether the client does not take what waits for it.
    pub(in crate::session) fn is_blocked(&self) -> bool {
        self.wire.get().is_some_and(|wire| wire.is_blocked())
    }

    /// Whether the consumer may have what the client sends. Not while the client takes nothing of what waits for it; nor, unless
    /// the oldest message makes room, while that is half of what may wait. What it has taken is good for one answer.
    pub(in crate::session) fn takes_input(&self) -> bool {
        let has_room = || self.outbox.borrow().bytes() <= self.config.max_waiting_bytes / 2;
        match self.wire.get() {
            Some(wire) if wire.is_blocked() => {
                (matches!(self.config.slow_client, SlowClient::DropOldest) || has_room()) && wire.take_moved()
            }
            Some(_) => true,
            None => self.carried.get().is_none() || has_room(),
        }
    }

    /// Makes this the port of a session that has a carrier now and then.
    pub(in crate::session) fn carry(&self) {
        self.carried.get_or_init(Box::default);
    }

    pub(in crate::session) fn carried(&self) -> Option<&Carried> {
        self.carried.get().map(|carried| &**carried)
    }

    /// The connection is over, though its port is still there.
    pub(in crate::session) fn discount(&self) {
        if self.counted.take() {
            self.stats.count(|counts| counts.connections -= 1);
        }
    }

    /// A carrier has taken some of what waits: the client may be read from again.
    pub(in crate::session) fn relieved(&self) {
        self.wake_session();
    }

    /// Whether the client has not taken what came before.
    pub(super) fn is_behind(&self) -> bool {
        self.wire.get().map_or_else(|| self.outbox.borrow().is_waiting(), |wire| wire.is_blocked())
    }

    pub(in crate::session) fn wire(&self) -> Option<&Wire> {
        self.wire.get().map(|wire| &**wire)
    }

    /// Runs a turn of the session's task. What it sends is written when those have had their turn that are ready as well.
    pub(in crate::session) fn attend<T>(
        self: &Rc<Self>,
        task: &mut Context<'_>,
        turn: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(wire) = self.wire.get() else { return turn(task) };
        wire.set_task(task);
        if wire.is_blocked() {
            self.flush();
        }
        turn(task)
    }

    /// Whether all that waits is written, or nothing can be.
    pub(in crate::session) fn poll_written(self: &Rc<Self>) -> Poll<()> {
        if self.flush() == Flushed::Blocked { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Writes for the flusher, on whose list the connection was.
    pub(in crate::session) fn flush_listed(self: &Rc<Self>) {
        if let Some(wire) = self.wire.get() {
            wire.unlist();
            self.flush();
        }
    }

    /// Writes what waits, as far as the client takes it.
    pub(in crate::session) fn flush(self: &Rc<Self>) -> Flushed {
        let Some(wire) = self.wire.get() else { return Flushed::All };
        let flushed = wire.flush(&mut self.outbox.borrow_mut(), || self.stalled.set(None));
        match flushed {
            Flushed::Finished if self.phase() == Phase::Closing => wire.shut_down(),
            Flushed::Finished => wire.hang_up(),
            Flushed::Lost if self.phase() != Phase::Closed => self.gone("the connection was lost"),
            Flushed::All | Flushed::Blocked | Flushed::Lost => {}
        }
        flushed
    }
}
