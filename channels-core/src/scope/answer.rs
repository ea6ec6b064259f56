//! What goes to the client with the answer to its handshake.

use std::{cell::RefCell, rc::Rc};

use actix_web::http::header::{HeaderName, HeaderValue, SET_COOKIE};

/// The cookies to be set with the answer to the handshake, in the order in which they were set.
#[derive(Clone, Default)]
pub(crate) struct Answer(Rc<RefCell<Vec<HeaderValue>>>);

impl Answer {
    /// With one more `Set-Cookie`.
    pub(crate) fn push(&self, cookie: HeaderValue) {
        self.0.borrow_mut().push(cookie);
    }

    /// Takes the headers out.
    pub(crate) fn take(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0.take().into_iter().map(|cookie| (SET_COOKIE, cookie))
    }
}
