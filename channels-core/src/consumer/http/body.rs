//! The body of a request.

use std::future::{Future, poll_fn};

use actix_web::{dev::Payload, error::PayloadError, http::StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{Deny, Json};

/// The body of a request, to be taken in parts as they arrive.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Context, HttpConsumer, Result, actix_web::HttpResponse};
/// use channels::Body;
///
/// struct Count;
///
/// impl HttpConsumer for Count {
///     type Input = Body;
///
///     async fn handle(&mut self, cx: &mut Context, mut body: Body) -> Result<()> {
///         let mut bytes = 0;
///         while let Some(part) = body.next().await? {
///             bytes += part.len();
///         }
///         cx.send_response(HttpResponse::Ok().body(bytes.to_string()))?;
///         Ok(())
///     }
/// }
/// ```
pub struct Body(Option<Payload>);

/// The rest of a body that does not come: the client has gone, or broke a rule of HTTP.
#[derive(Debug, Error)]
#[error("the body of the request broke off")]
pub struct BodyError(#[source] PayloadError);

impl Body {
    pub(super) fn new(payload: Option<Payload>) -> Self {
        Self(payload)
    }

    /// The next part; `None` at the end. What is not asked for is not read: the client waits.
    ///
    /// # Errors
    ///
    /// [`BodyError`] when the rest will not come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(payload) = &mut self.0 else { return Ok(None) };
        let part = poll_fn(|task| std::pin::Pin::new(&mut *payload).poll_next(task)).await;
        part.transpose().map_err(BodyError)
    }

    /// All of it.
    async fn whole(mut self, limit: usize) -> Result<Bytes, Deny> {
        let mut whole = BytesMut::new();
        loop {
            match self.next().await {
                Ok(None) => return Ok(whole.freeze()),
                Ok(Some(part)) if whole.len() + part.len() > limit => {
                    return Err(
                        Deny::new(StatusCode::PAYLOAD_TOO_LARGE).body(format!("the body is over {limit} bytes"))
                    );
                }
                Ok(Some(part)) => whole.extend_from_slice(&part),
                Err(error) => return Err(bad(error.to_string())),
            }
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// What can be made of a request's body: the type of [`HttpConsumer::handle`](super::HttpConsumer::handle)'s last parameter.
#[diagnostic::on_unimplemented(
    message = "`handle` cannot take a `{Self}`",
    label = "not made from the body of a request",
    note = "take `Bytes`, `String`, `Json<T>`, a `Body` or `()`, or implement `FromBody`"
)]
pub trait FromBody: Sized {
    /// Makes it of the body.
    ///
    /// `limit` is how many bytes may be kept, [`Config::max_message_size`](crate::Config::max_message_size).
    ///
    /// # Errors
    ///
    /// The response that the client gets instead: 413 for too much, 400 for what does not fit.
    fn from_body(body: Body, limit: usize) -> impl Future<Output = Result<Self, Deny>>;
}

impl FromBody for Body {
    async fn from_body(body: Body, _: usize) -> Result<Self, Deny> {
        Ok(body)
    }
}

impl FromBody for () {
    async fn from_body(_: Body, _: usize) -> Result<Self, Deny> {
        Ok(())
    }
}

impl FromBody for Bytes {
    async fn from_body(body: Body, limit: usize) -> Result<Self, Deny> {
        body.whole(limit).await
    }
}

impl FromBody for String {
    async fn from_body(body: Body, limit: usize) -> Result<Self, Deny> {
        let bytes = body.whole(limit).await?;
        Self::from_utf8(bytes.into()).map_err(|_| bad("the body is not UTF-8".to_owned()))
    }
}

impl<T: DeserializeOwned> FromBody for Json<T> {
    async fn from_body(body: Body, limit: usize) -> Result<Self, Deny> {
        let bytes = body.whole(limit).await?;
        serde_json::from_slice(&bytes).map(Json).map_err(|error| bad(format!("not the JSON that is wanted: {error}")))
    }
}

fn bad(why: String) -> Deny {
    Deny::new(StatusCode::BAD_REQUEST).body(why)
}
