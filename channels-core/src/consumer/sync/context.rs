//! What a hook that blocks may do.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use futures_util::future::{LocalBoxFuture, ready};

use super::SyncError;
use crate::{
    Accept, ChannelName, CloseCode, Context, GroupName, GroupReport, LayerError, Message, NameError, Scope, SendError,
    WriteError, event::IntoEvent,
};

/// Something to be done on the connection's thread.
pub(super) type Command = Box<dyn for<'a> FnOnce(&'a mut Context) -> LocalBoxFuture<'a, ()> + Send>;

/// What a hook of a [`SyncConsumer`](super::SyncConsumer) may do: what [`Context`] can, and it waits until it is done.
///
/// # Errors
///
/// Besides its own, every method fails with [`WriteError::Closed`] when the connection has ended and waits for the hook no
/// longer.
#[derive(Debug)]
pub struct SyncContext {
    commands: mpsc::UnboundedSender<Command>,
}

impl SyncContext {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { commands }
    }

    /// Does something with the connection's [`Context`], on its thread, and gives back what came of it. It must not
    /// block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{SyncContext, SyncError};
    /// # fn connect(cx: &mut SyncContext) -> Result<(), SyncError> {
    /// let groups = cx.with(|cx| cx.groups().len())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WriteError::Closed`].
    pub fn with<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Context) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        let (tell, told) = oneshot::channel();
        self.command(Box::new(move |cx| {
            let _ = tell.send(what(cx));
            Box::pin(ready(()))
        }))?;
        told.blocking_recv().map_err(|_| WriteError::Closed)
    }

    /// Does something that takes its time with the connection's [`Context`], on its thread, and waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{SyncContext, SyncError};
    /// # fn connect(cx: &mut SyncContext) -> Result<(), SyncError> {
    /// cx.wait(async |cx| {
    ///     cx.group_add("news").await?;
    ///     cx.group_add("news.rust").await
    /// })??;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WriteError::Closed`].
    pub fn wait<T: Send + 'static>(
        &self,
        what: impl AsyncFnOnce(&mut Context) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        let (tell, told) = oneshot::channel();
        self.command(Box::new(move |cx| {
            Box::pin(async move {
                let _ = tell.send(what(cx).await);
            })
        }))?;
        told.blocking_recv().map_err(|_| WriteError::Closed)
    }

    fn command(&self, command: Command) -> Result<(), WriteError> {
        self.commands.send(command).map_err(|_| WriteError::Closed)
    }

    /// Takes something out of the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{SyncContext, SyncError};
    /// # fn connect(cx: &mut SyncContext) -> Result<(), SyncError> {
    /// let room: u64 = cx.scope(|scope| scope.kwarg_as("room"))??;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WriteError::Closed`].
    pub fn scope<T: Send + 'static>(&self, what: impl FnOnce(&Scope) -> T + Send + 'static) -> Result<T, WriteError> {
        self.with(|cx| what(cx.scope()))
    }

    /// The name under which others reach this connection.
    ///
    /// # Errors
    ///
    /// [`WriteError::Closed`].
    pub fn channel_name(&self) -> Result<ChannelName, WriteError> {
        self.with(|cx| cx.channel_name().clone())
    }

    /// Accepts the handshake, in `connect`: [`Context::accept`].
    ///
    /// # Errors
    ///
    /// [`WriteError::AlreadyAccepted`], [`WriteError::Closed`].
    pub fn accept(&self) -> Result<(), WriteError> {
        self.accept_with(Accept::new())
    }

    /// Accepts the handshake with a subprotocol or headers: [`Context::accept_with`].
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn accept_with(&self, accept: Accept) -> Result<(), WriteError> {
        self.with(move |cx| cx.accept_with(accept))?
    }

    /// Sends a message to the client: [`Context::send`].
    ///
    /// # Errors
    ///
    /// A [`WriteError`].
    #[track_caller]
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SyncError> {
        let message = message.into();
        Ok(self.with(move |cx| cx.port().send(message))??)
    }

    /// Sends a value as JSON text: [`Context::send_json`].
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON; otherwise as [`send`](Self::send).
    #[track_caller]
    pub fn send_json(&self, value: &(impl Serialize + ?Sized)) -> Result<(), SyncError> {
        self.send(Message::json(value)?)
    }

    /// Closes the connection: [`Context::close`]. One that has ended is no error.
    pub fn close(&self, code: impl Into<CloseCode>, reason: impl AsRef<str>) {
        let close = crate::Close::new(code, reason);
        let _ = self.with(move |cx| cx.port().close(close));
    }

    /// Ends this consumer: [`Context::stop`].
    pub fn stop(&self) {
        self.close(CloseCode::NORMAL, "");
    }

    /// Joins a group: [`Context::group_add`].
    ///
    /// # Errors
    ///
    /// A [`LayerError`] with the character that a group's name may not have.
    #[track_caller]
    pub fn group_add<G>(&self, group: G) -> Result<(), SyncError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let group: GroupName = group.try_into().map_err(|error| LayerError::from(error.into()))?;
        Ok(self.wait(async move |cx| cx.group_add(group).await)??)
    }

    /// Leaves a group: [`Context::group_discard`].
    ///
    /// # Errors
    ///
    /// A [`LayerError`] with the character that a group's name may not have.
    #[track_caller]
    pub fn group_discard<G>(&self, group: G) -> Result<(), SyncError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let group: GroupName = group.try_into().map_err(|error| LayerError::from(error.into()))?;
        Ok(self.wait(async move |cx| cx.group_discard(group).await)??)
    }

    /// Sends an event to every member of a group, and reports what became of it: [`Context::group_send`].
    ///
    /// # Errors
    ///
    /// A [`LayerError`] when the name or the event is not one.
    #[track_caller]
    pub fn group_send<G>(&self, group: G, event: impl IntoEvent + Send + 'static) -> Result<GroupReport, SyncError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let group: GroupName = group.try_into().map_err(|error| LayerError::from(error.into()))?;
        Ok(self.wait(async move |cx| cx.group_send(group, event).report().await)??)
    }

    /// Sends an event to one channel: [`Context::send_to`].
    ///
    /// # Errors
    ///
    /// A [`SendError`].
    #[track_caller]
    pub fn send_to<N>(&self, channel: N, event: impl IntoEvent + Send + 'static) -> Result<(), SyncError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let channel: ChannelName = channel.try_into().map_err(|error| SendError::from(error.into()))?;
        Ok(self.wait(async move |cx| cx.send_to(channel, event).await)??)
    }
}
