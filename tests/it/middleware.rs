//! What stands between the routers and the consumers.

use std::sync::{Arc, Mutex};

use channels::{actix_web::http::StatusCode, prelude::*, testing::WebsocketCommunicator};

use crate::{
    raw::{self, Raw},
    support::serve,
};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down that it was passed.
struct Passed(&'static str, Log);

impl Middleware for Passed {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        self.1.lock().unwrap().push(format!("before {}", self.0));
        if scope.query("stop").as_deref() == Some(self.0) {
            return Err(Deny::new(StatusCode::PAYMENT_REQUIRED).header(("X-By", self.0)));
        }
        scope.extensions_mut().insert(self.0);
        Ok(scope)
    }

    async fn after(&self, _: &mut Scope, close: &Close) {
        self.1.lock().unwrap().push(format!("after {} {}", self.0, close.code));
    }
}

#[derive(Clone)]
struct Shows(Log);

#[consumer]
impl Consumer for Shows {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let left = cx.scope().extensions().get::<&'static str>().copied().unwrap_or("nothing");
        cx.accept()?;
        cx.send(left)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        self.0.lock().unwrap().push("disconnect".to_owned());
    }
}

#[test]
fn middleware_is_passed_from_the_outside_in_and_told_of_the_end_from_the_inside_out() {
    channels::run(async {
        let log = Log::default();
        let consumer = Shows(log.clone());
        let stack = Passed("outer", log.clone()).wrap(Passed("inner", log.clone()).wrap(move || consumer.clone()));
        let mut client = WebsocketCommunicator::new(stack, "/");
        assert!(client.connect().await.unwrap().accepted);
        assert_eq!(client.receive_text_from().await.unwrap(), "inner");
        client.disconnect(1001).await.unwrap();
        let expected = ["before outer", "before inner", "disconnect", "after inner 1001", "after outer 1001"];
        assert_eq!(*log.lock().unwrap(), expected);
    });
}

#[test]
fn middleware_refuses_with_a_response_of_its_own_and_nothing_inside_runs() {
    channels::run(async {
        let log = Log::default();
        let consumer = Shows(log.clone());
        let stack = Passed("outer", log.clone()).wrap(Passed("inner", log.clone()).wrap(move || consumer.clone()));
        let mut client = WebsocketCommunicator::new(stack, "/?stop=outer");
        let answer = client.connect().await.unwrap();
        assert_eq!((answer.accepted, answer.status), (false, StatusCode::PAYMENT_REQUIRED));
        assert_eq!(answer.headers.get("X-By"), Some("outer"));
        assert_eq!(*log.lock().unwrap(), ["before outer"]);
    });
}

#[test]
fn middleware_around_a_router_that_has_no_route_is_forgotten_by_the_next_one() {
    channels::run(async {
        let log = Log::default();
        let (inner, outer) = (Shows(log.clone()), Shows(log.clone()));
        let nested = URLRouter::new([path("a/", move || inner.clone())]).unwrap();
        let routes = [path("x/", Passed("nested", log.clone()).wrap(nested)), path("x/b/", move || outer.clone())];
        let mut client = WebsocketCommunicator::new(URLRouter::new(routes).unwrap(), "/x/b/");
        assert!(client.connect().await.unwrap().accepted);
        assert_eq!(client.receive_text_from().await.unwrap(), "nothing", "what it left in the scope is gone, too");
        client.disconnect(1000).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["before nested", "disconnect"]);
    });
}

#[tokio::test]
async fn a_smuggled_or_malformed_host_or_origin_opens_nothing_to_a_page_from_elsewhere() {
    let consumer = Shows(Log::default());
    let guarded = AllowedHosts::from(["chat.example"]).wrap(move || consumer.clone());
    let served = serve(Server::new(ProtocolTypeRouter::new().websocket(guarded)).workers(1));
    let (own, evil) = ("Origin: https://chat.example\r\n", "Origin: https://evil.example\r\n");
    let twice = [format!("{own}{evil}"), format!("{evil}{own}")];
    for (host, origin, status) in [
        ("chat.example", own, 101),
        ("chat.example", evil, 403),
        ("evil.example", own, 101), // a page's own word counts, not whom the client asks for
        ("evil.example", evil, 403),
        ("chat.example\r\nX-Forwarded-Host: chat.example", evil, 403),
        ("chat.example\r\nHost: evil.example", own, 400),
        ("chat.example, evil.example", evil, 403),
        ("a b@c/d", evil, 403),
        ("", evil, 403),
        ("chat.example", &twice[0], 403),
        ("chat.example", &twice[1], 403),
        ("chat.example", "Origin: https://chat.example, https://evil.example\r\n", 403),
        ("chat.example", "Origin: https://chat.example@evil.example\r\n", 403),
        ("chat.example", "Origin: https://chat.example\\.evil.example\r\n", 403),
        ("chat.example", "Origin: https://chat.example:99999\r\n", 403),
        ("chat.example", "Origin: https://chat.\u{435}xample\r\n", 403),
        ("chat.example", "Origin: null\r\n", 403),
        ("chat.example", "Origin:\r\n", 403),
        ("chat.example", "X_Origin: https://chat.example\r\nOrigin_: https://chat.example\r\n", 403),
        ("chat.example", "Origin : https://chat.example\r\n", 400),
        ("chat.example", "Origin: https://evil.example\r\n https://chat.example\r\n", 400),
        ("chat.example", "", 403),
    ] {
        let mut client = Raw::connect(served.address).await;
        client.write(raw::handshake("/", origin).replace("localhost", host)).await;
        assert_eq!(client.response().await.status, status, "{host:?} {origin:?}");
    }
}

#[test]
fn pages_from_elsewhere_are_refused_with_403() {
    channels::run(async {
        for (origin, accepted) in [
            (Some("https://example.com"), true),
            (Some("https://chat.example.com:8443"), true),
            (Some("https://example.com.evil.net"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let consumer = Shows(Log::default());
            let guarded = AllowedHosts::from([".example.com"]).wrap(move || consumer.clone());
            let mut client = WebsocketCommunicator::new(guarded, "/");
            if let Some(origin) = origin {
                client = client.header(("Origin", origin));
            }
            let answer = client.connect().await.unwrap();
            assert_eq!(answer.accepted, accepted, "{origin:?}");
            assert_eq!(answer.status == StatusCode::FORBIDDEN, !accepted);
        }
    });
}
