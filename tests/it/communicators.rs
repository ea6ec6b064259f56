//! The communicator itself: a consumer, or a whole application, tested without a port.

use std::time::Duration;

use channels::{
    ClosedBy, InMemoryChannelLayer, Layer, Protocol,
    actix_web::{self, http::StatusCode},
    event,
    prelude::*,
    routing::{Application, Outcome, RouteList},
    testing::{TestError, WebsocketCommunicator},
};
use futures_util::future::LocalBoxFuture;

/// Sends back what it gets.
struct Simple;

#[consumer]
impl Consumer for Simple {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        assert_eq!(cx.scope().path(), "/testws/");
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }
}

// test_testing: websocket_communicator
#[actix_web::test]
async fn a_communicator_connects_sends_receives_and_disconnects() {
    let mut client = WebsocketCommunicator::new(|| Simple, "/testws/");
    let connected = client.connect().await.unwrap();
    assert!(connected.accepted);
    assert_eq!((connected.status, connected.subprotocol), (StatusCode::SWITCHING_PROTOCOLS, None));
    assert_eq!(connected.headers.iter().count(), 0);
    client.send_to("hello").await.unwrap();
    assert_eq!(client.receive_from().await.unwrap(), "hello".into());
    client.send_to(b"w\0\0\0".to_vec()).await.unwrap();
    assert_eq!(client.receive_from().await.unwrap(), b"w\0\0\0".to_vec().into());
    client.send_json_to(&serde_json::json!({"hello": "world"})).await.unwrap();
    let answer: serde_json::Value = client.receive_json_from().await.unwrap();
    assert_eq!(answer, serde_json::json!({"hello": "world"}));
    assert!(client.receive_nothing().await);
    client.disconnect(1000).await.unwrap();
}

// test_testing: websocket_incorrect_read_json
#[actix_web::test]
async fn a_message_of_the_wrong_kind_is_shown_with_what_was_expected() {
    let mut client = WebsocketCommunicator::new(|| Simple, "/testws/");
    client.connect().await.unwrap();
    client.send_to(b"w\0\0\0".to_vec()).await.unwrap();
    let error = client.receive_json_from::<serde_json::Value>().await.unwrap_err();
    assert_eq!(error.to_string(), "expected text, got binary of 4 bytes: 77 00 00 00");
    client.send_to("text").await.unwrap();
    assert_eq!(client.receive_bytes_from().await.unwrap_err().to_string(), "expected binary, got the text `text`");
    client.send_to("no JSON").await.unwrap();
    let error = client.receive_json_from::<serde_json::Value>().await.unwrap_err();
    assert_eq!(error.to_string(), "the text `no JSON` does not fit");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("at line 1"));
    client.disconnect(1000).await.unwrap();
}

/// Sends an argument of the URL.
struct Kwargs;

#[consumer]
impl Consumer for Kwargs {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        cx.send(cx.scope().kwarg("message")?.to_owned())?;
        Ok(())
    }
}

// test_testing: websocket_application
#[actix_web::test]
async fn a_whole_application_is_tested_as_one_consumer_is() {
    let routes = URLRouter::new([path("testws/<str:message>/", || Kwargs)]).unwrap();
    let app = ProtocolTypeRouter::new().websocket(routes);
    let mut client = WebsocketCommunicator::new(app.clone(), "/testws/test/");
    assert!(client.connect().await.unwrap().accepted);
    assert_eq!(client.receive_text_from().await.unwrap(), "test");
    client.disconnect(1000).await.unwrap();

    let error = WebsocketCommunicator::new(app, "/nowhere/").connect().await.unwrap_err();
    let text = "no application for websocket `/nowhere/` (tried: websocket testws/<str:message>/)";
    assert_eq!(error.to_string(), text);

    // Without a router the arguments are given by hand.
    let scope = Scope::websocket("/").with_kwargs([("message", 7)]);
    let mut client = WebsocketCommunicator::with_scope(|| Kwargs, scope);
    client.connect().await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "7");
}

/// Lets nobody in.
struct Shut;

impl Application for Shut {
    fn serves(&self, _: &mut Scope) -> bool {
        true
    }

    fn call(&self, _: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async { Outcome::Refuse(Deny::new(StatusCode::SERVICE_UNAVAILABLE).header(("Retry-After", "60"))) })
    }

    fn routes(&self, _: &mut RouteList) {}
}

// test_testing: websocket_application, for a middleware that refuses
#[actix_web::test]
async fn a_refusal_is_an_answer_and_no_error() {
    let mut client = WebsocketCommunicator::new(Shut, "/");
    let connected = client.connect().await.unwrap();
    assert_eq!((connected.accepted, connected.status), (false, StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(connected.headers.get("Retry-After"), Some("60"));
    let error = client.send_to("hello").await.unwrap_err();
    assert_eq!(error.to_string(), "the handshake was refused with 503 Service Unavailable");
    assert!(matches!(client.receive_from().await, Err(TestError::Refused(StatusCode::SERVICE_UNAVAILABLE))));
    client.disconnect(1000).await.unwrap();

    let mut client = WebsocketCommunicator::new(Shut, "/");
    assert!(matches!(client.send_to("hello").await, Err(TestError::NotConnected)));
    assert!(matches!(client.receive_from().await, Err(TestError::NotConnected)));
    assert_eq!(client.disconnect(1000).await.unwrap_err().to_string(), "not connected");
}

/// Says nothing, or never ends.
struct Dead;

#[consumer]
impl Consumer for Dead {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if cx.scope().path() == "/undecided/" { std::future::pending().await } else { Ok(()) }
    }

    async fn receive(&mut self, _: &mut Context, Text(text): Text) -> Result<()> {
        if text == "hang" { std::future::pending().await } else { Ok(()) }
    }
}

// test_testing: timeout_disconnect
#[actix_web::test]
async fn an_application_that_does_not_answer_is_a_timeout_and_can_still_be_disconnected() {
    tokio::time::pause();
    for what in ["hello", "hang"] {
        let mut client = WebsocketCommunicator::new(|| Dead, "/testws/");
        assert!(client.connect().await.unwrap().accepted);
        client.send_to(what).await.unwrap();
        let error = client.receive_from().await.unwrap_err();
        assert_eq!(error.to_string(), "nothing came within 1s");
        client.disconnect(1000).await.unwrap();
    }
    let patient = Config { handshake_timeout: Duration::from_secs(600), ..Config::default() };
    let mut client =
        WebsocketCommunicator::new(|| Dead, "/undecided/").config(patient).timeout(Duration::from_secs(90));
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.to_string(), "nothing came within 90s");
    client.vanish().await.unwrap();
}

/// Never decides.
struct Undecided;

impl Middleware for Undecided {
    async fn before(&self, _: Scope) -> Result<Scope, Deny> {
        std::future::pending().await
    }
}

#[actix_web::test]
async fn middleware_that_does_not_decide_is_a_timeout() {
    tokio::time::pause();
    let mut client = WebsocketCommunicator::new(Undecided.wrap(|| Dead), "/");
    let error = tokio::time::timeout(Duration::from_secs(60), client.connect()).await.expect("in time").unwrap_err();
    assert_eq!(error.to_string(), "nothing came within 1s");
}

/// Says how it sees its connection.
struct ScopeOf;

#[consumer]
impl Consumer for ScopeOf {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let scope = cx.scope();
        assert_eq!(scope.protocol(), Protocol::Websocket);
        let seen = format!("{} {} {}", scope.path(), scope.raw_path(), scope.query_string());
        cx.accept()?;
        cx.send(seen)?;
        Ok(())
    }
}

// test_testing: connection_scope (its three URLs, and the path that a client really sends)
#[actix_web::test]
async fn the_path_is_decoded_and_the_query_is_as_it_was_written() {
    for (url, seen) in [
        ("/p/a/t/h?query=string", "/p/a/t/h /p/a/t/h query=string"),
        (
            "user:pass@example.com:8080/p/a/t/h?query=string#hash",
            "user:pass@example.com:8080/p/a/t/h \
            user:pass@example.com:8080/p/a/t/h query=string",
        ),
        ("wss://user:pass@example.com:8080/p/a/t/h?query=string#hash", "/p/a/t/h /p/a/t/h query=string"),
        (
            "ws://www.example.com/%E9%A6%96%E9%A1%B5/index.php?foo=%E9%A6%96%E9%A1%B5&spam=eggs",
            "/首页/index.php /%E9%A6%96%E9%A1%B5/index.php foo=%E9%A6%96%E9%A1%B5&spam=eggs",
        ),
        ("ws://www.example.com?a=b", "/ / a=b"),
        ("/ws://x/?u=ws://y", "/ws://x/ /ws://x/ u=ws://y"),
    ] {
        let mut client = WebsocketCommunicator::new(|| ScopeOf, url);
        assert!(client.connect().await.unwrap().accepted, "{url}");
        assert_eq!(client.receive_text_from().await.unwrap(), seen);
        client.disconnect(1000).await.unwrap();
    }
}

/// Tells the others of its kind what it hears.
struct Gossip;

#[consumer]
impl Consumer for Gossip {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["gossip".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.group_send("gossip", event!({"type": "gossip", "text": &*text})).await?;
        Ok(())
    }

    #[handler]
    async fn gossip(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        match event.get::<String>("text").as_deref() {
            Some("enough") => cx.close(4000, "enough"),
            text => cx.send(text.unwrap_or_default())?,
        }
        Ok(())
    }
}

// Ours: communicators that share layers share groups, and see each other's ends.
#[actix_web::test]
async fn communicators_with_the_same_layers_meet_and_others_do_not() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let gossip = || WebsocketCommunicator::new(|| Gossip, "/").layers(layer.clone());
    let (mut first, mut second, mut leaves) = (gossip(), gossip(), gossip());
    let mut stranger = WebsocketCommunicator::new(|| Gossip, "/");
    for client in [&mut first, &mut second, &mut leaves, &mut stranger] {
        assert!(client.connect().await.unwrap().accepted);
    }
    leaves.vanish().await.unwrap();
    assert_eq!(layer.group_size("gossip").await.unwrap(), 2);

    first.send_to("psst").await.unwrap();
    assert_eq!(first.receive_text_from().await.unwrap(), "psst");
    assert_eq!(second.receive_text_from().await.unwrap(), "psst");
    assert!(stranger.receive_nothing().await);

    first.send_to("last words").await.unwrap();
    second.send_to("enough").await.unwrap();
    for client in [&mut first, &mut second] {
        assert!(!client.receive_nothing().await, "the last words");
        let close = client.closed().await.unwrap();
        assert_eq!((close.to_string().as_str(), close.by), ("4000 (enough)", ClosedBy::Server));
        assert!(matches!(client.receive_from().await, Err(TestError::Closed(_))));
        assert!(!client.receive_nothing().await, "a close is something");
    }
    first.disconnect(1000).await.unwrap();
    assert_eq!(layer.group_size("gossip").await.unwrap(), 0);
}
