//! A WebSocket's client, without a socket.

use std::time::Duration;

use actix_web::http::{
    StatusCode,
    header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, TryIntoHeaderPair},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{ApplicationCommunicator, Connected, Input, Output, TestError, application::MOMENT};
use crate::{Close, CloseCode, Config, Layers, Message, Scope, routing::IntoApplication, scope::Headers};

/// Tests a consumer, or a whole application, without a port. Channels' `WebsocketCommunicator`.
///
/// It needs actix's runtime, as `#[channels::test]` gives. What it waits for it waits for at most a second, or for as long
/// as [`timeout`](Self::timeout) says. Pings are answered while it waits for something.
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
/// # channels::run(async {
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
    application: ApplicationCommunicator,
    headers: Vec<(HeaderName, HeaderValue)>,
    answers_pings: bool,
    /// The status of the refusal, if it was one.
    refused: Option<StatusCode>,
}

impl WebsocketCommunicator {
    /// A client for an application, or for a function that makes a consumer, at a raw path with or without a query.
    pub fn new<Kind>(to: impl IntoApplication<Kind>, uri: &str) -> Self {
        Self::with_scope(to, Scope::websocket(uri))
    }

    /// A client with a scope of your own: with URL arguments, with extensions that a middleware would leave.
    pub fn with_scope<Kind>(to: impl IntoApplication<Kind>, scope: Scope) -> Self {
        Self {
            headers: scope.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            application: ApplicationCommunicator::new(to, scope),
            answers_pings: true,
            refused: None,
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
        self.application = self.application.layers(layers);
        self
    }

    /// The same client with these settings.
    pub fn config(mut self, config: Config) -> Self {
        self.application = self.application.config(config);
        self
    }

    /// The same client, more or less patient: what it expects may take so long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.application = self.application.timeout(timeout);
        self
    }

    /// The same client, which answers no pings, as one that has lost its network.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use std::time::Duration;
    /// # use channels::{Consumer, Message, testing::{TestError, WebsocketCommunicator}};
    /// # #[derive(Default)]
    /// # struct Echo;
    /// # impl Consumer for Echo { type Input = Message; }
    /// // #[channels::test(start_paused = true)]
    /// async fn a_silent_client_is_closed() -> Result<(), TestError> {
    ///     let mut client = WebsocketCommunicator::new(Echo::default, "/").silent().timeout(Duration::from_secs(60));
    ///     client.connect().await?;
    ///     assert_eq!(client.closed().await?.code.get(), 4408); // 20 s to the ping, 30 s for the answer: at once
    ///     Ok(())
    /// }
    /// # channels::testing::run_test(true, a_silent_client_is_closed()).unwrap();
    /// ```
    pub fn silent(mut self) -> Self {
        self.answers_pings = false;
        self
    }

    /// The scope, to change it before it connects: Channels' `communicator.scope["user"] = …`.
    ///
    /// # Panics
    ///
    /// When it has connected: the scope is the consumer's then.
    #[track_caller]
    pub fn scope_mut(&mut self) -> &mut Scope {
        self.application.scope_mut()
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
        assert!(!self.application.is_started(), "a communicator connects once");
        let scope = self.application.scope_mut();
        let plain = std::mem::replace(scope, Scope::websocket("/"));
        *scope = plain.with_headers(self.headers.drain(..).collect::<Headers>());
        loop {
            match self.application.receive_output().await? {
                Output::Answer(connected) => {
                    self.refused = (!connected.accepted).then_some(connected.status);
                    return Ok(connected);
                }
                Output::Close(close) => return Err(TestError::Closed(close)),
                Output::Message(_) | Output::Ping => {}
            }
        }
    }

    /// Sends a message as the client: text from a `&str` or `String`, binary from a `Vec<u8>` or `Bytes`.
    ///
    /// # Errors
    ///
    /// [`TestError::NotConnected`] before `connect`, [`TestError::Refused`] when the handshake was refused.
    pub async fn send_to(&mut self, message: impl Into<Message>) -> Result<(), TestError> {
        self.connected()?;
        self.application.send_input(Input::Message(message.into())).await
    }

    /// Sends a value as JSON text.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), or that the value cannot be JSON.
    pub async fn send_json_to(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), TestError> {
        let message = Message::json(value).map_err(|error| TestError::Setup(error.to_string()))?;
        self.send_to(message).await
    }

    /// The next message that the consumer sends.
    ///
    /// # Errors
    ///
    /// [`TestError::Closed`] with the code when the connection is closed instead, [`TestError::Timeout`] when nothing
    /// comes; and as [`send_to`](Self::send_to).
    pub async fn receive_from(&mut self) -> Result<Message, TestError> {
        self.receive_within(self.application.patience()).await
    }

    /// The next message, which is text.
    ///
    /// # Errors
    ///
    /// [`TestError::Kind`] when it is binary; otherwise as [`receive_from`](Self::receive_from).
    pub async fn receive_text_from(&mut self) -> Result<String, TestError> {
        match self.receive_from().await? {
            Message::Text(text) => Ok(text.into()),
            binary @ Message::Binary(_) => Err(TestError::kind("text", &binary)),
        }
    }

    /// The next message, which is binary.
    ///
    /// # Errors
    ///
    /// [`TestError::Kind`] when it is text; otherwise as [`receive_from`](Self::receive_from).
    pub async fn receive_bytes_from(&mut self) -> Result<Bytes, TestError> {
        match self.receive_from().await? {
            Message::Binary(bytes) => Ok(bytes),
            text @ Message::Text(_) => Err(TestError::kind("binary", &text)),
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
        serde_json::from_str(&text).map_err(|source| TestError::json(&text, source))
    }

    /// Whether the consumer sends nothing for a tenth of a second.
    pub async fn receive_nothing(&mut self) -> bool {
        self.receive_nothing_within(MOMENT).await
    }

    /// Whether the consumer sends nothing for so long.
    pub async fn receive_nothing_within(&mut self, wait: Duration) -> bool {
        let received = self.receive_within(wait).await;
        matches!(received, Err(TestError::Timeout(_) | TestError::NotConnected | TestError::Refused(_)))
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
    /// [`TestError::Timeout`] when the consumer does not end, [`TestError::NotConnected`] before `connect`.
    pub async fn disconnect(self, code: impl Into<CloseCode>) -> Result<(), TestError> {
        self.end(Input::Close(code.into())).await
    }

    /// Goes away without a close frame, as a client whose network is lost, and waits until the consumer has ended.
    ///
    /// # Errors
    ///
    /// As [`disconnect`](Self::disconnect).
    pub async fn vanish(self) -> Result<(), TestError> {
        self.end(Input::Gone).await
    }

    async fn end(mut self, input: Input) -> Result<(), TestError> {
        if !self.application.is_started() {
            return Err(TestError::NotConnected);
        }
        match self.application.send_input(input).await {
            Ok(()) => self.application.wait().await,
            // Middleware refused it: there is no consumer to be told.
            Err(TestError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn receive_within(&mut self, wait: Duration) -> Result<Message, TestError> {
        self.connected()?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let output = self.application.receive_output_within(left).await;
            match output {
                Ok(Output::Message(message)) => return Ok(message),
                Ok(Output::Close(close)) => return Err(TestError::Closed(close)),
                Ok(Output::Ping) if self.answers_pings => self.application.send_input(Input::Pong).await?,
                Ok(Output::Ping | Output::Answer(_)) => {}
                Err(TestError::Timeout(_)) => return Err(TestError::Timeout(wait)),
                Err(error) => return Err(error),
            }
        }
    }

    fn connected(&self) -> Result<(), TestError> {
        match self.refused {
            Some(status) => Err(TestError::Refused(status)),
            None if self.application.is_started() => Ok(()),
            None => Err(TestError::NotConnected),
        }
    }
}
