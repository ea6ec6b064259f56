//! Requests that are under way, and those that still come.

use std::time::{Duration, Instant};

use channels::{
    Config,
    actix_web::web::{self, ServiceConfig},
    prelude::*,
};
use tokio::sync::mpsc;

use super::{RESTART, SLOW, Timed};
use crate::{
    gate::Gate,
    logs,
    raw::{CLOSE, FIN, Raw, frame},
    support::{Served, serve, within},
};

/// Adds a request that waits at a gate.
fn slow(gate: &Gate) -> impl Fn(&mut ServiceConfig) + Clone + Send + Sync + 'static + use<> {
    let gate = gate.clone();
    move |http| {
        let gate = gate.clone();
        let answer = move || {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                "at last"
            }
        };
        http.route("/slow/", web::get().to(answer));
    }
}

/// Rooms, and a request that waits at a gate.
fn slow_and_rooms() -> (Server, mpsc::UnboundedReceiver<()>, Gate) {
    let (gate, told) = Gate::new(0);
    let (ends, _) = mpsc::unbounded_channel();
    let rooms = URLRouter::new([path("ws/<slug:room>/", move || Timed(ends.clone()))]).unwrap();
    (Server::new(ProtocolTypeRouter::new().websocket(rooms).http(slow(&gate))), told, gate)
}

#[tokio::test]
async fn requests_that_are_under_way_are_answered_before_the_end_and_nothing_is_waited_for_after_it() {
    let (server, mut told, gate) = slow_and_rooms();
    let server = serve(server.workers(2));
    let mut clients = Vec::new();
    // A connection whose first request is for a room is served by the room's thread, whichever has accepted it.
    for room in ["a", "b", "c", "d"] {
        let mut client = Raw::connect(server.address).await;
        client.write(format!("GET /ws/{room}/ HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 426);
        client.write(SLOW).await;
        within(told.recv()).await.unwrap();
        clients.push(client);
    }
    let stopped = server.stop();
    let answered = Instant::now();
    gate.open(clients.len());
    for client in &mut clients {
        assert_eq!(client.response().await.body, "at last");
    }
    stopped.await;
    assert!(answered.elapsed() < Duration::from_secs(4), "a connection may have five for its next request");
}

/// Its `disconnect` waits at a gate.
struct Lingers(Gate);

#[consumer]
impl Consumer for Lingers {
    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        self.0.pass().await;
    }
}

#[tokio::test]
async fn requests_are_waited_for_however_long_the_sockets_took() {
    const DRAIN: Duration = Duration::from_secs(8);
    let ((answers, mut asked), (lingers, mut left)) = (Gate::new(0), Gate::new(0));
    let leaves = lingers.clone();
    let app = ProtocolTypeRouter::new().websocket(move || Lingers(leaves.clone())).http(slow(&answers));
    let server = serve(Server::new(app).config(Config { drain_timeout: DRAIN, ..Config::default() }).workers(1));
    let mut asks = Raw::connect(server.address).await;
    asks.write(SLOW).await;
    within(asked.recv()).await.unwrap();
    let mut client = Raw::open(server.address, "/").await;
    let stopped = server.stop();
    within(left.recv()).await.unwrap();
    tokio::time::sleep(DRAIN.mul_f32(0.6)).await;
    lingers.open(1);
    assert_eq!(client.close().await.0, RESTART.0);
    client.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
    assert_eq!(client.frame().await, None);
    answers.open(1);
    assert_eq!(asks.response().await.body, "at last");
    stopped.await;
}

/// Stops a server, and waits until nothing but the last requests is left: what is idle has ended.
async fn stop_to_the_last_requests(server: Served) -> impl Future<Output = ()> {
    let mut idle = Raw::connect(server.address).await;
    idle.write("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 404);
    let stopped = server.stop();
    assert!(idle.try_response().await.is_none());
    stopped
}

#[tokio::test]
async fn probes_are_answered_while_the_last_requests_are() {
    let (server, mut told, gate) = slow_and_rooms();
    let server = serve(server.workers(1).health("/healthz").readiness("/readyz"));
    let mut slow = Raw::connect(server.address).await;
    slow.write(SLOW).await;
    within(told.recv()).await.unwrap();
    let address = server.address;
    let stopped = stop_to_the_last_requests(server).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let mut probe = Raw::connect(address).await;
        probe.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(probe.response().await.status, status);
        assert!(probe.try_response().await.is_none(), "it was the last on its connection");
    }
    gate.open(1);
    assert_eq!(slow.response().await.body, "at last");
    stopped.await;
}

#[tokio::test]
async fn an_upload_that_was_asked_to_go_on_is_waited_for() {
    let app = ProtocolTypeRouter::new().http(|http| {
        http.route("/count/", web::post().to(async |body: web::Bytes| body.len().to_string()));
    });
    let server = serve(Server::new(app).workers(1));
    let mut client = Raw::connect(server.address).await;
    client.write("POST /count/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    let stopped = stop_to_the_last_requests(server).await;
    client.write("a whole").await;
    assert_eq!(client.response().await.body, "7");
    stopped.await;
}

#[tokio::test]
async fn who_comes_while_the_last_requests_are_answered_is_not_waited_for() {
    let (server, mut told, gate) = slow_and_rooms();
    let server = serve(server.workers(1));
    let mut slow = Raw::connect(server.address).await;
    slow.write(SLOW).await;
    within(told.recv()).await.unwrap();
    let address = server.address;
    let stopped = stop_to_the_last_requests(server).await;
    let mut newcomer = Raw::connect(address).await;
    newcomer.write(SLOW).await;
    within(told.recv()).await.unwrap();
    let answered = Instant::now();
    gate.open(1);
    assert_eq!(slow.response().await.body, "at last");
    stopped.await;
    assert!(answered.elapsed() < Duration::from_secs(15), "it has thirty");
}

#[tokio::test]
async fn requests_that_are_not_answered_in_time_are_cut() {
    logs::keep();
    let (server, mut told, _gate) = slow_and_rooms();
    let config = Config { drain_timeout: Duration::from_millis(371), ..Config::default() };
    let server = serve(server.config(config).workers(1));
    let mut client = Raw::connect(server.address).await;
    client.write(SLOW).await;
    within(told.recv()).await.unwrap();
    server.stop().await;
    assert!(client.try_response().await.is_none());
    logs::wait_for(&["WARN", "requests that were not answered in time are cut", "371ms"]).await;
}
