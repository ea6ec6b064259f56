//! What the server says of requests and connections, and what it does without asking the application.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use channels::{
    Demultiplexer, Layer, SendError, SlowClient,
    actix_web::{
        HttpResponse, guard,
        http::{Method, StatusCode},
        web,
    },
    event,
    prelude::*,
    routing::Application,
    testing::{HttpCommunicator, WebsocketCommunicator},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    logs,
    support::{serve, within},
};

/// Closes when it is told to.
#[derive(Default)]
struct Closer;

#[consumer]
impl Consumer for Closer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if cx.scope().path().contains("refused") {
            return Err(Deny::forbidden().into());
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        if message.is_empty() {
            Err(Deny::new(StatusCode::CONFLICT))?;
        }
        cx.close(4007, "told to");
        Ok(())
    }

    #[handler("large")]
    fn large(_: &RawEvent) -> Result<Message> {
        Ok("x".repeat(20).into())
    }
}

#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Middleware for Counting {
    async fn before(&self, _: Scope) -> Result<Scope, Deny> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Deny::forbidden())
    }
}

#[channels::test]
async fn a_plain_request_is_told_whether_there_is_a_websocket_and_no_middleware_runs() {
    let counting = Counting::default();
    let inner = URLRouter::new([path("room/<int:n>/", counting.clone().wrap(Closer::default))]).unwrap();
    let streams = Demultiplexer::new().stream("a", counting.clone().wrap(Closer::default));
    let routes = [path("ws/", inner), re_path(r"^chat/(\w+)/$", Closer::default), path("streams/", streams)];
    let routes = URLRouter::new(routes).unwrap();
    let app = ProtocolTypeRouter::new().websocket(counting.clone().wrap(routes));
    for (path, status) in [
        ("/ws/room/7/", 426),
        ("/chat/x/", 426),
        ("/streams/", 426),
        ("/streams/x/", 404),
        ("/ws/room/x/", 404),
        ("/ws/", 404),
        ("/favicon.ico", 404),
    ] {
        let response = HttpCommunicator::new(app.clone(), Method::GET, path).get_response().await.unwrap();
        assert_eq!(response.status.as_u16(), status, "{path}");
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), 0);
}

#[test]
fn asking_whether_a_route_serves_leaves_the_scope_as_it_was() {
    let inner = URLRouter::new([path("<int:n>/", Closer::default), path("<str:s>/x/", Closer::default)]).unwrap();
    let routes = URLRouter::new([path("ws/", inner).kwarg("kind", "chat")]).unwrap();
    for (uri, serves) in [("/ws/7/", true), ("/ws/a/x/", true), ("/ws/a/", false), ("/", false)] {
        let mut scope = Scope::websocket(uri);
        assert_eq!(routes.serves(&mut scope), serves, "{uri}");
        assert_eq!(scope.url_route(), Scope::websocket(uri).url_route());
    }
}

#[channels::test]
async fn a_slow_client_is_told_apart_from_a_full_channel() {
    let layer = Layer::from_url("memory://").unwrap();
    layer.new_channel().await.unwrap();
    let config = Config { max_waiting_bytes: 30, slow_client: SlowClient::DropNewest, ..Config::default() };
    let mut client = WebsocketCommunicator::new(Grouped::default, "/").layers(layer.clone()).config(config);
    client.connect().await.unwrap();
    let channel = layer.group_channels("slow").await.unwrap().remove(0);
    layer.send(&channel, event!({"type": "large"})).await.unwrap();
    let error = layer.send(&channel, event!({"type": "large"})).await.unwrap_err();
    assert!(matches!(error, SendError::ClientTooSlow { limit: 30, .. }));
    let text = format!("the client of channel \"{channel}\" reads too slowly (at most 30 bytes wait for it)");
    assert_eq!(error.to_string(), text);
    let report = layer.group_send("slow", event!({"type": "large"})).report().await.unwrap();
    assert_eq!((report.delivered, report.full, report.slow), (0, 0, 1));
    assert_eq!((layer.dropped().full, layer.dropped().slow), (0, 2));
    client.disconnect(1000).await.unwrap();
}

/// The same large message, for the members of a group.
#[derive(Default)]
struct Grouped;

#[consumer]
impl Consumer for Grouped {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["slow".to_owned()]
    }

    #[handler("large")]
    fn large(_: &RawEvent) -> Result<Message> {
        Ok("x".repeat(20).into())
    }
}

#[channels::test]
async fn a_denial_after_the_handshake_is_logged_with_its_line() {
    logs::keep();
    let mut client = WebsocketCommunicator::new(Closer::default, "/denied-too-late/");
    client.connect().await.unwrap();
    client.send_to("").await.unwrap();
    assert_eq!(client.closed().await.unwrap().code.get(), 1011);
    let line = logs::wait_for(&["/denied-too-late/", "a hook failed", "refused with 409 Conflict"]).await;
    assert!(line.contains("tests/it/access.rs:"), "{line}");
}

#[tokio::test]
async fn every_request_and_every_end_of_a_connection_is_one_line_in_the_access_log() {
    logs::keep();
    let app = ProtocolTypeRouter::new()
        .http(|cfg| {
            cfg.route("/logged-page", web::get().to(HttpResponse::Ok));
        })
        .websocket(URLRouter::new([path("logged/<str:x>/", Closer::default)]).unwrap());
    let served = serve(Server::new(app));
    for path in ["/logged-page", "/logged-nowhere"] {
        let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        within(stream.read_to_string(&mut response)).await.unwrap();
    }
    assert!(served.handshake(served.url("/logged/refused/")).await.is_err());
    let mut socket = served.connect("/logged/closed/").await;
    socket.send("close").await;
    assert_eq!(socket.closed().await.0, 4007);
    let ended = logs::wait_for(&["websocket closed", "path=/logged/closed/"]).await;
    for part in ["INFO", "code=4007", "by=Server", "duration=", "peer=127.0.0.1:"] {
        assert!(ended.contains(part), "{ended}");
    }
    served.stop().await;
    for (path, status) in
        [("/logged-page", 200), ("/logged-nowhere", 404), ("/logged/refused/", 403), ("/logged/closed/", 101)]
    {
        let (path, status) = (format!("path={path} "), format!("status={status} "));
        let lines = logs::with(&["INFO http method=GET ", &path]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [&*status, "duration=", "peer=127.0.0.1:"] {
            assert!(lines[0].contains(part), "{lines:?}");
        }
    }
    assert_eq!(logs::with(&["websocket closed", "path=/logged/"]).len(), 1, "none for a refused handshake");
}

#[channels::test]
async fn a_request_that_its_client_gives_up_is_a_line_too() {
    logs::keep();
    let app = ProtocolTypeRouter::new().http(|cfg| {
        cfg.route("/given-up", web::get().to(std::future::pending::<HttpResponse>));
    });
    let request = HttpCommunicator::new(app, Method::GET, "/given-up").timeout(std::time::Duration::from_millis(1));
    assert!(request.get_response().await.is_err());
    logs::wait_for(&["INFO http, given up by the client", "method=GET", "path=/given-up"]).await;
}

#[tokio::test]
async fn a_handler_that_panics_is_logged_with_its_place_and_not_put_down_to_the_client() {
    async fn panics() -> HttpResponse {
        panic!("on the record")
    }
    logs::keep();
    let app = ProtocolTypeRouter::new().http(|cfg| {
        let guarded = web::get().guard(guard::fn_guard(|_| panic!("on the record")));
        cfg.route("/panics", web::get().to(panics)).route("/panics-sooner", guarded.to(HttpResponse::Ok));
    });
    let served = serve(Server::new(app));
    for path in ["/panics", "/panics-sooner"] {
        let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = String::new();
        within(stream.read_to_string(&mut response)).await.unwrap();
        assert_eq!(response, "", "the connection ends");
        let path = format!("path={path} ");
        let line = logs::wait_for(&["ERROR http, given up by a handler that panicked method=GET ", &path]).await;
        assert!(line.contains("error=panicked at tests/it/access.rs:") && line.contains(": on the record "), "{line}");
        assert_eq!(logs::with(&["http", &path]).len(), 1);
    }
}
