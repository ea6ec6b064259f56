//! What the port of a session has that outlives its carriers, and a socket's has not.

use std::cell::{Cell, Ref, RefCell, RefMut};

use tokio::time::Instant;

use super::kept::Kept;

/// What is kept for a client that may come back, and since when it has been away.
#[derive(Default)]
pub(in crate::session) struct Carried {
    kept: RefCell<Kept>,
    away: Cell<Option<Instant>>,
}

impl Carried {
    pub(super) fn kept(&self) -> Ref<'_, Kept> {
        self.kept.borrow()
    }

    pub(super) fn kept_mut(&self) -> RefMut<'_, Kept> {
        self.kept.borrow_mut()
    }

    pub(super) fn set_away(&self, since: Option<Instant>) {
        self.away.set(since);
    }

    pub(in crate::session) fn away(&self) -> Option<Instant> {
        self.away.get()
    }

    pub(in crate::session) fn bytes(&self) -> usize {
        self.kept.borrow().bytes()
    }

    /// Makes room for what was not sent yet.
    pub(in crate::session) fn shrink(&self, bytes: usize) {
        self.kept.borrow_mut().shrink(bytes);
    }
}
