//! What the port of a session has that outlives its carriers, and a socket's has not.

use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    time::Duration,
};

use tokio::time::Instant;

use super::kept::Kept;
use crate::{Config, after::after, server::Guest};

/// What is kept for a client that may come back, and since when it has been away.
#[derive(Default)]
pub(in crate::session) struct Carried {
    kept: RefCell<Kept>,
    away: Cell<Option<Instant>>,
    /// Somebody has come with the session's id.
    visited: Cell<bool>,
    /// Its place among the connections of the client's address, once the consumer has ended.
    guest: Cell<Option<Guest>>,
}

impl Carried {
    pub(super) fn kept(&self) -> Ref<'_, Kept> {
        self.kept.borrow()
    }

    pub(super) fn kept_mut(&self) -> RefMut<'_, Kept> {
        self.kept.borrow_mut()
    }

    pub(in crate::session) fn keep(&self, guest: Option<Guest>) {
        self.guest.set(guest);
    }

    pub(super) fn set_away(&self, since: Option<Instant>) {
        self.away.set(since);
    }

    pub(super) fn set_visited(&self) {
        self.visited.set(true);
    }

    /// How long the client may be away. Whoever has opened a session and does not come for it has gone.
    pub(super) fn patience(&self, config: &Config) -> Duration {
        let patience = config.poll_window.saturating_mul(3) / 2;
        if self.visited.get() { patience } else { patience.min(config.handshake_timeout) }
    }

    /// When the client has been away for too long, if it is away.
    pub(in crate::session) fn away_until(&self, config: &Config) -> Option<Instant> {
        self.away.get().map(|since| after(since, self.patience(config)))
    }

    pub(in crate::session) fn bytes(&self) -> usize {
        self.kept.borrow().bytes()
    }

    /// Makes room for what was not sent yet.
    pub(in crate::session) fn shrink(&self, bytes: usize) {
        self.kept.borrow_mut().shrink(bytes);
    }
}
