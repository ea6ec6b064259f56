//! The end of a connection, and its life, for whoever runs it.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

use super::{Cut, Ending, Port};
use crate::Close;

impl Port {
    /// Asks the session to end; the first reason counts, the most urgent cut does.
    pub(crate) fn end(&self, close: Close, cut: Cut) {
        match self.ending.get() {
            None => drop(self.ending.set(Box::new(Ending { close, at: Instant::now(), cut: Cell::new(cut) }))),
            Some(ending) if cut == Cut::Now => ending.cut.set(Cut::Now),
            Some(_) => return,
        }
        self.wake_session();
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.ending.get().map(|ending| &**ending)
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// The response ends behind the frames that wait.
    pub(crate) fn finish(self: &Rc<Self>) {
        self.outbox.borrow_mut().finish();
        self.expect_write();
    }

    pub(in crate::session) fn put_life(&self, life: LocalBoxFuture<'static, ()>) {
        self.life.set(Some(life));
    }

    pub(in crate::session) fn take_life(&self) -> Option<LocalBoxFuture<'static, ()>> {
        self.life.take()
    }

    /// Lets the life go on as far as it can.
    pub(in crate::session) fn poll_life(&self, task: &mut Context<'_>) -> Poll<()> {
        if let Some(mut life) = self.take_life()
            && life.as_mut().poll(task).is_pending()
        {
            self.put_life(life);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The connection is gone: its response is not polled any more, and the rest of the life goes on as a task of the
    /// thread.
    pub(in crate::session) fn live_on_without_response(self: &Rc<Self>, reason: &'static str) {
        if let Some(life) = self.take_life() {
            self.gone(reason);
            actix_rt::spawn(life);
        }
    }

    /// Drops a connection that nothing can be written to.
    pub(in crate::session) fn cut(self: &Rc<Self>, reason: &'static str) {
        match self.wire.get() {
            Some(_) => self.gone(reason),
            None => self.live_on_without_response(reason),
        }
    }

    /// Counts messages that were on their way to a client that is gone, or events that waited for its consumer.
    pub(super) fn drop_gone(&self, lost: usize) {
        self.stats.count(|counts| counts.dropped_gone += lost as u64);
    }

    /// Counts the events that wait, and forgets them: their consumer takes no more.
    pub(crate) fn drop_events(&self) {
        let events = self.forget_events();
        if let Some(place) = self.place.get() {
            place.hub.count_gone(events);
        }
        self.drop_gone(events);
    }

    /// Whether the end has come and the life has not run since: its response is not polled, because nothing can be
    /// written to the client.
    pub(in crate::session) fn is_stuck(&self) -> bool {
        self.is_ending() && self.session.borrow().is_none()
    }

    pub(crate) fn register_session(&self, waker: &Waker) {
        let mut session = self.session.borrow_mut();
        if session.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *session = Some(waker.clone());
        }
    }

    /// Wakes the session once, however much happens before it comes.
    pub(super) fn wake_session(&self) {
        if let Some(waker) = self.session.borrow_mut().take() {
            waker.wake();
        }
    }
}
