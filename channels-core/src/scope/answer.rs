//! What goes to the client with the answer to its handshake.

use std::{cell::RefCell, rc::Rc};

use actix_web::{
    cookie::Cookie,
    http::header::{HeaderName, HeaderValue, SET_COOKIE},
};

use super::Scope;

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

impl Scope {
    /// Sets a cookie in the client, with the answer to the handshake: an acceptance, or a refusal by `connect`. Once that
    /// is out, it does nothing. Channels' `CookieMiddleware.set_cookie`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn connect(cx: &mut Context) -> Result<()> {
    /// use channels::actix_web::cookie::{Cookie, SameSite};
    ///
    /// let cookie = Cookie::build("theme", "dark").path("/").http_only(true).same_site(SameSite::Lax).finish();
    /// cx.scope().set_cookie(&cookie);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// When path or domain have characters that a header may not have; name and value are percent-encoded.
    #[track_caller]
    pub fn set_cookie(&self, cookie: &Cookie<'_>) {
        match HeaderValue::try_from(cookie.encoded().to_string()) {
            Ok(header) => self.answer.push(header),
            Err(error) => panic!("cookie `{}` cannot be a header: {error}", cookie.name()),
        }
    }
}
