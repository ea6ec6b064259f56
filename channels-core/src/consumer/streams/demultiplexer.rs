//! The consumer that has the socket.

use std::{collections::BTreeMap, fmt, sync::Arc};

use actix_web::http::StatusCode;
use futures_util::future::{LocalBoxFuture, join_all};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{Siblings, Stream, tell_closed};
use crate::{
    Accept, Close, CloseCode, Consumer, Context, Deny, Error, InputError, Json, Message, Result, Scope,
    routing::{Application, Endpoint, IntoApplication, Outcome, RouteList},
    session::Answer,
};

/// Named streams over one socket, each with a consumer of its own: what channelsmultiplexer's
/// `AsyncJsonWebsocketDemultiplexer` is for Channels. A route leads to it.
///
/// Both sides send `{"stream": "chat", "payload": …}`. The payload reaches the `receive` of that stream's consumer as a
/// text message of its JSON; what that consumer sends goes out under its stream's name, as it is where it is JSON, and
/// as a JSON string otherwise. Each consumer has a context, groups and a channel name of its own, and its hooks run beside
/// those of the others.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Demultiplexer, Json, Result, URLRouter, path};
///
/// #[derive(Default)]
/// struct Adder(u64);
///
/// impl Consumer for Adder {
///     type Input = Json<u64>;
///
///     async fn receive(&mut self, cx: &mut Context, Json(number): Json<u64>) -> Result<()> {
///         self.0 += number;
///         cx.send_json(&self.0)
///     }
/// }
///
/// # #[derive(Default)] struct Chat;
/// # impl Consumer for Chat { type Input = Json<String>; }
/// let streams = Demultiplexer::new().stream("sum", Adder::default).stream("chat", Chat::default);
/// let routes = URLRouter::new([path("ws/", streams)])?;
/// // The client sends {"stream": "sum", "payload": 2} and gets {"stream":"sum","payload":2}.
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// # The life of its streams
///
/// - All begin with the connection. It is accepted when one is, with the first subprotocol that one of them chose and the
///   headers of all; where every one refuses, the client gets the first refusal.
/// - A stream that is over is told to the client as `{"stream": "chat", "closed": {"code": 4503, "reason": "…"}}`, one that
///   was refused with code 1008; what the client sends there is dropped. After the last one, the connection closes with its
///   code.
/// - They end with the connection: each has its `disconnect`.
/// - A stream's consumer that falls behind by 16 messages holds up the socket, and with it the other streams.
/// - What it sends to the client waits with what the others send, within
///   [`Config::max_waiting_bytes`](crate::Config::max_waiting_bytes).
///
/// # Untrusted input
///
/// A frame that is binary is answered with close 1003; one of another shape, or for a stream that there is not, with 1007.
#[derive(Clone, Default)]
pub struct Demultiplexer {
    streams: Arc<BTreeMap<String, Arc<dyn Application>>>,
}

impl Demultiplexer {
    /// Without streams; add them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more stream: a name, and a function that makes its consumer, or middleware around one.
    ///
    /// # Panics
    ///
    /// When there is a stream of this name already.
    #[must_use]
    #[track_caller]
    pub fn stream<Kind>(mut self, name: impl Into<String>, to: impl IntoApplication<Kind>) -> Self {
        let name = name.into();
        assert!(!self.streams.contains_key(&name), "there is a stream `{name}` already");
        Arc::make_mut(&mut self.streams).insert(name, to.into_application());
        self
    }
}

impl Application for Demultiplexer {
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        let routes = self.streams.clone();
        let endpoint = Endpoint::new(move || Streams {
            routes: routes.clone(),
            open: BTreeMap::new(),
            siblings: Siblings::default(),
        });
        Box::pin(async { Outcome::Run(scope, endpoint) })
    }

    fn serves(&self, _: &mut Scope) -> bool {
        true
    }

    fn routes(&self, list: &mut RouteList) {
        list.end(|list| {
            for (name, application) in &*self.streams {
                list.within(&format!("[{name}]"), |list| application.routes(list));
            }
        });
    }

    fn always_answers(&self) -> bool {
        true
    }
}

impl fmt::Debug for Demultiplexer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.streams.keys()).finish()
    }
}

/// What a client sends.
#[derive(Deserialize)]
struct Frame {
    stream: String,
    payload: Box<RawValue>,
}

/// The consumer of one connection.
struct Streams {
    routes: Arc<BTreeMap<String, Arc<dyn Application>>>,
    open: BTreeMap<String, Stream>,
    siblings: Siblings,
}

impl Streams {
    /// Begins one stream, unless it is refused before its consumer is made.
    async fn begin(&self, name: &str, application: &dyn Application, cx: &Context) -> Result<Result<Stream, Deny>> {
        match application.call(cx.scope().fork()).await {
            Outcome::Run(scope, endpoint) => Stream::start(name, scope, &endpoint, cx, &self.siblings).map(Ok),
            Outcome::Refuse(deny) => Ok(Err(deny)),
            Outcome::NoRoute(_) => Err(Error::msg(format!("stream `{name}` leads nowhere"))),
        }
    }
}

impl Consumer for Streams {
    type Input = Json<Frame>;

    fn type_name() -> &'static str {
        "channels::Demultiplexer"
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let routes = self.routes.clone();
        let mut refused = Vec::new();
        for (name, application) in &*routes {
            match self.begin(name, &**application, cx).await? {
                Ok(stream) => drop(self.open.insert(name.clone(), stream)),
                Err(deny) => refused.push((name, deny)),
            }
        }
        let mut accepts = Vec::new();
        let answers = join_all(self.open.values_mut().map(Stream::answer)).await;
        for (name, answer) in self.open.keys().zip(answers) {
            match answer {
                Some(Answer::Accept(accept)) => accepts.push(accept),
                Some(Answer::Refuse(deny)) => refused.push((name, deny)),
                Some(Answer::Respond(_)) | None => refused.push((name, Deny::new(StatusCode::INTERNAL_SERVER_ERROR))),
            }
        }
        if accepts.is_empty() {
            return Err(refused.into_iter().next().map_or_else(Deny::forbidden, |(_, deny)| deny).into());
        }
        let mut accept = Accept::new();
        for one in accepts {
            accept.subprotocol = accept.subprotocol.or(one.subprotocol);
            accept.headers.extend(one.headers);
        }
        cx.accept_with(accept)?;
        for (name, deny) in refused {
            tell_closed(cx.port(), name, &Close::new(CloseCode::POLICY_VIOLATION, deny.to_string()));
        }
        self.open.values_mut().for_each(Stream::open);
        Ok(())
    }

    async fn receive(&mut self, _: &mut Context, Json(frame): Json<Frame>) -> Result<()> {
        let Frame { stream, payload } = frame;
        match self.open.get(&stream) {
            Some(open) => open.give(Message::Text(payload.get().into())).await,
            None if self.routes.contains_key(&stream) => {}
            None => return Err(InputError::content(format!("there is no stream `{stream}`")).into()),
        }
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        join_all(std::mem::take(&mut self.open).into_values().map(|stream| stream.end(close))).await;
    }
}
