//! The two answers to a handshake.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue, TryIntoHeaderPair},
    },
};
use bytes::Bytes;
use thiserror::Error;

/// How a handshake is accepted: with a subprotocol, with headers.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::Accept;
///
/// let accept = Accept::new().subprotocol("chat.v2").header(("X-Node", "7"));
/// ```
#[derive(Clone, Default, Debug)]
#[must_use]
pub struct Accept {
    pub(crate) subprotocol: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Accept {
    /// Without a subprotocol, without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this subprotocol: one of those that the client offered, in [`Scope::subprotocols`](crate::Scope::subprotocols).
    /// It is not checked: a client that is told of another one fails the connection (RFC 6455, section 4.1).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// With one more header.
    ///
    /// # Panics
    ///
    /// When name or value have characters that a header may not have.
    #[track_caller]
    pub fn header(mut self, header: impl TryIntoHeaderPair) -> Self {
        self.headers.push(pair(header));
        self
    }
}

/// The refusal of a handshake, with the response to give: an error that `connect` returns.
///
/// In a hook it is returned as `Err(deny.into())`, or by `?`. After the handshake is accepted it is an error like any
/// other, and closes the connection with 1011. A script in a browser sees neither status nor body, only a close with
/// 1006.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Deny, actix_web::http::StatusCode};
///
/// let deny = Deny::new(StatusCode::UNAUTHORIZED)
///     .header(("WWW-Authenticate", "Bearer"))
///     .body("log in first");
/// assert_eq!(deny.to_string(), "refused with 401 Unauthorized");
/// ```
#[derive(Clone, Debug, Error)]
#[error("refused with {status}")]
pub struct Deny {
    status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Deny {
    /// With this status and no body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// With status 403 and no body.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }

    /// With one more header.
    ///
    /// # Panics
    ///
    /// When name or value have characters that a header may not have.
    #[track_caller]
    #[must_use]
    pub fn header(mut self, header: impl TryIntoHeaderPair) -> Self {
        self.headers.push(pair(header));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in self.headers {
            response.append_header(header);
        }
        response.body(self.body)
    }
}

#[track_caller]
fn pair(header: impl TryIntoHeaderPair) -> (HeaderName, HeaderValue) {
    match header.try_into_pair() {
        Ok(pair) => pair,
        Err(error) => panic!("not a header: {}", error.into()),
    }
}
