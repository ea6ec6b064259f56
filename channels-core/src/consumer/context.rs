//! What a hook may do.

use std::{fmt, rc::Rc};

use serde::Serialize;

use super::{Accept, Deny, Encoding, WriteError};
use crate::{
    Close, CloseCode, Message, Result, Scope,
    event::IntoEvent,
    layer::{ChannelName, GroupName, GroupSend, Layer, LayerError, Layers, NameError, Seat, SendError},
    presence::{Entry, Presence, PresenceError},
    room,
    scope::{Alarm, Deadline},
    session::{Panic, Port},
};

/// What a hook may do: answer the handshake, send, close, join groups, reach others.
///
/// Sending does not wait: a message is on its way when the call returns, not when the hook does. What must wait for
/// others, as joining a group, is `async`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Message, Result};
///
/// #[derive(Default)]
/// struct Room;
///
/// impl Consumer for Room {
///     type Input = Message;
///
///     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
///         let group = format!("chat_{}", cx.scope().kwarg("group")?);
///         cx.group_add(group).await?; // nothing sent after this line is missed
///         cx.accept()?;
///         cx.send("welcome")?;
///         Ok(())
///     }
/// }
/// ```
pub struct Context {
    port: Rc<Port>,
    scope: Scope,
    layers: Layers,
    layer: Layer,
    seat: Seat,
    groups: Vec<GroupName>,
    /// The groups in which it is present, and as whom.
    present: Vec<(GroupName, String)>,
    alarm: Option<Alarm>,
}

impl Context {
    pub(crate) fn new(port: Rc<Port>, scope: Scope, layers: Layers, layer: Layer) -> Self {
        let seat = layer.get_ref().hub().sit_down(port.clone());
        Self { port, scope, layers, layer, seat, groups: Vec::new(), present: Vec::new(), alarm: None }
    }

    pub(crate) fn port(&self) -> &Rc<Port> {
        &self.port
    }

    /// What is known of the connection.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The same, to change its [extensions](Scope::extensions).
    pub fn scope_mut(&mut self) -> &mut Scope {
        &mut self.scope
    }

    /// The name under which others reach this connection with [`send_to`](Self::send_to). It is unguessable, and dies
    /// with the connection.
    #[must_use]
    pub fn channel_name(&self) -> &ChannelName {
        self.seat.name()
    }

    /// Accepts the handshake, in `connect`. Without it, `connect` accepts when it returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`WriteError::AlreadyAccepted`], or [`WriteError::Closed`] when it is refused or the client has gone.
    pub fn accept(&self) -> Result<(), WriteError> {
        self.accept_with(Accept::new())
    }

    /// Accepts the handshake with a subprotocol or headers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Accept, Context, Result};
    /// # async fn connect(cx: &mut Context) -> Result<()> {
    /// if cx.scope().subprotocols().iter().any(|name| name == "chat.v2") {
    ///     cx.accept_with(Accept::new().subprotocol("chat.v2"))?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn accept_with(&self, mut accept: Accept) -> Result<(), WriteError> {
        accept.headers.extend(self.scope.answer.take());
        self.port.accept(accept)
    }

    /// Sends a message to the client: text from a `&str` or `String`, binary from a `&[u8]`, `Vec<u8>` or `Bytes`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// cx.send("text")?;
    /// cx.send(format!("{} and more", "text"))?;
    /// cx.send(vec![1, 2, 3])?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`WriteError`], which [`Error::write_error`](crate::Error::write_error) gives: not accepted yet, closed already, or more bytes wait for the client than
    /// [`Config::max_waiting_bytes`](crate::Config::max_waiting_bytes) allows; what becomes of the connection then says
    /// [`Config::slow_client`](crate::Config::slow_client).
    #[track_caller]
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        Ok(self.port.send(message.into())?)
    }

    /// Sends a value as JSON text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// cx.send_json(&["a", "b"])?; // ["a","b"]
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON; otherwise as [`send`](Self::send).
    #[track_caller]
    pub fn send_json(&self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.send(Message::json(value)?)
    }

    /// Sends a value, written as `E`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// cx.send_as::<channels::JsonText>(&["a", "b"])
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the value cannot be written so; otherwise as [`send`](Self::send).
    #[track_caller]
    pub fn send_as<E: Encoding>(&self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.send(E::encode(value)?)
    }

    /// Sends bytes as a binary message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_bytes(&self, bytes: impl Into<bytes::Bytes>) -> Result<()> {
        self.send(Message::Binary(bytes.into()))
    }

    /// Runs something that blocks on the pool of threads for it, and waits for it without holding up others: a file, a
    /// password's hash, a database without `async`.
    ///
    /// The pool is that of [`SyncConsumer`](crate::SyncConsumer)s. What blocks goes on when the hook is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// let text = cx.block(|| std::fs::read_to_string("motd.txt")).await?;
    /// cx.send(text)
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `what` panics.
    pub async fn block<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(|| Panic::catch(what)).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => panic.resume(),
            // The runtime ends, and this hook with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Closes the connection with a code and a reason of at most 123 bytes (the rest is cut), behind what was sent.
    /// `disconnect` runs when this hook has returned. A second close changes nothing.
    ///
    /// Before the handshake is answered this refuses it with 403, and the client learns neither code nor reason: accept
    /// first where it should. A code that may not stand in a close frame ([`CloseCode::may_be_sent`]) is sent as none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # async fn receive(cx: &mut channels::Context) {
    /// cx.close(4503, "you were banned");
    /// # }
    /// ```
    pub fn close(&self, code: impl Into<CloseCode>, reason: impl AsRef<str>) {
        self.port.close(Close::new(code, reason));
    }

    /// Ends this consumer: Channels' `StopConsumer`. An open connection is closed with 1000, a handshake refused with
    /// 403.
    pub fn stop(&self) {
        self.close(CloseCode::NORMAL, "");
    }

    /// Joins a group. When it resolves, nothing that is sent to the group misses this connection. Joining twice is
    /// joining once.
    ///
    /// A name has 1 to 99 bytes of ASCII letters, digits, `-`, `_` and `.`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn connect(cx: &mut Context) -> Result<()> {
    /// let room: u64 = cx.scope().kwarg_as("room")?;
    /// cx.group_add(format!("chat_{room}")).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] with the character that a group's name may not have.
    pub async fn group_add<G>(&mut self, group: G) -> Result<(), LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let group = group.try_into().map_err(Into::into)?;
        let is_new = !self.groups.contains(&group);
        if is_new {
            // Before it is known to have joined: a hook that is cancelled here leaves the group at its end.
            room::push(&mut self.groups, group.clone());
        }
        let joined = self.layer.get_ref().group_add(&group, self.seat.name()).await;
        if joined.is_err() && is_new {
            self.groups.retain(|name| *name != group);
        }
        joined
    }

    /// Who is here: to be present in a group oneself, and to see who else is. Its [page](crate::presence) tells more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn connect(cx: &mut Context) -> Result<()> {
    /// cx.presence("room").join("ada", "on the phone").await?;
    /// let people = cx.presence("room").list::<String>().await?;
    /// assert!(people.iter().any(|person| person.who == "ada"));
    /// # Ok(()) }
    /// ```
    pub fn presence<G>(&mut self, group: G) -> Presence<'_>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        Presence::new(self, group.try_into().map_err(Into::into))
    }

    /// Leaves a group; not being in it is no error. Every group is left after `disconnect` anyway.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] with the character that a group's name may not have.
    pub async fn group_discard<G>(&mut self, group: G) -> Result<(), LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        let group = group.try_into().map_err(Into::into)?;
        self.layer.get_ref().group_discard(&group, self.seat.name()).await?;
        self.groups.retain(|name| *name != group);
        self.present.retain(|(name, _)| *name != group);
        Ok(())
    }

    /// Sends an event to every member of a group, this connection too if it is one. What it returns is awaited; before
    /// that, [`to`](GroupSend::to) adds a group, [`except`](GroupSend::except) leaves a channel out, as its own, and
    /// [`report`](GroupSend::report) asks what became of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result, event};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// cx.group_send("chat_7", event!({"type": "chat.message", "text": "hi"})).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LayerError`] when the name or the event is not one. Members without room are no error but a number in the
    /// report.
    pub fn group_send<G>(&self, group: G, event: impl IntoEvent) -> GroupSend<'_>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        self.layer.group_send(group, event)
    }

    /// Sends an event to one channel: to a connection by its [`channel_name`](Self::channel_name), or to a worker.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, RawEvent, Result, event};
    /// # async fn asked(cx: &mut Context, event: &RawEvent) -> Result<()> {
    /// if let Some(reply_to) = event.get::<String>("reply_to") {
    ///     cx.send_to(reply_to, event!({"type": "answer", "number": 42})).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::ChannelFull`] when as many events as it holds wait there. A connection that has ended is no error.
    pub async fn send_to<N>(&self, channel: N, event: impl IntoEvent) -> Result<(), SendError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        self.layer.send(channel, event).await
    }

    /// The groups this connection is in, in the order of joining.
    #[must_use]
    pub fn groups(&self) -> &[GroupName] {
        &self.groups
    }

    /// The channel layer of this consumer. A clone of it can be given to a task or a thread, which outlives the hook.
    #[must_use]
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// All channel layers of the application.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Does what middleware wants done before `connect`.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let deadline = self.scope.demands.deadline.take();
        self.set_deadline(deadline);
        for join in std::mem::take(&mut self.scope.demands.joins) {
            self.group_add(join.group).await?;
            if !(join.still)(&self.scope).await? {
                return Err(Deny::forbidden().into());
            }
        }
        Ok(())
    }

    /// Closes the connection then, and not at the time that was set before.
    pub(crate) fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.alarm = deadline.map(|deadline| Alarm::set(deadline, &self.port));
    }

    /// As whom it is present in a group.
    pub(crate) fn present_as(&self, group: &GroupName) -> Option<&str> {
        self.present.iter().find(|(name, _)| name == group).map(|(_, who)| who.as_str())
    }

    pub(crate) async fn set_present(&mut self, group: &GroupName, entry: Entry) -> Result<(), PresenceError> {
        let who = entry.who.clone();
        self.layer.get_ref().presence_set(group, entry).await?;
        self.present.retain(|(name, _)| name != group);
        self.present.push((group.clone(), who));
        Ok(())
    }

    pub(crate) async fn unset_present(&mut self, group: &GroupName) -> Result<(), LayerError> {
        self.present.retain(|(name, _)| name != group);
        self.layer.get_ref().presence_unset(group, self.seat.name()).await
    }

    /// Leaves every group, and counts the events that nobody will take.
    pub(crate) async fn leave(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            if let Err(error) = self.layer.get_ref().group_discard(&group, self.seat.name()).await {
                tracing::warn!(%group, %error, "could not leave a group");
            }
        }
        self.port.drop_events();
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("channel_name", self.channel_name())
            .field("scope", &self.scope)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
