//! What a consumer does with its connection, driven without a port.

mod closing;

use channels::{
    ClosedBy, EventError, InMemoryChannelLayer, Layer, SendError,
    actix_web::{self, http::StatusCode},
    event,
    prelude::*,
    routing::IntoApplication,
    testing::{Connected, WebsocketCommunicator},
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::support::{DEADLINE, within};

/// A client that is more patient than communicators are: many tests run at once.
fn patient<Kind>(to: impl IntoApplication<Kind>, uri: &str) -> WebsocketCommunicator {
    WebsocketCommunicator::new(to, uri).timeout(DEADLINE)
}

/// Connects, and expects to be accepted.
async fn accepted(client: &mut WebsocketCommunicator) -> Connected {
    let connected = client.connect().await.expect("it is answered");
    assert!(connected.accepted, "it is refused with {}", connected.status);
    connected
}

async fn told(told: &mut UnboundedReceiver<String>) -> String {
    within(told.recv()).await.expect("a sender is kept")
}

/// Sends back what it gets, and tells what becomes of it.
#[derive(Clone)]
struct Echo(UnboundedSender<String>);

impl Echo {
    fn tell(&self, what: impl Into<String>) {
        let _ = self.0.send(what.into());
    }
}

#[consumer]
impl Consumer for Echo {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.tell("connect");
        cx.accept()?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        match &message {
            Message::Text(text) => self.tell(format!("text {text}")),
            Message::Binary(bytes) => self.tell(format!("{} bytes", bytes.len())),
        }
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        self.tell(format!("disconnect {close}"));
    }
}

// test_generic_websocket: websocket_consumer, async_websocket_consumer
#[actix_web::test]
async fn text_and_bytes_come_back_and_disconnect_runs_once() {
    let (tell, mut hears) = mpsc::unbounded_channel();
    let mut client = patient(move || Echo(tell.clone()), "/testws/");
    accepted(&mut client).await;
    assert_eq!(told(&mut hears).await, "connect");
    client.send_to("hello").await.unwrap();
    assert_eq!(client.receive_from().await.unwrap(), "hello".into());
    assert_eq!(told(&mut hears).await, "text hello");
    client.send_to(b"w\0\0\0".to_vec()).await.unwrap();
    assert_eq!(client.receive_from().await.unwrap(), b"w\0\0\0"[..].into());
    assert_eq!(told(&mut hears).await, "4 bytes");
    client.disconnect(1001).await.unwrap();
    assert_eq!(told(&mut hears).await, "disconnect 1001");
    assert_eq!(within(hears.recv()).await, None, "the consumer is gone, and said nothing more");
}

// test_generic_websocket: websocket_receive_with_none_text. A message is a text or bytes here, never neither or both.
#[actix_web::test]
async fn an_empty_text_is_a_text_and_no_bytes_are_bytes() {
    let (tell, mut hears) = mpsc::unbounded_channel();
    let mut client = patient(move || Echo(tell.clone()), "/testws/");
    accepted(&mut client).await;
    assert_eq!(told(&mut hears).await, "connect");
    for (message, expected) in [("".into(), "text "), (vec![].into(), "0 bytes"), (b"hi"[..].into(), "2 bytes")] {
        let message: Message = message;
        client.send_to(message.clone()).await.unwrap();
        assert_eq!(client.receive_from().await.unwrap(), message);
        assert_eq!(told(&mut hears).await, expected);
    }
    client.disconnect(1000).await.unwrap();
}

/// Answers with where it is and how often it was asked.
#[derive(Default)]
struct Where {
    asked: usize,
}

#[consumer]
impl Consumer for Where {
    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        self.asked += 1;
        let asked_of_scope = cx.scope().extensions().get::<usize>().copied().unwrap_or_default() + 1;
        cx.scope_mut().extensions_mut().insert(asked_of_scope);
        let scope = cx.scope();
        let user = scope.cookie("user").unwrap_or_default();
        let answer = format!("{} {user} {} {asked_of_scope}", scope.path(), self.asked);
        cx.send(answer)?;
        Ok(())
    }
}

// test_generic_websocket: multiple_websocket_consumers_with_sessions
#[actix_web::test]
async fn each_connection_has_a_consumer_and_a_scope_of_its_own() {
    let app = std::sync::Arc::new(URLRouter::new([re_path("", Where::default)]).unwrap());
    let mut first = patient(app.clone(), "/first/").header(("Cookie", "user=Ann"));
    let mut second = patient(app, "/second/").header(("Cookie", "user=Bob"));
    accepted(&mut first).await;
    accepted(&mut second).await;
    for n in 1..=2 {
        second.send_to("where?").await.unwrap();
        assert_eq!(second.receive_text_from().await.unwrap(), format!("/second/ Bob {n} {n}"));
    }
    first.send_to("where?").await.unwrap();
    assert_eq!(first.receive_text_from().await.unwrap(), "/first/ Ann 1 1");
    first.disconnect(1000).await.unwrap();
    second.disconnect(1000).await.unwrap();
}

/// Chooses the last subprotocol that is offered.
struct Choosy;

#[consumer]
impl Consumer for Choosy {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let mut accept = Accept::new().header(("X-Offered", cx.scope().subprotocols().join(" ")));
        if let Some(last) = cx.scope().subprotocols().last() {
            accept = accept.subprotocol(last);
        }
        cx.accept_with(accept)?;
        Ok(())
    }
}

// test_generic_websocket: websocket_consumer_subprotocol, async_websocket_consumer_subprotocol
#[actix_web::test]
async fn the_subprotocol_that_is_chosen_reaches_the_client() {
    let mut client = patient(|| Choosy, "/").subprotocols(["subprotocol1", "subprotocol2"]);
    let connected = accepted(&mut client).await;
    assert_eq!(connected.subprotocol.as_deref(), Some("subprotocol2"));
    assert_eq!(connected.headers.get("X-Offered"), Some("subprotocol1 subprotocol2"));

    let mut client = patient(|| Choosy, "/");
    assert_eq!(accepted(&mut client).await.subprotocol, None);
}

/// Accepts with headers, one of them twice.
struct Polite;

#[consumer]
impl Consumer for Polite {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let accept = Accept::new().header(("Set-Cookie", "a=1")).header(("Set-Cookie", "b=2")).header(("X-Node", "7"));
        cx.accept_with(accept)?;
        Ok(())
    }
}

// test_generic_websocket: accept_headers (sync, async)
#[actix_web::test]
async fn headers_of_the_acceptance_reach_the_client() {
    let mut client = patient(|| Polite, "/");
    let connected = accepted(&mut client).await;
    assert_eq!(connected.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(connected.headers.get_all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(connected.headers.get("X-Node"), Some("7"));
}

/// Is in a group by its type, and tells whether it is at each turn.
struct Grouped(UnboundedSender<String>);

#[consumer]
impl Consumer for Grouped {
    fn groups(&self, scope: &Scope) -> Vec<String> {
        vec!["chat".to_owned(), format!("room_{}", scope.kwarg("room").unwrap_or("0"))]
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let members = cx.layer().group_size("chat").await?;
        let _ = self.0.send(format!("connect {} {members}", names(cx)));
        Ok(())
    }

    #[handler("chat.message")]
    async fn chat_message(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event.get::<String>("text").unwrap_or_default())?;
        Ok(())
    }

    async fn disconnect(&mut self, cx: &mut Context, _: &Close) {
        let members = cx.layer().group_size("chat").await.unwrap_or_default();
        let _ = self.0.send(format!("disconnect {} {members}", names(cx)));
    }
}

fn names(cx: &Context) -> String {
    cx.groups().iter().map(|group| group.as_str()).collect::<Vec<_>>().join(",")
}

// test_generic_websocket: websocket_consumer_groups, async_websocket_consumer_groups
#[actix_web::test]
async fn class_groups_are_joined_before_connect_and_left_after_disconnect() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (tell, mut hears) = mpsc::unbounded_channel();
    let scope = Scope::websocket("/").with_kwargs([("room", 7)]);
    let mut client =
        WebsocketCommunicator::with_scope(move || Grouped(tell.clone()), scope).timeout(DEADLINE).layers(layer.clone());
    accepted(&mut client).await;
    assert_eq!(told(&mut hears).await, "connect chat,room_7 1");
    for (group, text) in [("chat", "hello"), ("room_7", "in here")] {
        let report = layer.group_send(group, event!({"type": "chat.message", "text": text})).report().await.unwrap();
        assert_eq!(report.delivered, 1);
        assert_eq!(client.receive_text_from().await.unwrap(), text);
    }
    client.disconnect(1000).await.unwrap();
    assert_eq!(told(&mut hears).await, "disconnect chat,room_7 1");
    assert_eq!(layer.group_size("chat").await.unwrap() + layer.group_size("room_7").await.unwrap(), 0);
}

/// Is in a group of the layer `testlayer`.
struct Elsewhere;

#[consumer]
impl Consumer for Elsewhere {
    const LAYER: &'static str = "testlayer";

    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["chat".to_owned()]
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        let event = event!({"type": "chat.message", "text": &*text});
        cx.group_send("chat", event.clone()).await?;
        cx.layers().get(Layers::DEFAULT)?.send("log", event).await?;
        Ok(())
    }

    #[handler]
    async fn chat_message(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event.get::<String>("text").unwrap_or_default())?;
        Ok(())
    }
}

// test_generic_websocket: async_websocket_consumer_specific_channel_layer
#[actix_web::test]
async fn a_consumer_uses_the_layer_that_it_names() {
    let layers = Layers::default().with("testlayer", InMemoryChannelLayer::default());
    let (default, testlayer) = (layers.get("default").unwrap(), layers.get("testlayer").unwrap());
    let mut client = patient(|| Elsewhere, "/testws/").layers(layers.clone());
    accepted(&mut client).await;
    let channel = client.receive_text_from().await.unwrap();

    testlayer.send(&channel, event!({"type": "chat.message", "text": "hello"})).await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "hello");
    assert_eq!(testlayer.group_size("chat").await.unwrap(), 1);
    assert_eq!(default.group_size("chat").await.unwrap(), 0);

    // It reaches the others by name.
    client.send_to("to both").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "to both");
    let logged = within(default.receive("log")).await.unwrap();
    assert_eq!(logged.decode::<RawEvent>().unwrap()["text"], "to both");
    client.disconnect(1000).await.unwrap();
    assert_eq!(testlayer.group_size("chat").await.unwrap(), 0);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Greeting {
    hello: String,
}

/// Sends a greeting back.
struct Typed;

#[consumer]
impl Consumer for Typed {
    async fn receive(&mut self, cx: &mut Context, Json(greeting): Json<Greeting>) -> Result<()> {
        cx.send_json(&greeting)
    }
}

// test_generic_websocket: json_websocket_consumer, async_json_websocket_consumer
#[actix_web::test]
async fn json_arrives_typed_and_leaves_as_text() {
    let mut client = patient(|| Typed, "/testws/");
    accepted(&mut client).await;
    client.send_json_to(&Greeting { hello: "world".to_owned() }).await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), r#"{"hello":"world"}"#);
    client.send_to(r#"{"hello": "again", "more": null}"#).await.unwrap();
    assert_eq!(client.receive_json_from::<Greeting>().await.unwrap().hello, "again");
    client.disconnect(1000).await.unwrap();
}

// test_generic_websocket: json_websocket_consumer, async_json_websocket_consumer (a binary frame). There it is an error
// within the consumer; here the client is told.
#[actix_web::test]
async fn what_is_not_the_json_that_is_wanted_closes_with_a_reason() {
    for (message, code, reason) in [
        (Message::from(b"w\0\0\0"[..].to_owned()), 1003, "text is wanted, the message is binary"),
        ("{".into(), 1007, "JSON: EOF while parsing an object at line 1 column 1"),
        ("".into(), 1007, "JSON: EOF while parsing a value at line 1 column 0"),
        (r#"{"hello": 7}"#.into(), 1007, "JSON: invalid type: integer `7`, expected a string at line 1 column 11"),
        ("{}".into(), 1007, "JSON: missing field `hello` at line 1 column 2"),
    ] {
        let mut client = patient(|| Typed, "/testws/");
        accepted(&mut client).await;
        client.send_to(message).await.unwrap();
        let close = client.closed().await.unwrap();
        assert_eq!((close.code.get(), &*close.reason, close.by), (code, reason, ClosedBy::Server));
    }
}

/// Has a method like a handler's, which is none, and hooks that events must not reach.
struct Guarded {
    calls: usize,
}

impl Guarded {
    fn my_private_handler(&mut self) {
        self.calls += 1;
    }
}

#[consumer]
impl Consumer for Guarded {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.my_private_handler();
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        self.my_private_handler();
        cx.send(self.calls.to_string())?;
        Ok(())
    }

    #[handler("xx.oo")]
    async fn by_name(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        self.my_private_handler();
        cx.send(format!("{} {}", event.name(), self.calls))?;
        Ok(())
    }
}

// test_generic_websocket: block_underscored_type_function_call, block_leading_dot_type_function_call. There they fail in
// the consumer that they are sent to; here the sender is told.
#[actix_web::test]
async fn an_event_whose_type_starts_with_an_underscore_or_a_dot_cannot_be_sent() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let mut client = patient(|| Guarded { calls: 0 }, "/testws/").layers(layer.clone());
    accepted(&mut client).await;
    let channel = client.receive_text_from().await.unwrap();
    for (name, why) in [("_my_private_handler", "`_`"), (".my_private_handler", "`.`")] {
        let error = layer.send(&channel, event!({"type": name, "text": "hello"})).await.unwrap_err();
        assert_eq!(error.to_string(), format!("event type `{name}` starts with {why}"));
        assert!(matches!(error, SendError::Event(EventError::Name { .. })));
        layer.group_send("group", serde_json::json!({"type": name})).await.unwrap_err();
    }
    assert!(client.receive_nothing().await);
    client.disconnect(1000).await.unwrap();
}

// test_generic_websocket: block_underscored_type_function_call, in what it is for: events reach what is marked, no more
#[actix_web::test]
async fn events_reach_handlers_and_no_other_method() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let mut client = patient(|| Guarded { calls: 0 }, "/testws/").layers(layer.clone());
    accepted(&mut client).await;
    let channel = client.receive_text_from().await.unwrap();
    let names = ["my_private_handler", "by_name", "connect", "receive", "disconnect", "websocket.receive", "dispatch"];
    for name in names {
        layer.send(&channel, event!({"type": name, "text": "hello"})).await.unwrap();
    }
    // `.` and `_` are the same in an event's name.
    for (name, calls) in [("xx.oo", 2), ("xx_oo", 3)] {
        layer.send(&channel, event!({"type": name})).await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), format!("{name} {calls}"));
    }
    client.send_to("how many?").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "4");
    client.disconnect(1000).await.unwrap();
}
