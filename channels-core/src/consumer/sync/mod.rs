//! Consumers whose hooks may block.

mod blocking;
mod context;
mod error;

pub(crate) use self::blocking::Blocking;
pub use self::{context::SyncContext, error::SyncError};
use crate::{Close, Dispatch, Envelope, FromMessage, Layers, Message, Result, Scope};

/// A consumer with plain `fn` hooks, which may block: Channels' `SyncConsumer` and `WebsocketConsumer`.
///
/// Its hooks run on a pool of threads, one at a time for each connection and in order, as those of a
/// [`Consumer`](crate::Consumer) do. While one blocks, other connections go on; when as many block as the pool has
/// threads ([`Server::blocking_threads`](crate::Server::blocking_threads)), further ones wait. What it asks of its
/// context is done on the connection's own thread, and the answer waited for: a few microseconds each.
///
/// A route takes it like any other consumer. `#[consumer]` writes [`dispatch`](Self::dispatch) for it from `#[handler]`
/// methods; by hand it looks like this:
///
/// ```
/// # use channels_core as channels;
/// use channels::{SyncConsumer, SyncContext, SyncError, Text, URLRouter, path};
///
/// #[derive(Default)]
/// struct Archive;
///
/// impl SyncConsumer for Archive {
///     type Input = Text;
///
///     fn receive(&mut self, cx: &mut SyncContext, Text(name): Text) -> Result<(), SyncError> {
///         let text = std::fs::read_to_string(format!("archive/{}.txt", name.replace(['/', '.'], "")))?;
///         cx.send(text)
///     }
/// }
///
/// let routes = URLRouter::new([path("ws/archive/", Archive::default)])?;
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// For one blocking call in a consumer that does not block otherwise there is [`Context::block`](crate::Context::block).
///
/// # Errors
///
/// As of a [`Consumer`](crate::Consumer): an error or a panic closes this one connection with 1011.
///
/// A hook that blocks cannot be cancelled. When the connection has ended and
/// [`Config::hook_grace`](crate::Config::hook_grace) is over it goes on alone, everything that it asks of its context
/// fails, and `disconnect` runs when it has returned, if that is within
/// [`Config::disconnect_timeout`](crate::Config::disconnect_timeout).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a synchronous consumer",
    label = "not a synchronous consumer",
    note = "write `#[consumer] impl SyncConsumer for {Self} {{ … }}`"
)]
pub trait SyncConsumer: Send + Sized + 'static {
    /// What `receive` takes: as [`Consumer::Input`](crate::Consumer::Input).
    type Input: FromMessage + Send;

    /// The alias of the channel layer that this consumer uses.
    const LAYER: &'static str = Layers::DEFAULT;

    /// Groups that every connection joins before `connect` and leaves after `disconnect`. It runs on the connection's
    /// thread, and must not block.
    fn groups(&self, scope: &Scope) -> Vec<String> {
        let _ = scope;
        Vec::new()
    }

    /// Decides about the handshake, before it is answered.
    ///
    /// # Errors
    ///
    /// A [`Deny`](crate::Deny) refuses it with its response.
    fn connect(&mut self, cx: &mut SyncContext) -> Result<(), SyncError> {
        let _ = cx;
        Ok(())
    }

    /// Handles a message of the client. Does nothing unless it is written.
    ///
    /// # Errors
    ///
    /// Any, which closes the connection with 1011.
    fn receive(&mut self, cx: &mut SyncContext, input: Self::Input) -> Result<(), SyncError> {
        let _ = (cx, input);
        Ok(())
    }

    /// Runs exactly once for every connection that reached `connect`, however it ended; its groups are left afterwards.
    fn disconnect(&mut self, cx: &mut SyncContext, close: &Close) {
        let _ = (cx, close);
    }

    /// Gives an event to its handler. The macro writes this.
    ///
    /// # Errors
    ///
    /// The handler's.
    fn dispatch(&mut self, cx: &mut SyncContext, event: &Envelope) -> Result<Dispatch, SyncError> {
        let _ = (cx, event);
        Ok(Dispatch::Unhandled)
    }

    /// Gives an event to a pure handler: one without `self`. It runs on the thread of the connection that is asked first,
    /// and must not block. The macro writes this.
    fn render(event: &Envelope) -> Option<Result<Message>> {
        let _ = event;
        None
    }
}
