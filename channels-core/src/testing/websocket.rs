//! A WebSocket's client, without a socket.

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use actix_web::http::{
    StatusCode,
    header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, TryIntoHeaderPair},
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    Close, CloseCode, Config, Context, Layers, Message, Scope,
    frame::{Incoming, Outgoing},
    routing::{Application, IntoApplication, Outcome, RouteList},
    scope::Headers,
    session::{Answer, Line, Port, Stats},
    transport::Transport,
};

/// How long a communicator waits for what it expects, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a test expected and did not get.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestError {
    /// The application did not send anything, or did not decide, in time.
    #[error("nothing came within {0:?}")]
    Timeout(Duration),
    /// The connection is closed.
    #[error("the connection is closed: {0}")]
    Closed(Close),
    /// The communicator is not connected: call `connect` first, and look whether it was accepted.
    #[error("not connected")]
    NotConnected,
    /// No route of the application fits the path.
    #[error("no application for {protocol} `{path}` (tried: {tried})")]
    NoRoute {
        /// The kind of connection asked for.
        protocol: &'static str,
        /// The path asked for.
        path: String,
        /// The routes there are.
        tried: String,
    },
    /// The message is of another kind than was asked for.
    #[error("expected {wanted}, got {got}")]
    Kind {
        /// `text` or `binary`.
        wanted: &'static str,
        /// The message, shortened.
        got: String,
    },
    /// The text is not the JSON that was asked for.
    #[error("the text `{text}` does not fit")]
    Json {
        /// The text.
        text: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The application cannot be started.
    #[error("{0}")]
    Setup(String),
}

/// How a handshake was answered.
#[derive(Debug)]
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
}

/// Tests a consumer, or a whole application, without a port. Channels' `WebsocketCommunicator`.
///
/// It needs a thread with actix's runtime, as `#[actix_web::test]` gives. What it waits for it waits for at most a
/// second, or for as long as [`timeout`](Self::timeout) says.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Result, Text, testing::WebsocketCommunicator};
///
/// #[derive(Default)]
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
///
/// # actix_web::rt::System::new().block_on(async {
/// let mut client = WebsocketCommunicator::new(Echo::default, "/ws/");
/// assert!(client.connect().await?.accepted);
/// client.send_to("哈哈").await?;
/// assert_eq!(client.receive_from().await?, "哈哈".into());
/// assert!(client.receive_nothing().await);
/// client.disconnect(1000).await?;
/// # Ok::<(), channels::testing::TestError>(())
/// # }).unwrap();
/// ```
#[must_use = "a communicator does nothing until it connects"]
pub struct WebsocketCommunicator {
    application: Arc<dyn Application>,
    scope: Option<Scope>,
    layers: Layers,
    config: Config,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    running: Option<Running>,
}

struct Running {
    port: Rc<Port>,
    client: mpsc::UnboundedSender<Incoming>,
    life: actix_rt::task::JoinHandle<()>,
    closed: Option<Close>,
}

impl WebsocketCommunicator {
    /// A client for an application, or for a function that makes a consumer, at a raw path with or without a query.
    pub fn new<Kind>(to: impl IntoApplication<Kind>, uri: &str) -> Self {
        Self::with_scope(to, Scope::websocket(uri))
    }

    /// A client with a scope of your own: with URL arguments, with extensions that a middleware would leave.
    pub fn with_scope<Kind>(to: impl IntoApplication<Kind>, scope: Scope) -> Self {
        Self {
            application: to.into_application(),
            headers: scope.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            scope: Some(scope),
            layers: Layers::default(),
            config: Config::default(),
            timeout: PATIENCE,
            running: None,
        }
    }

    /// The same client with one more header.
    ///
    /// # Panics
    ///
    /// When name or value have characters that a header may not have.
    #[track_caller]
    pub fn header(mut self, header: impl TryIntoHeaderPair) -> Self {
        match header.try_into_pair() {
            Ok(header) => self.headers.push(header),
            Err(error) => panic!("not a header: {}", error.into()),
        }
        self
    }

    /// The same client, offering these subprotocols.
    ///
    /// # Panics
    ///
    /// When a name has characters that a header may not have.
    #[track_caller]
    pub fn subprotocols<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        self.header((SEC_WEBSOCKET_PROTOCOL, names))
    }

    /// The same client with these layers: clients that share them share groups.
    pub fn layers(mut self, layers: impl Into<Layers>) -> Self {
        self.layers = layers.into();
        self
    }

    /// The same client with these settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same client, more or less patient: what it expects may take so long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks for a connection and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`TestError::NoRoute`], or [`TestError::Timeout`] when `connect` does not decide. A refusal is no error:
    /// [`Connected::accepted`] is `false`.
    ///
    /// # Panics
    ///
    /// When it is called a second time.
    pub async fn connect(&mut self) -> Result<Connected, TestError> {
        let scope = self
            .scope
            .take()
            .expect("a communicator connects once")
            .with_headers(self.headers.iter().cloned().collect::<Headers>());
        let (scope, endpoint) = match self.application.call(scope).await {
            Outcome::Run(scope, endpoint) => (scope, endpoint),
            Outcome::Refuse(deny) => return Ok(answered(Answer::Refuse(deny))),
            Outcome::NoRoute(scope) => {
                let tried = RouteList::of(&*self.application).to_string();
                let (protocol, path) = (scope.protocol().as_str(), scope.path().to_owned());
                return Err(TestError::NoRoute { protocol, path, tried });
            }
        };
        let layer = self.layers.get(endpoint.layer()).map_err(|error| TestError::Setup(error.to_string()))?.clone();
        let config = Arc::new(self.config.clone()).changed(&scope.config_changes);
        let port = Port::new(config, endpoint.class(), &scope, Stats::new(endpoint.class()));
        let (client, inputs) = mpsc::unbounded_channel();
        let line = Line::new(Box::new(Inputs(inputs)), port.clone());
        let cx = Context::new(port.clone(), scope, self.layers.clone(), layer);
        let life = endpoint.start(cx, line).map_err(TestError::Setup)?;
        let mut life = Some(life);
        let answer = within(
            self.timeout,
            poll_fn(|task| {
                port.register_session(task.waker());
                if let Some(running) = &mut life
                    && running.as_mut().poll(task).is_ready()
                {
                    life = None;
                }
                port.take_answer().map_or(Poll::Pending, Poll::Ready)
            }),
        )
        .await;
        let life = actix_rt::spawn(async move {
            if let Some(life) = life {
                life.await;
            }
        });
        self.running = Some(Running { port, client, life, closed: None });
        answer.map(answered)
    }

    /// Sends a message as the client: text from a `&str` or `String`, binary from a `Vec<u8>` or `Bytes`.
    ///
    /// # Errors
    ///
    /// [`TestError::NotConnected`].
    pub async fn send_to(&mut self, message: impl Into<Message>) -> Result<(), TestError> {
        let running = self.running()?;
        running.client.send(Incoming::Message(message.into())).map_err(|_| TestError::NotConnected)
    }

    /// Sends a value as JSON text.
    ///
    /// # Errors
    ///
    /// [`TestError::NotConnected`], or that the value cannot be JSON.
    pub async fn send_json_to(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), TestError> {
        let message = Message::json(value).map_err(|error| TestError::Setup(error.to_string()))?;
        self.send_to(message).await
    }

    /// The next message that the consumer sends.
    ///
    /// # Errors
    ///
    /// [`TestError::Closed`] with the code when the connection is closed instead, [`TestError::Timeout`] when nothing
    /// comes.
    pub async fn receive_from(&mut self) -> Result<Message, TestError> {
        self.receive_within(self.timeout).await
    }

    /// The next message, which is text.
    ///
    /// # Errors
    ///
    /// [`TestError::Kind`] when it is binary; otherwise as [`receive_from`](Self::receive_from).
    pub async fn receive_text_from(&mut self) -> Result<String, TestError> {
        match self.receive_from().await? {
            Message::Text(text) => Ok(text.into()),
            Message::Binary(bytes) => {
                Err(TestError::Kind { wanted: "text", got: format!("binary of {} bytes", bytes.len()) })
            }
        }
    }

    /// The next message, which is text and holds a `T` as JSON.
    ///
    /// # Errors
    ///
    /// [`TestError::Json`] with the text when it does not fit; otherwise as
    /// [`receive_text_from`](Self::receive_text_from).
    pub async fn receive_json_from<T: DeserializeOwned>(&mut self) -> Result<T, TestError> {
        let text = self.receive_text_from().await?;
        serde_json::from_str(&text).map_err(|source| TestError::Json { text, source })
    }

    /// Whether the consumer sends nothing for a tenth of a second.
    pub async fn receive_nothing(&mut self) -> bool {
        self.receive_nothing_within(Duration::from_millis(100)).await
    }

    /// Whether the consumer sends nothing for so long.
    pub async fn receive_nothing_within(&mut self, wait: Duration) -> bool {
        matches!(self.receive_within(wait).await, Err(TestError::Timeout(_) | TestError::NotConnected))
    }

    /// Waits until the consumer closes the connection; messages before that are skipped.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when it does not.
    pub async fn closed(&mut self) -> Result<Close, TestError> {
        loop {
            match self.receive_from().await {
                Ok(_) => {}
                Err(TestError::Closed(close)) => return Ok(close),
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes the connection as the client does, with this code, and waits until `disconnect` has run and the groups
    /// are left.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when the consumer does not end.
    pub async fn disconnect(mut self, code: impl Into<CloseCode>) -> Result<(), TestError> {
        let running = self.running()?;
        // The consumer may have ended already; then there is nobody to tell.
        let _ = running.client.send(Incoming::Close(Some(Close::new(code, "").by_client())));
        self.ended().await
    }

    /// Goes away without a close frame, as a client whose network is lost, and waits until the consumer has ended.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when the consumer does not end.
    pub async fn vanish(mut self) -> Result<(), TestError> {
        let running = self.running()?;
        let _ = running.client.send(Incoming::Gone);
        self.ended().await
    }

    async fn ended(mut self) -> Result<(), TestError> {
        let patience = self.timeout + self.config.hook_grace + self.config.disconnect_timeout;
        let life = &mut self.running()?.life;
        match within(patience, life).await? {
            Ok(()) => Ok(()),
            Err(error) => Err(TestError::Setup(error.to_string())),
        }
    }

    async fn receive_within(&mut self, wait: Duration) -> Result<Message, TestError> {
        let running = self.running()?;
        if let Some(close) = &running.closed {
            return Err(TestError::Closed(close.clone()));
        }
        loop {
            let frame = within(wait, poll_fn(|task| running.port.poll_outgoing(task))).await?;
            let close = match frame {
                Some(Outgoing::Message(message)) => return Ok(message),
                Some(Outgoing::Shared(shared)) => return Ok(shared.message.clone()),
                Some(Outgoing::Ping) => {
                    let _ = running.client.send(Incoming::Pong);
                    continue;
                }
                Some(Outgoing::Pong(_)) => continue,
                Some(Outgoing::Close(close)) => {
                    let _ = running.client.send(Incoming::Close(Some(close.clone())));
                    close
                }
                None => Close::vanished("the consumer ended"),
            };
            running.closed = Some(close.clone());
            return Err(TestError::Closed(close));
        }
    }

    fn running(&mut self) -> Result<&mut Running, TestError> {
        self.running.as_mut().ok_or(TestError::NotConnected)
    }
}

async fn within<T>(wait: Duration, future: impl Future<Output = T>) -> Result<T, TestError> {
    tokio::time::timeout(wait, future).await.map_err(|_| TestError::Timeout(wait))
}

fn answered(answer: Answer) -> Connected {
    match answer {
        Answer::Accept(accept) => Connected {
            accepted: true,
            status: StatusCode::SWITCHING_PROTOCOLS,
            subprotocol: accept.subprotocol,
            headers: accept.headers.into_iter().collect(),
        },
        Answer::Refuse(deny) => Connected {
            accepted: false,
            status: deny.status(),
            subprotocol: None,
            headers: deny.into_response().headers().into(),
        },
    }
}

/// What a test's client sends.
struct Inputs(mpsc::UnboundedReceiver<Incoming>);

impl Transport for Inputs {
    fn poll_incoming(&mut self, task: &mut Task<'_>) -> Poll<Incoming> {
        self.0.poll_recv(task).map(|input| input.unwrap_or(Incoming::Gone))
    }
}
