//! Whose a connection is, and which pages it may talk to.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::Scope;

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

impl Scope {
    /// Says whose connection this is, for a session over several requests
    /// ([`Route::transports`](crate::routing::Route::transports)): the requests of somebody else, or of nobody, do not reach it
    /// and are answered with 410. Middleware that finds out by itself who a client is calls it for every request;
    /// [`AuthMiddleware`](crate::auth::AuthMiddleware) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Deny, Scope};
    /// # struct ByKey;
    /// # impl channels::Middleware for ByKey {
    /// async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
    ///     let key = scope.header("X-Api-Key").map(str::to_owned).ok_or_else(Deny::forbidden)?;
    ///     scope.set_owner(key);
    ///     Ok(scope)
    /// }
    /// # }
    /// ```
    pub fn set_owner(&self, owner: impl Into<String>) {
        self.owner.set(Some(owner.into()));
    }
}
