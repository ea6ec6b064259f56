//! Whose a connection is, and which pages it may talk to.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Who a session over several requests belongs to: only their requests reach it.
#[derive(Clone, Default)]
pub(crate) struct Owner(Rc<RefCell<Option<String>>>);

impl Owner {
    pub(crate) fn set(&self, owner: Option<String>) {
        self.0.replace(owner);
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Another one that is the same now.
    pub(super) fn fork(&self) -> Self {
        Self(Rc::new(RefCell::new(self.get())))
    }
}

/// Whether an [`OriginValidator`](crate::OriginValidator) has let the page through that asks.
#[derive(Clone, Default)]
pub(crate) struct PageAllowed(Rc<Cell<bool>>);

impl PageAllowed {
    pub(crate) fn allow(&self) {
        self.set(true);
    }

    pub(super) fn set(&self, allowed: bool) {
        self.0.set(allowed);
    }

    pub(crate) fn is_allowed(&self) -> bool {
        self.0.get()
    }
}
