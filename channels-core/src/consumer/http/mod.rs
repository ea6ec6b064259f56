//! Consumers that answer HTTP requests.

mod body;
mod context;
mod responding;

use std::future::Future;

pub use self::body::{Body, BodyError, FromBody};
pub(crate) use self::responding::Responding;
use crate::{Close, Context, Dispatch, Envelope, Layers, Message, Result, Scope};

/// What answers an HTTP request, perhaps in parts, and hears events as long as the response is open: Channels'
/// `AsyncHttpConsumer`.
///
/// There is one instance for each request. [`ProtocolTypeRouter::http_consumers`](crate::ProtocolTypeRouter::http_consumers)
/// routes to it; a handler that only answers is written in plain actix-web.
///
/// The response is begun by [`Context::send_headers`] and goes on with [`Context::send_body`], or is sent whole by
/// [`Context::send_response`], in `handle` or in a handler of an event. It is open until its last part is sent, or the client
/// goes away; then `disconnect` runs and the groups are left. What is not begun within
/// [`Config::response_timeout`](crate::Config::response_timeout) is answered with 503.
///
/// # Examples
///
/// A long poll: the answer is the next message to the room.
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Context, Dispatch, Envelope, Result};
/// use channels::{HttpConsumer, actix_web::HttpResponse};
///
/// #[derive(Default)]
/// struct NextMessage;
///
/// impl HttpConsumer for NextMessage {
///     type Input = ();
///
///     async fn handle(&mut self, cx: &mut Context, (): ()) -> Result<()> {
///         cx.group_add("room").await?; // the response stays open
///         Ok(())
///     }
///
///     // With `#[consumer]`, a `#[handler]`.
///     async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
///         cx.send_response(HttpResponse::Ok().body(event.name().to_owned()))?;
///         Ok(Dispatch::Handled)
///     }
/// }
/// ```
///
/// # Errors
///
/// A hook or handler that returns an error, or panics, is logged. If the response is not begun it is the response of a
/// [`Deny`](crate::Deny), or 500; if it is, it is broken off, so that the client can tell.
///
/// # Untrusted input
///
/// The body is what the client wrote; see [`FromBody`] for how much of it is taken.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer of HTTP requests",
    label = "not a consumer of HTTP requests",
    note = "write `#[consumer] impl HttpConsumer for {Self} {{ … }}`"
)]
pub trait HttpConsumer: Sized + 'static {
    /// What `handle` takes of the body: all of it as [`Bytes`](bytes::Bytes), `String` or [`Json<T>`](crate::Json), or a
    /// [`Body`] to take it in parts, or `()` to leave it.
    type Input: FromBody;

    /// The alias of the channel layer that this consumer uses.
    const LAYER: &'static str = Layers::DEFAULT;

    /// Groups that every request joins before `handle` and leaves after `disconnect`.
    fn groups(&self, scope: &Scope) -> Vec<String> {
        let _ = scope;
        Vec::new()
    }

    /// Handles the request. The response need not be complete when it returns.
    fn handle(&mut self, cx: &mut Context, body: Self::Input) -> impl Future<Output = Result<()>>;

    /// Runs exactly once for every request, when the response is complete or the client has gone away, which
    /// [`Close::code`] tells: 1000 or 1006.
    fn disconnect(&mut self, cx: &mut Context, close: &Close) -> impl Future<Output = ()> {
        let _ = (cx, close);
        async {}
    }

    /// Gives an event to its handler. The macro writes this.
    fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> impl Future<Output = Result<Dispatch>> {
        let _ = (cx, event);
        async { Ok(Dispatch::Unhandled) }
    }

    /// Gives an event to a pure handler: one without `self`. Its message is a part of the body. The macro writes this.
    fn render(event: &Envelope) -> Option<Result<Message>> {
        let _ = event;
        None
    }
}
