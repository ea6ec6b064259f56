//! Consumers: one instance per connection, one input at a time.

mod accept;
mod context;
mod encoding;
mod http;
mod input;
mod streams;
mod sync;

use std::{future::Future, sync::Arc};

use thiserror::Error;

#[cfg(feature = "msgpack")]
pub use self::encoding::MessagePack;
pub use self::{
    accept::{Accept, Deny},
    context::Context,
    encoding::{Encoding, JsonText, Typed},
    http::{Body, BodyError, FromBody, HttpConsumer},
    input::{Binary, FromMessage, InputError, Json, Text},
    streams::Demultiplexer,
    sync::{SyncConsumer, SyncContext, SyncError},
};
pub(crate) use self::{http::Responding, sync::Blocking};
use crate::{Close, Dispatch, Envelope, Message, Result, Scope, scope::Protocol};

/// What handles a connection: hooks in the order of its life, and handlers for events.
///
/// There is one instance for each connection, made by the factory in the route. Its inputs, which are the client's
/// messages and the events of the channel layer, are handled one at a time: a hook has `&mut self` and needs no lock.
/// While a hook awaits, at most one more message is read from the client; the rest waits in the socket.
///
/// The `#[consumer]` macro of the `channels` crate writes [`dispatch`](Self::dispatch) and [`Input`](Self::Input) and
/// takes `#[handler]` methods; by hand it looks like this:
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Result, Text};
///
/// struct Echo;
///
/// impl Consumer for Echo {
///     type Input = Text;
///
///     async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
///         cx.send(text)?;
///         Ok(())
///     }
/// }
/// ```
///
/// # Errors
///
/// A hook or handler that returns an error, or panics, is logged with the consumer, the path and the line; this one
/// connection is closed with 1011. Before the handshake is answered it is refused: with the response of a [`Deny`], or
/// with 500 for another error. A [`WriteError`] that tells of a client which has left, or reads too slowly, ends the hook alone.
///
/// # Untrusted input
///
/// What `receive` gets is what the client wrote, checked only for its kind: a [`Json<T>`](Json) that does not fit `T` is
/// answered with close 1007 before `receive` runs. Events come from your own processes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer",
    label = "not a consumer",
    note = "write `#[consumer] impl Consumer for {Self} {{ … }}`; a route takes a function that makes one: `{Self}::default`"
)]
pub trait Consumer: Sized + 'static {
    /// What `receive` takes: [`Message`], [`Text`], [`Binary`], [`Json<T>`](Json), or your own [`FromMessage`].
    type Input: FromMessage;

    /// The alias of the channel layer that this consumer uses.
    const LAYER: &'static str = crate::Layers::DEFAULT;

    /// What it takes: connections of WebSockets and channels, or requests.
    #[doc(hidden)]
    const PROTOCOL: Protocol = Protocol::Websocket;

    /// Groups that every connection joins before `connect` and leaves after `disconnect`.
    fn groups(&self, scope: &Scope) -> Vec<String> {
        let _ = scope;
        Vec::new()
    }

    /// Decides about the handshake, before it is answered: `Ok` accepts it (as does [`Context::accept`], which lets the
    /// hook go on behind it), a [`Deny`] or [`Context::close`] refuses it.
    fn connect(&mut self, cx: &mut Context) -> impl Future<Output = Result<()>> {
        let _ = cx;
        async { Ok(()) }
    }

    /// Handles a message of the client. Does nothing unless it is written.
    fn receive(&mut self, cx: &mut Context, input: Self::Input) -> impl Future<Output = Result<()>> {
        let _ = (cx, input);
        async { Ok(()) }
    }

    /// Runs exactly once for every connection that reached `connect`, however it ended; its groups are left afterwards.
    ///
    /// It has 10 s ([`Config::disconnect_timeout`](crate::Config::disconnect_timeout)) and is cancelled then.
    fn disconnect(&mut self, cx: &mut Context, close: &Close) -> impl Future<Output = ()> {
        let _ = (cx, close);
        async {}
    }

    /// Gives an event to its handler. The macro writes this.
    fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> impl Future<Output = Result<Dispatch>> {
        let _ = (cx, event);
        async { Ok(Dispatch::Unhandled) }
    }

    /// The same for an event that may go to another thread.
    #[doc(hidden)]
    fn dispatch_shared(&mut self, cx: &mut Context, event: &Arc<Envelope>) -> impl Future<Output = Result<Dispatch>> {
        self.dispatch(cx, event)
    }

    /// The name under which it is logged and listed.
    #[doc(hidden)]
    fn type_name() -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Gives an event to a pure handler: one without `self`, which runs once for all members of this type. `None` when
    /// there is none for this event. The macro writes this.
    fn render(event: &Envelope) -> Option<Result<Message>> {
        let _ = event;
        None
    }
}

/// A message that cannot be sent, or a handshake that cannot be answered, at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Call `cx.accept()` first: nothing can be sent before the handshake is answered.
    #[error("the handshake is not accepted yet; call `cx.accept()` before sending")]
    NotAccepted,
    /// A handshake is answered once.
    #[error("the handshake is accepted already")]
    AlreadyAccepted,
    /// The connection is closing or gone.
    #[error("the connection is closed")]
    Closed,
    /// The consumer reads a channel for a worker: there is nobody to send to but groups and other channels.
    #[error("this consumer has no client: it reads a channel")]
    NoClient,
    /// The consumer answers no HTTP request: only those of `http_consumers` do.
    #[error("this consumer does not answer an HTTP request")]
    NotHttp,
    /// The client reads more slowly than it is sent to. The message is dropped; whether the connection closes (4429) says
    /// [`Config::slow_client`](crate::Config::slow_client). A hook of a [`Consumer`] that passes it on ends, and is no failure.
    #[error("{waiting} bytes wait for the client already (the most is {limit})")]
    Overflow {
        /// Bytes that wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
}
