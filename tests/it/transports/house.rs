//! Consumers that do as they are told, and a server of them.

use std::sync::Arc;

use channels::{
    Accept, Config, InMemoryChannelLayer, Layer,
    Transport::{EventStream, LongPoll, WebSocket},
    actix_web::http::StatusCode,
    event,
    prelude::*,
    server::ServerStats,
};
use tokio::sync::{Semaphore, mpsc};

use super::client::{Client, Kind};
use crate::{
    puppet::quiet_panics,
    support::{Served, serve, within},
};

/// What the tests and the consumers share.
#[derive(Clone)]
struct Strings {
    tell: mpsc::UnboundedSender<String>,
    gate: Arc<Semaphore>,
}

/// Does what the path says in `connect`, and later what it hears.
struct Doer(Strings);

#[derive(Serialize, Deserialize, Event)]
#[event("said.typed")]
struct SaidTyped {
    text: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event("said.purely")]
struct SaidPurely {
    text: String,
}

#[consumer]
impl Consumer for Doer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        match cx.scope().kwarg("how")? {
            "deny" => {
                Err(Deny::new(StatusCode::UNAUTHORIZED).header(("WWW-Authenticate", "Bearer")).body("log in first"))?
            }
            "close" => cx.close(4007, "no such room"),
            "fail" => Err(channels::Error::msg("on purpose"))?,
            "panic" => panic!("on purpose"),
            "never" => std::future::pending().await,
            "greet" => {
                let chosen = cx.scope().subprotocols().last().cloned().unwrap_or_default();
                cx.accept_with(Accept::new().subprotocol(chosen).header(("X-Greeting", "hello")))?;
                cx.send("welcome")?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        let Some(text) = message.as_text() else { return cx.send(message) };
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "say" => cx.group_send("room", event!({"type": "said", "text": rest})).await?,
            "typed" => cx.group_send("room", SaidTyped { text: rest.to_owned() }).await?,
            "purely" => cx.group_send("room", SaidPurely { text: rest.to_owned() }).await?,
            "close" => cx.close(rest.parse::<u16>()?, "as you wish"),
            "stop" => cx.stop(),
            "fail" => Err(channels::Error::msg("on purpose"))?,
            "panic" => panic!("on purpose"),
            "wait" => self.0.gate.acquire().await?.forget(),
            "flood" => {
                for n in 0..rest.parse()? {
                    if cx.send(format!("{n:>1024}")).is_err() {
                        break;
                    }
                }
            }
            _ => cx.send(text)?,
        }
        Ok(())
    }

    #[handler]
    async fn said(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(format!("untyped {}", event["text"].as_str().unwrap_or_default()))
    }

    #[handler]
    async fn said_typed(&mut self, cx: &mut Context, event: &SaidTyped) -> Result<()> {
        cx.send(format!("typed {}", event.text))
    }

    #[handler]
    fn said_purely(event: &SaidPurely) -> Result<Message> {
        Ok(format!("purely {}", event.text).into())
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        let _ = self.0.tell.send(format!("{close} by {:?} in {}", close.by, cx.groups().len()));
    }
}

/// Takes JSON alone.
#[derive(Default)]
struct Adder;

#[consumer]
impl Consumer for Adder {
    async fn receive(&mut self, cx: &mut Context, Json(numbers): Json<Vec<i64>>) -> Result<()> {
        cx.send_json(&numbers.iter().sum::<i64>())
    }
}

/// A server of them, the gate at which they wait, and what they tell of their ends.
pub(super) fn server(config: Config, layer: &Layer) -> (Server, Arc<Semaphore>, mpsc::UnboundedReceiver<String>) {
    quiet_panics();
    let (tell, ends) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let strings = Strings { tell, gate: gate.clone() };
    let routes = URLRouter::new([
        path("do/<how>/", move || Doer(strings.clone())).transports([WebSocket, EventStream, LongPoll]),
        path("add/", Adder::default).transports([WebSocket, EventStream, LongPoll]),
        path("plain/", Adder::default),
        path("stream/", Adder::default).transports([EventStream]),
    ]);
    let app = ProtocolTypeRouter::new().websocket(routes.unwrap());
    (Server::new(app).layers(layer.clone()).config(config), gate, ends)
}

/// A server of them on two threads, and what they tell of their ends.
pub(super) struct House {
    pub(super) server: Served,
    pub(super) stats: ServerStats,
    pub(super) layer: Layer,
    pub(super) gate: Arc<Semaphore>,
    pub(super) ends: mpsc::UnboundedReceiver<String>,
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        let layer = Layer::new(InMemoryChannelLayer::default());
        let (server, gate, ends) = server(config, &layer);
        let stats = server.stats();
        Self { server: serve(server.workers(2)), stats, layer, gate, ends }
    }

    pub(super) async fn open(&self, kind: Kind) -> Client {
        Client::open(kind, self.server.address, "/do/as-told/").await
    }

    pub(super) async fn refused(&self, kind: Kind, how: &str) -> crate::raw::Response {
        match Client::try_open(kind, self.server.address, &format!("/do/{how}/"), "").await {
            Ok(_) => panic!("{kind:?} was let in"),
            Err(response) => response,
        }
    }

    /// How the next consumer ended.
    pub(super) async fn end(&mut self) -> String {
        within(self.ends.recv()).await.expect("a sender is kept")
    }
}
