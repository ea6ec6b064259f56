//! What a consumer does: it accepts or refuses, sends, and closes.

use std::rc::Rc;

use actix_web::{HttpResponse, dev::Payload, http::StatusCode};

use super::{Answer, Cut, Port};
use crate::{
    Close, CloseCode, Message,
    consumer::{Accept, Deny, WriteError},
    frame::Outgoing,
    scope::Protocol,
    server::SlowClient,
    session::state::{Phase, Step},
};

impl Port {
    pub(crate) fn accept(&self, accept: Accept) -> Result<(), WriteError> {
        self.agree(Answer::Accept(accept))
    }

    /// Begins the response to a request.
    pub(crate) fn respond(&self, response: HttpResponse) -> Result<(), WriteError> {
        self.agree(Answer::Respond(response))
    }

    fn agree(&self, answer: Answer) -> Result<(), WriteError> {
        self.step(Step::Accept)?;
        self.accepted.set(true);
        self.answer.set(Some(Box::new(answer)));
        self.wake_session();
        Ok(())
    }

    /// Completes the response to a request.
    pub(crate) fn complete(self: &Rc<Self>) -> Result<(), WriteError> {
        self.step(Step::Send)?;
        let _ = self.step(Step::Gone);
        self.finish();
        self.end(Close::new(CloseCode::NORMAL, ""), Cut::AfterGrace);
        Ok(())
    }

    /// Whether nothing waits to be written, and nothing will be.
    pub(crate) fn is_written(&self) -> bool {
        let outbox = self.outbox.borrow();
        outbox.is_finished() && !outbox.is_waiting()
    }

    pub(crate) fn put_payload(&self, payload: Payload) {
        self.payload.set(Some(payload));
    }

    pub(crate) fn take_payload(&self) -> Option<Payload> {
        self.payload.take()
    }

    /// Refuses the handshake, if it is not answered.
    pub(crate) fn refuse(self: &Rc<Self>, deny: Deny) {
        if self.phase() == Phase::Connecting {
            let _ = self.step(Step::Close);
            self.answer.set(Some(Box::new(Answer::Refuse(deny))));
            self.end(Close::new(CloseCode::ABNORMAL, "the handshake was refused"), Cut::AfterGrace);
        }
    }

    pub(crate) fn send(self: &Rc<Self>, message: Message) -> Result<(), WriteError> {
        self.write(Outgoing::Message(message))
    }

    pub(super) fn write(self: &Rc<Self>, frame: Outgoing) -> Result<(), WriteError> {
        self.step(Step::Send)?;
        if self.protocol == Protocol::Channel {
            return Err(WriteError::NoClient);
        }
        let left = match self.config.slow_client {
            // It may take another one's place.
            SlowClient::Coalesce(_) => Some(frame),
            _ => self.outbox.borrow_mut().offer(frame).err(),
        };
        if let Some(frame) = left {
            self.write_to_slow(frame)?;
        }
        self.stats.count(|counts| counts.deliveries += 1);
        if let Some(carried) = self.carried.get() {
            carried.shrink(self.config.max_waiting_bytes.saturating_sub(self.outbox.borrow().bytes()));
        }
        self.expect_write();
        Ok(())
    }

    /// Adds a message to what waits for a client that may be slow.
    fn write_to_slow(self: &Rc<Self>, frame: Outgoing) -> Result<(), WriteError> {
        if !self.outbox.borrow().has_room(frame.cost()) {
            // Only what the client does not take counts against it.
            self.flush();
        }
        if matches!(self.config.slow_client, SlowClient::DropOldest) {
            let dropped = self.outbox.borrow_mut().make_room(frame.cost());
            self.drop_slow(dropped as u64);
        }
        let key = match self.config.slow_client {
            SlowClient::Coalesce(key) if self.is_behind() => frame.message().and_then(key),
            _ => None,
        };
        let written = match key {
            Some(key) => self.outbox.borrow_mut().replace_or_push(key, frame).map(|replaced| self.drop_slow(replaced)),
            None => self.outbox.borrow_mut().push(frame),
        };
        if written.is_err() {
            self.drop_slow(1);
            if matches!(self.config.slow_client, SlowClient::Close | SlowClient::Coalesce(_)) {
                let waited = self.outbox.borrow_mut().clear();
                self.drop_slow(waited as u64);
                self.close(Close::new(CloseCode::TOO_SLOW, "the client reads too slowly"));
            }
        }
        written
    }

    pub(in crate::session) fn drop_slow(&self, messages: u64) {
        self.dropped.set(self.dropped.get() + messages);
        self.stats.count(|counts| counts.dropped_slow += messages);
    }

    /// Sends the close frame, or refuses a handshake that is not answered. Later calls change nothing.
    pub(crate) fn close(self: &Rc<Self>, close: Close) {
        match self.phase() {
            Phase::Connecting if self.protocol == Protocol::Http => {
                return self.refuse(Deny::new(StatusCode::SERVICE_UNAVAILABLE));
            }
            Phase::Connecting => return self.refuse(Deny::forbidden()),
            Phase::Open if self.protocol == Protocol::Channel => {
                let _ = self.step(Step::Gone);
            }
            Phase::Open if self.protocol == Protocol::Http => {
                let _ = self.step(Step::Gone);
                self.outbox.borrow_mut().close(close.clone());
                self.finish();
            }
            Phase::Open => {
                let _ = self.step(Step::Close);
                self.outbox.borrow_mut().close(close.clone());
                self.expect_write();
            }
            Phase::Closing | Phase::Closed => return,
        }
        self.end(close, Cut::AfterGrace);
    }
}
