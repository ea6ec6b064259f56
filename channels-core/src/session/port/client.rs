//! What a client does, and the signs of life that it gives.

use std::{rc::Rc, time::Duration};

use tokio::time::Instant;

use super::{Cut, Port};
use crate::{
    Close, CloseCode,
    session::{
        heartbeat::Signs,
        state::{Phase, Step},
        wire::Wire,
    },
};

impl Port {
    pub(crate) fn peer_closed(self: &Rc<Self>, close: Option<Close>) {
        let echo = self.phase() == Phase::Open;
        let _ = self.step(Step::PeerClosed);
        let close = close.unwrap_or_else(|| Close::new(CloseCode::NO_STATUS, ""));
        if echo {
            self.outbox.borrow_mut().close(Close::new(close.code, ""));
        }
        self.finish();
        self.end(close.by_client(), Cut::AfterGrace);
    }

    /// The connection is gone: nothing can be sent, and nobody reads what waits.
    pub(crate) fn gone(self: &Rc<Self>, reason: &'static str) {
        let _ = self.step(Step::Gone);
        let mut lost = 0;
        if let Some(wire) = self.wire.get() {
            if wire.has_timed_out() {
                self.stats.count(|counts| counts.stalled += 1);
            }
            // A client that sends no more may still read what was on its way.
            wire.flush(&mut self.outbox.borrow_mut(), || ());
            lost += wire.abandon();
        }
        lost += self.outbox.borrow_mut().clear();
        self.drop_gone(lost);
        self.finish();
        self.end(Close::vanished(reason), Cut::AfterGrace);
    }

    pub(crate) fn pong(self: &Rc<Self>, payload: bytes::Bytes) {
        if self.phase() != Phase::Closed {
            self.outbox.borrow_mut().pong(payload);
            self.expect_write();
        }
    }

    /// Anything that arrives shows that the client lives.
    pub(crate) fn heard(&self) {
        self.heard_since.set(true);
        self.pinged.set(None);
    }

    pub(in crate::session) fn set_reading(&self, reading: bool) {
        self.reading.set(reading);
    }

    pub(in crate::session) fn waiting_bytes(&self) -> usize {
        let kept = self.carried.get().map_or(0, |carried| carried.bytes());
        self.outbox.borrow().bytes() + kept + self.wire().map_or(0, Wire::bytes)
    }

    pub(in crate::session) fn waiting_messages(&self) -> usize {
        self.outbox.borrow().messages() + self.wire().map_or(0, Wire::messages)
    }

    pub(in crate::session) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(in crate::session) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The signs of life there were. That nothing is written is noticed by looking twice.
    pub(in crate::session) fn signs(&self, now: Instant) -> Signs {
        if let Some(carried) = self.carried.get() {
            // Its carriers see to it that the client lives.
            let (opened, away_until) = (self.opened, carried.away_until(&self.config));
            return Signs { opened, heard: now, pinged: None, reading: false, stalled: None, away_until };
        }
        let unwritten = |wire: &Wire| wire.bytes() > 0 || wire.is_blocked();
        let waiting = self.outbox.borrow().is_waiting() || self.wire().is_some_and(unwritten);
        let stalled = waiting.then(|| self.stalled.get().unwrap_or(now));
        self.stalled.set(stalled);
        if self.heard_since.take() {
            self.heard.set(now);
        }
        let (heard, pinged, reading) = (self.heard.get(), self.pinged.get(), self.reading.get());
        Signs { opened: self.opened, heard, pinged, reading, stalled, away_until: None }
    }

    pub(crate) fn ping(self: &Rc<Self>) {
        self.pinged.set(Some(Instant::now()));
        self.outbox.borrow_mut().ping();
        self.expect_write();
    }
}
