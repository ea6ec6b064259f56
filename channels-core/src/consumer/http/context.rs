//! What the hooks of an [`HttpConsumer`](super::HttpConsumer) do beyond those of any consumer.

use actix_web::HttpResponse;
use bytes::Bytes;

use crate::{Context, Message, WriteError, scope::Protocol};

/// The response to an HTTP request.
impl Context {
    /// Begins the response: with the status and the headers of this one, which has no body.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result, actix_web::HttpResponse};
    /// # async fn handle(cx: &mut Context) -> Result<()> {
    /// cx.send_headers(HttpResponse::Ok().content_type("text/plain").finish())?;
    /// cx.send_body("one, ", true)?;
    /// cx.send_body("two", false)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WriteError::AlreadyAccepted`] when it is begun already, [`WriteError::Closed`] when it is complete or the client has
    /// gone, [`WriteError::NotHttp`] when the consumer answers no HTTP request.
    pub fn send_headers(&self, response: HttpResponse) -> Result<(), WriteError> {
        self.answers_http()?;
        self.port().respond(self.with_middlewares_headers(response))
    }

    /// Sends a part of the response's body; `more` says whether another one follows. The last one completes the response.
    ///
    /// A client that takes nothing is treated as that of a WebSocket:
    /// [`Config::max_waiting_bytes`](crate::Config::max_waiting_bytes).
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAccepted`] before [`send_headers`](Self::send_headers), [`WriteError::Overflow`] when too much waits
    /// for the client; otherwise as there.
    pub fn send_body(&self, part: impl Into<Bytes>, more: bool) -> Result<(), WriteError> {
        self.answers_http()?;
        let part = part.into();
        // An empty chunk would end the body (RFC 9112, section 7.1).
        if !part.is_empty() {
            self.port().send(Message::Binary(part))?;
        }
        if more { Ok(()) } else { self.port().complete() }
    }

    /// Sends the whole response.
    ///
    /// # Errors
    ///
    /// As [`send_headers`](Self::send_headers).
    pub fn send_response(&self, response: impl Into<HttpResponse>) -> Result<(), WriteError> {
        self.send_headers(response.into())?;
        self.port().complete()
    }

    fn answers_http(&self) -> Result<(), WriteError> {
        if self.scope().protocol() == Protocol::Http { Ok(()) } else { Err(WriteError::NotHttp) }
    }

    fn with_middlewares_headers(&self, mut response: HttpResponse) -> HttpResponse {
        for (name, value) in self.scope().answer.take() {
            response.headers_mut().append(name, value);
        }
        response
    }
}
