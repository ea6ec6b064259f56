//! An application within an actix-web `App` that exists.

use std::{any::Any, net::SocketAddr, thread, time::Duration};

use channels::{
    Config, InMemoryChannelLayer, Layer, SlowClient,
    actix_web::{
        App, HttpResponse, HttpServer,
        dev::{Extensions, ServerHandle},
        http::StatusCode,
        rt::net::TcpStream,
        test::{TestRequest, call_service, init_service},
        web::{self, ServiceConfig},
    },
    event,
    prelude::*,
};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use crate::{
    logs,
    puppet::{Strings, panics, quiet_panics},
    raw::{self, Raw, Response},
    support::within,
};

/// Says where it is.
struct Where;

#[consumer]
impl Consumer for Where {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        let (scope, room) = (cx.scope(), cx.scope().kwarg("room")?);
        let text = format!("{room} at {} under {:?}", scope.path(), scope.root_path());
        cx.send(text)?;
        Ok(())
    }
}

/// Serves an actix-web `App` with this configuration until the handle stops it.
pub(crate) async fn serve_app(
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> (SocketAddr, ServerHandle) {
    serve_app_on(configure, |_, _| {}).await
}

/// The same, with what the host does to each connection.
async fn serve_app_on(
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    on_connect: fn(&dyn Any, &mut Extensions),
) -> (SocketAddr, ServerHandle) {
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        channels::run(async {
            let server = HttpServer::new(move || App::new().configure(configure.clone()))
                .workers(2)
                .on_connect(on_connect)
                .client_disconnect_timeout(Duration::ZERO)
                .disable_signals()
                .bind("127.0.0.1:0")
                .expect("a free port");
            let address = server.addrs()[0];
            let server = server.run();
            let _ = tell.send((address, server.handle()));
            let _ = server.await;
        });
    });
    within(told).await.expect("the server starts")
}

fn page(text: &'static str) -> channels::actix_web::Route {
    web::get().to(move || async move { HttpResponse::Ok().body(text) })
}

async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut client = Raw::connect(address).await;
    client.write(request).await;
    client.response().await
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = ask(address, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    (response.status, response.body)
}

#[tokio::test]
async fn an_application_lives_below_the_prefix_where_it_is_mounted_beside_http() {
    let app = ProtocolTypeRouter::new()
        .http(|config| {
            config.route("/page", page("of the application"));
        })
        .websocket(URLRouter::new([path("ws/<str:room>/", || Where)]).unwrap());
    let mount = app.mount();
    let (address, handle) = serve_app(move |config| {
        config
            .service(web::scope("/live/v1").configure(mount.clone()).route("/ws/blue/", page("instead of a socket")))
            .route("/", page("of the host"));
    })
    .await;

    let mut client = Raw::open(address, "/live/v1/ws/blue/").await;
    assert_eq!(client.text().await, "blue at /live/v1/ws/blue/ under \"/live/v1\"");
    assert_eq!(get(address, "/").await, (200, "of the host".to_owned()));
    assert_eq!(get(address, "/live/v1/page").await, (200, "of the application".to_owned()));
    assert_eq!(get(address, "/live/v1/ws/blue/").await, (200, "instead of a socket".to_owned()));
    assert_eq!(get(address, "/live/v1/elsewhere").await.0, 404);
    for path in ["/live/v1/elsewhere", "/ws/blue/", "/live/v1", "/live/v1/live/v1/ws/blue/"] {
        assert_eq!(ask(address, raw::handshake(path, "")).await.status, 404, "{path}");
    }
    handle.stop(false).await;
}

#[tokio::test]
async fn an_application_mounted_at_the_top_has_no_prefix() {
    let mount =
        ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/<str:room>/", || Where)]).unwrap()).mount();
    let (address, handle) = serve_app(move |config| {
        config.configure(mount.clone()).route("/ws/blue/", page("of the host"));
    })
    .await;
    let mut client = Raw::open(address, "/ws/blue/").await;
    assert_eq!(client.text().await, "blue at /ws/blue/ under \"\"");
    assert_eq!(get(address, "/ws/blue/").await, (200, "of the host".to_owned()));
    handle.stop(false).await;
}

#[test]
fn an_application_that_is_mounted_for_a_moment_ends_quietly() {
    quiet_panics();
    let mount = ProtocolTypeRouter::new().websocket(|| Where).mount();
    // What it starts has not had its first turn when the runtime ends.
    channels::run(async { init_service(App::new().configure(mount)).await });
    assert_eq!(panics(), [""; 0]);
}

#[tokio::test]
async fn the_threads_of_a_mounted_application_share_its_layers() {
    let (strings, layer) = (Strings::new(), Layer::new(InMemoryChannelLayer::default()));
    let mount = strings.server(&layer).mount().unwrap();
    let (address, handle) = serve_app(move |config| {
        config.configure(mount.clone());
    })
    .await;
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(Raw::open(address, "/").await);
    }
    let report = layer.group_send("room", event!({"type": "puppet.do", "what": "say hello"})).report().await.unwrap();
    assert_eq!(report.delivered, 4);
    for member in &mut members {
        assert_eq!(member.text().await, "hello");
    }
    handle.stop(false).await;
}

#[tokio::test]
async fn health_and_readiness_are_mounted_with_the_application() {
    let server = Server::new(ProtocolTypeRouter::new().websocket(|| Where)).health("/healthz").readiness("/readyz");
    let mount = server.mount().unwrap();
    let (address, handle) = serve_app(move |config| {
        config.service(web::scope("/live").configure(mount.clone())).route("/", page("of the host"));
    })
    .await;
    for (path, status) in [("/live/healthz", 200), ("/live/readyz", 200), ("/healthz", 404)] {
        assert_eq!(get(address, path).await.0, status, "{path}");
    }
    within(server.drain()).await;
    assert_eq!(get(address, "/live/readyz").await.0, 503);
    assert_eq!(get(address, "/live/healthz").await.0, 200);
    assert_eq!(get(address, "/").await, (200, "of the host".to_owned()));
    handle.stop(false).await;
}

#[tokio::test]
async fn a_mounted_application_drains_while_its_host_goes_on() {
    let (mut strings, layer) = (Strings::new(), Layer::new(InMemoryChannelLayer::default()));
    let server = strings.server(&layer);
    let mount = server.mount().unwrap();
    let (address, handle) = serve_app(move |config| {
        config.configure(mount.clone()).route("/", page("of the host"));
    })
    .await;
    let mut client = Raw::open(address, "/").await;
    let drained = tokio::spawn(server.drain());
    assert_eq!(client.close().await, (1012, "the server restarts".to_owned()));
    client.write(raw::frame(raw::FIN | raw::CLOSE, 1012u16.to_be_bytes())).await;
    within(drained).await.unwrap();
    assert_eq!(strings.told_to_the_end().await[1], "disconnect 1012 (the server restarts) by server in class, room");
    let refused = ask(address, raw::handshake("/", "")).await;
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert_eq!(get(address, "/").await, (200, "of the host".to_owned()));
    handle.stop(false).await;
}

/// Sends as much as may wait for its client, and tells with which code it ends.
struct Talker(mpsc::UnboundedSender<u16>);

#[consumer]
impl Consumer for Talker {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        while cx.send("x".repeat(8 * 1_024)).is_ok() {}
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(close.code.get());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_never_reads_is_gone_where_the_host_bounds_how_long_the_kernel_waits() {
    const SOON: Duration = Duration::from_millis(500);
    let (tell, mut told) = mpsc::unbounded_channel();
    // More than sockets hold.
    let max_waiting_bytes = 16 * 1_024 * 1_024;
    let config =
        Config { max_waiting_bytes, stall_timeout: SOON, slow_client: SlowClient::DropNewest, ..Config::default() };
    let app = ProtocolTypeRouter::new().websocket(move || Talker(tell.clone()));
    let mount = Server::new(app).config(config).mount().unwrap();
    let configure = move |config: &mut ServiceConfig| {
        config.configure(mount.clone());
    };
    // As `docs/topics/deploying.md` has it.
    let (address, handle) = serve_app_on(configure, |connection, _| {
        let stream = connection.downcast_ref::<TcpStream>().unwrap();
        socket2::SockRef::from(stream).set_tcp_user_timeout(Some(SOON)).unwrap();
    })
    .await;
    let mut client = Raw::connect_narrow(address).await.upgrade("/").await;
    assert_eq!(within(told.recv()).await, Some(1006));
    // What still comes for a connection that the kernel has given up is answered with a reset.
    within(async { while client.try_write(raw::frame(raw::FIN | raw::PING, "")).await {} }).await;
    handle.stop(false).await;
}

#[test]
fn where_no_session_can_run_handshakes_are_answered_with_500_and_the_log_says_why() {
    logs::keep();
    let app = ProtocolTypeRouter::new().websocket(|| Where);
    let mount = Server::new(app).mount().unwrap();
    let service = init_service(App::new().route("/page", page("page")).configure(mount)).now_or_never().unwrap();
    let ask = |request: TestRequest| call_service(&service, request.to_request()).now_or_never().unwrap().status();
    let handshake = TestRequest::with_uri("/ws/").insert_header(("Upgrade", "websocket"));
    assert_eq!(ask(handshake), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(TestRequest::with_uri("/page")), StatusCode::OK);
    let why = "error=this thread has no runtime for sessions";
    assert!(!logs::with(&["ERROR", "handshakes cannot be served", why]).is_empty());
}
