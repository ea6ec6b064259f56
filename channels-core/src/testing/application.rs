//! An application, one input and one output at a time.

use std::{sync::Arc, time::Duration};

use actix_web::{body::MessageBody, http::StatusCode};
use bytes::Bytes;

use super::{
    TestError,
    run::{Running, Start, within},
};
use crate::{
    Close, CloseCode, Config, Deny, Envelope, EventError, IntoEvent, Layers, Message, Scope,
    frame::{Incoming, Outgoing},
    routing::{Application, IntoApplication},
    scope::Headers,
    session::Answer,
};

/// How long a communicator waits for what it expects, unless it is told otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing must come for it to be nothing.
pub(super) const MOMENT: Duration = Duration::from_millis(100);

/// How a handshake was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connected {
    /// Whether it was accepted.
    pub accepted: bool,
    /// 101, or the status of the refusal.
    pub status: StatusCode,
    /// The subprotocol that the consumer chose.
    pub subprotocol: Option<String>,
    /// The headers that the consumer added.
    pub headers: Headers,
    /// The body of the refusal; empty when it has none.
    pub body: Bytes,
}

impl From<Answer> for Connected {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accept(accept) => Self {
                accepted: true,
                status: StatusCode::SWITCHING_PROTOCOLS,
                subprotocol: accept.subprotocol,
                headers: accept.headers.into_iter().collect(),
                body: Bytes::new(),
            },
            Answer::Respond(response) => Self {
                accepted: true,
                status: response.status(),
                subprotocol: None,
                headers: response.headers().into(),
                body: response.into_body().try_into_bytes().unwrap_or_default(),
            },
            Answer::Refuse(deny) => deny.into(),
        }
    }
}

impl From<Deny> for Connected {
    fn from(deny: Deny) -> Self {
        let response = deny.into_response();
        Self {
            accepted: false,
            status: response.status(),
            subprotocol: None,
            headers: response.headers().into(),
            body: response.into_body().try_into_bytes().unwrap_or_default(),
        }
    }
}

/// What a consumer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A message of the client.
    Message(Message),
    /// An event, as from the channel that a worker reads. [`Input::event`] makes it.
    Event(Arc<Envelope>),
    /// The answer to a ping.
    Pong,
    /// The client's close frame.
    Close(CloseCode),
    /// The connection is lost.
    Gone,
}

impl Input {
    /// An event: a struct with `#[derive(Event)]`, or `event!({"type": …})`.
    ///
    /// # Errors
    ///
    /// [`EventError`] when its name or shape is not an event's.
    pub fn event(event: impl IntoEvent) -> Result<Self, EventError> {
        event.into_event().map(|envelope| Self::Event(Arc::new(envelope)))
    }
}

impl<M: Into<Message>> From<M> for Input {
    fn from(message: M) -> Self {
        Self::Message(message.into())
    }
}

/// What a consumer does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// It answers the handshake.
    Answer(Connected),
    /// It sends a message.
    Message(Message),
    /// The server asks whether the client is there.
    Ping,
    /// The connection closes: the last output.
    Close(Close),
}

/// Drives a consumer, or a whole application, by single inputs and outputs. Channels' `ApplicationCommunicator`.
///
/// It takes a scope of any kind, so it tests what a [`WebsocketCommunicator`](super::WebsocketCommunicator) cannot: the
/// consumers of workers, and a client that leaves pings unanswered. It starts with the first input or output.
///
/// # Examples
///
/// A worker's consumer:
///
/// ```
/// # use channels_core as channels;
/// use channels::{
///     Consumer, Context, Dispatch, Envelope, Message, Protocol, Result, Scope, event,
///     testing::{ApplicationCommunicator, Input, Output},
/// };
///
/// #[derive(Default)]
/// struct Mailer;
///
/// impl Consumer for Mailer {
///     type Input = Message;
///
///     async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
///         cx.group_send("postmasters", event!({"type": "mail.sent"})).await?;
///         cx.stop();
///         Ok(Dispatch::Handled)
///     }
/// }
///
/// # channels::run(async {
/// let scope = Scope::new(Protocol::Channel, "mail");
/// let mut worker = ApplicationCommunicator::new(Mailer::default, scope);
/// worker.send_input(Input::event(event!({"type": "mail.send", "to": "ann"})).unwrap()).await?;
/// assert!(matches!(worker.receive_output().await?, Output::Close(close) if close.code.get() == 1000));
/// worker.wait().await?;
/// # Ok::<(), channels::testing::TestError>(())
/// # }).unwrap();
/// ```
#[must_use = "a communicator does nothing until something is sent or received"]
pub struct ApplicationCommunicator {
    application: Arc<dyn Application>,
    layers: Layers,
    config: Config,
    timeout: Duration,
    state: State,
}

enum State {
    Waiting(Box<Scope>),
    /// Refused before a consumer was made; the answer is told once.
    Refused(Option<Box<Connected>>, StatusCode),
    Running(Running),
    Closed(Close, Running),
    /// It could not be started.
    Failed,
}

impl ApplicationCommunicator {
    /// Drives an application, or a function that makes a consumer, with this scope.
    pub fn new<Kind>(to: impl IntoApplication<Kind>, scope: Scope) -> Self {
        Self {
            application: to.into_application(),
            layers: Layers::default(),
            config: Config::default(),
            timeout: PATIENCE,
            state: State::Waiting(Box::new(scope)),
        }
    }

    /// The same with these layers: those that share them share groups.
    pub fn layers(mut self, layers: impl Into<Layers>) -> Self {
        self.layers = layers.into();
        self
    }

    /// The same with these settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same, more or less patient: what it expects may take so long. A second, unless it is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The scope, to change it before the application starts: Channels' `communicator.scope["user"] = …`.
    ///
    /// # Panics
    ///
    /// When the application has started: the scope is its own then.
    #[track_caller]
    pub fn scope_mut(&mut self) -> &mut Scope {
        match &mut self.state {
            State::Waiting(scope) => scope,
            _ => panic!("the scope is set before the application starts"),
        }
    }

    /// Tells the consumer something.
    ///
    /// # Errors
    ///
    /// [`TestError::NoRoute`] when no consumer takes the scope, [`TestError::Refused`] when middleware refused it,
    /// [`TestError::Timeout`] when middleware does not decide. Of a consumer that has ended already it is no error.
    pub async fn send_input(&mut self, input: impl Into<Input>) -> Result<(), TestError> {
        self.start(self.timeout).await?;
        match &self.state {
            State::Running(running) | State::Closed(_, running) => {
                running.tell(match input.into() {
                    Input::Message(message) => Incoming::Message(message),
                    Input::Event(event) => Incoming::Event(event),
                    Input::Pong => Incoming::Pong,
                    Input::Close(code) => Incoming::Close(Some(Close::new(code, "").by_client())),
                    Input::Gone => Incoming::Gone,
                });
                Ok(())
            }
            State::Refused(_, status) => Err(TestError::Refused(*status)),
            State::Waiting(_) | State::Failed => Err(TestError::NotConnected),
        }
    }

    /// What the consumer does next.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when it does nothing, [`TestError::Closed`] when it has closed already; and as
    /// [`send_input`](Self::send_input).
    pub async fn receive_output(&mut self) -> Result<Output, TestError> {
        self.receive_output_within(self.timeout).await
    }

    /// What the consumer does within this time.
    ///
    /// # Errors
    ///
    /// As [`receive_output`](Self::receive_output).
    pub async fn receive_output_within(&mut self, wait: Duration) -> Result<Output, TestError> {
        self.start(wait).await?;
        let close = match &mut self.state {
            State::Running(running) => match within(wait, next(running)).await? {
                Output::Close(close) => close,
                output => return Ok(output),
            },
            State::Closed(close, _) => return Err(TestError::Closed(close.clone())),
            State::Refused(answer, status) => {
                let answer = answer.take().ok_or(TestError::Refused(*status))?;
                return Ok(Output::Answer(*answer));
            }
            State::Waiting(_) | State::Failed => return Err(TestError::NotConnected),
        };
        if let State::Running(running) = std::mem::replace(&mut self.state, State::Failed) {
            self.state = State::Closed(close.clone(), running);
        }
        Ok(Output::Close(close))
    }

    /// Whether the consumer does nothing for a tenth of a second.
    pub async fn receive_nothing(&mut self) -> bool {
        matches!(self.receive_output_within(MOMENT).await, Err(TestError::Timeout(_)))
    }

    /// Waits until the consumer has ended by itself: `disconnect` has run and the groups are left.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when it does not end within the time that it is given, and that its hooks have.
    pub async fn wait(&mut self) -> Result<(), TestError> {
        let patience =
            self.timeout.saturating_add(self.config.hook_grace).saturating_add(self.config.disconnect_timeout);
        match &mut self.state {
            State::Running(running) | State::Closed(_, running) => within(patience, running.ended()).await?,
            State::Refused(..) => Ok(()),
            State::Waiting(_) | State::Failed => Err(TestError::NotConnected),
        }
    }

    /// Ends the consumer as a lost connection does, and [waits](Self::wait) for its end.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub async fn stop(mut self) -> Result<(), TestError> {
        if let State::Running(running) | State::Closed(_, running) = &self.state {
            running.tell(Incoming::Gone);
        }
        self.wait().await
    }

    pub(super) fn patience(&self) -> Duration {
        self.timeout
    }

    pub(super) fn is_started(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    /// Starts the application, if it is not started. Middleware may take so long.
    async fn start(&mut self, wait: Duration) -> Result<(), TestError> {
        if self.is_started() {
            return Ok(());
        }
        if let State::Waiting(scope) = std::mem::replace(&mut self.state, State::Failed) {
            self.state = match Running::start(&*self.application, *scope, &self.layers, &self.config, wait).await? {
                Start::Running(running) => State::Running(running),
                Start::Refused(deny) => {
                    let status = deny.status();
                    State::Refused(Some(Box::new(deny.into())), status)
                }
            };
        }
        Ok(())
    }
}

/// What a consumer does next: first its answer, then what it sends.
async fn next(running: &mut Running) -> Output {
    if let Some(answer) = running.answer().await {
        return Output::Answer(answer.into());
    }
    loop {
        return match running.outgoing().await {
            Some(Outgoing::Message(message)) => Output::Message(message),
            Some(Outgoing::Shared(shared)) => Output::Message(shared.message.clone()),
            Some(Outgoing::Ping) => Output::Ping,
            Some(Outgoing::Pong(_)) => continue,
            Some(Outgoing::Close(close)) => {
                // Every client answers a close frame.
                running.tell(Incoming::Close(Some(close.clone())));
                Output::Close(close)
            }
            None => Output::Close(running.ending()),
        };
    }
}
