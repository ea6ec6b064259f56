//! How a consumer closes and refuses, and what becomes of one that fails.

use std::time::Duration;

use channels::{
    CloseCode, ClosedBy, InMemoryChannelLayer, Layer,
    actix_web::{self, http::StatusCode},
    prelude::*,
};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{accepted, patient, told};

/// Closes when it is spoken to, with the code in the text, or at once where the path says so.
struct Closing;

#[consumer]
impl Consumer for Closing {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        match cx.scope().path() {
            "/refuse" => cx.close(4007, "test reason"),
            "/deny" => Err(Deny::new(StatusCode::UNAUTHORIZED).header(("X-Why", "test reason")))?,
            "/accept-and-close" => {
                cx.accept()?;
                cx.send("last words")?;
                cx.close(4007, "test reason");
            }
            _ => {}
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(code): Text) -> Result<()> {
        cx.close(code.parse::<u16>()?, "test reason");
        // Only the first close counts, and nothing follows it.
        cx.close(4000, "another");
        assert!(cx.send("too late").is_err());
        Ok(())
    }
}

// test_generic_websocket: close_reason (sync, async)
#[actix_web::test]
async fn code_and_reason_of_a_close_reach_the_client() {
    let mut client = patient(|| Closing, "/");
    accepted(&mut client).await;
    client.send_to("4007").await.unwrap();
    let close = client.closed().await.unwrap();
    assert_eq!((close.code, &*close.reason, close.by), (4007.into(), "test reason", ClosedBy::Server));

    let mut client = patient(|| Closing, "/accept-and-close");
    accepted(&mut client).await;
    assert_eq!(client.receive_text_from().await.unwrap(), "last words");
    let error = client.receive_from().await.unwrap_err();
    assert_eq!(error.to_string(), "the connection is closed: 4007 (test reason)");
}

// test_generic_websocket: close_reason, before the handshake is answered
#[actix_web::test]
async fn a_close_or_a_denial_in_connect_refuses_the_handshake() {
    let refused = patient(|| Closing, "/refuse").connect().await.unwrap();
    assert_eq!((refused.accepted, refused.status), (false, StatusCode::FORBIDDEN));
    let denied = patient(|| Closing, "/deny").connect().await.unwrap();
    assert_eq!((denied.accepted, denied.status), (false, StatusCode::UNAUTHORIZED));
    assert_eq!(denied.headers.get("x-why"), Some("test reason"));
}

/// Fails as it is told.
struct Failing(UnboundedSender<String>);

#[consumer]
impl Consumer for Failing {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    async fn receive(&mut self, _: &mut Context, Text(text): Text) -> Result<()> {
        match &*text {
            "error" => Err(channels::Error::msg("on purpose")),
            "panic" => panic!("on purpose"),
            _ => std::future::pending().await,
        }
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(format!("disconnect {close}"));
    }
}

// test_generic_websocket: json_websocket_consumer (its error ends the consumer): an error ends this connection, no other
#[actix_web::test]
async fn a_hook_that_fails_closes_with_1011_and_leaves_its_groups() {
    crate::puppet::quiet_panics();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (tell, mut hears) = mpsc::unbounded_channel();
    let make = move || Failing(tell.clone());
    let mut other = patient(make.clone(), "/").layers(layer.clone());
    accepted(&mut other).await;
    for how in ["error", "panic"] {
        let mut client = patient(make.clone(), "/").layers(layer.clone());
        accepted(&mut client).await;
        assert_eq!(layer.group_size("room").await.unwrap(), 2);
        client.send_to(how).await.unwrap();
        let close = client.closed().await.unwrap();
        assert_eq!((close.code, &*close.reason), (CloseCode::INTERNAL_ERROR, "internal error"));
        assert_eq!(told(&mut hears).await, "disconnect 1011 (internal error)");
        client.disconnect(1000).await.unwrap();
        assert_eq!(layer.group_size("room").await.unwrap(), 1);
    }
    assert!(other.receive_nothing().await);
    other.disconnect(1000).await.unwrap();
}

// test_generic_websocket: websocket_consumer (disconnect is called), for a client that vanishes while a hook hangs
#[actix_web::test]
async fn a_hook_that_hangs_is_cancelled_a_while_after_its_connection_has_ended() {
    tokio::time::pause();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (tell, mut hears) = mpsc::unbounded_channel();
    let config = Config { hook_grace: Duration::from_secs(3), ..Config::default() };
    let mut client = patient(move || Failing(tell.clone()), "/").layers(layer.clone()).config(config);
    accepted(&mut client).await;
    client.send_to("hang").await.unwrap();
    let start = tokio::time::Instant::now();
    client.vanish().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(told(&mut hears).await, "disconnect 1006 (the connection was lost)");
    assert_eq!(layer.group_size("room").await.unwrap(), 0);
}

#[test]
fn disconnect_is_told_whether_the_handshake_was_accepted() {
    struct Tells(UnboundedSender<bool>);

    #[consumer]
    impl Consumer for Tells {
        async fn connect(&mut self, cx: &mut Context) -> Result<()> {
            if cx.scope().query("deny").is_some() {
                return Err(Deny::forbidden().into());
            }
            cx.accept()?;
            cx.send("welcome")
        }

        async fn disconnect(&mut self, _: &mut Context, close: &Close) {
            self.0.send(close.was_accepted()).unwrap();
        }
    }

    channels::run(async {
        for (uri, accepted) in [("/", true), ("/?deny=1", false)] {
            let (told, mut tells) = mpsc::unbounded_channel();
            let mut client = patient(move || Tells(told.clone()), uri);
            assert_eq!(client.connect().await.unwrap().accepted, accepted);
            client.disconnect(1000).await.unwrap();
            assert_eq!(tells.recv().await, Some(accepted));
        }
    });
}
