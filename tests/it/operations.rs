//! What operators ask a server.

use std::net::SocketAddr;

use channels::{Server, metrics::Prometheus, prelude::*};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use crate::support::{serve, within};

#[derive(Clone)]
struct Echo {
    /// `disconnect` ends when this becomes true.
    may_end: watch::Receiver<bool>,
}

#[consumer]
impl Consumer for Echo {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["all".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        let _ = self.may_end.wait_for(|may| *may).await;
    }
}

fn server(may_end: watch::Receiver<bool>) -> Server {
    let make = move || Echo { may_end: may_end.clone() };
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", make)]).unwrap());
    Server::new(app).health("/healthz").readiness("/readyz").inspection("/inspect/")
}

/// Headers of a handshake.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Status and body of a `GET` on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, path, "Connection: close\r\n").await
}

async fn ask(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_draining_server_lives_but_is_not_ready_and_refuses_handshakes() {
    let (end, may_end) = watch::channel(false);
    let served = serve(server(may_end));
    let mut socket = served.connect("/ws/").await;
    assert_eq!(get(served.address, "/healthz").await.0, 200);
    assert_eq!(get(served.address, "/readyz").await.0, 200);

    let address = served.address;
    let stopped = served.stop();
    within(async { while get(address, "/readyz").await.0 != 503 {} }).await;
    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(ask(address, "/ws/", &format!("{UPGRADE}Connection: close\r\n")).await.0, 503);
    end.send(true).unwrap();
    assert_eq!(socket.closed().await.0, 1012);
    stopped.await;
}

#[tokio::test]
async fn inspection_shows_connections_groups_and_counts() {
    let (_end, may_end) = watch::channel(true);
    let served = serve(server(may_end).workers(2));
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let mut socket = served.connect("/ws/").await;
        socket.send("hello").await;
        assert_eq!(socket.text().await, "hello");
        sockets.push(socket);
    }
    let (status, body) = get(served.address, "/inspect/data.json").await;
    assert_eq!(status, 200);
    let report: Value = serde_json::from_str(&body).unwrap();
    let counts = &report["consumers"]["it::operations::Echo"];
    assert_eq!(counts["connections"], 4, "{report:#}");
    assert_eq!(counts["inputs"], 4);
    assert_eq!(counts["deliveries"], 4);
    assert_eq!(report["layers"]["default"]["groups"]["all"], 4);
    assert_eq!(report["connections"].as_array().unwrap().len(), 4);
    assert_eq!(report["connections"][0]["path"], "/ws/");
    assert_eq!(report["draining"], false);

    let (_, body) = get(served.address, "/inspect/data.json?limit=0").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["connections"], Value::Array(Vec::new()));
    assert!(get(served.address, "/inspect/").await.1.contains("<title>Connections</title>"));
}

#[tokio::test]
async fn an_application_reads_what_its_servers_connections_have_done() {
    #[derive(Default)]
    struct Parrot;
    #[consumer]
    impl Consumer for Parrot {
        async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
            cx.send(message.clone())?;
            cx.send(message)
        }
    }
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", Parrot::default)]).unwrap());
    let server = Server::new(app).workers(2);
    let stats = server.stats();
    assert!(stats.consumers().await.is_empty(), "it does not run yet");

    let served = serve(server);
    let (mut first, mut second) = (served.connect("/ws/").await, served.connect("/ws/").await);
    for socket in [&mut first, &mut second] {
        socket.send("hello").await;
        assert_eq!([socket.text().await, socket.text().await], ["hello", "hello"]);
    }
    let consumers = stats.consumers().await;
    let (name, counts) = consumers.first_key_value().unwrap();
    assert!(name.ends_with("::Parrot") && consumers.len() == 1, "{consumers:?}");
    assert_eq!((counts.connections, counts.opened, counts.inputs, counts.deliveries), (2, 2, 2, 4));
    assert_eq!(stats.total().await, *counts);
    drop(first);
    within(async { while stats.total().await.connections != 1 {} }).await;
    assert_eq!(stats.total().await.opened, 2);
}

#[tokio::test]
async fn nothing_is_shown_unless_it_is_asked_for() {
    let app = ProtocolTypeRouter::new();
    let served = serve(Server::new(app));
    for path in ["/healthz", "/readyz", "/inspect/", "/inspect/data.json", "/metrics"] {
        assert_eq!(get(served.address, path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn metrics_tell_connections_messages_and_times() {
    let (_end, may_end) = watch::channel(true);
    let prometheus = Prometheus::install().unwrap();
    let served = serve(server(may_end).workers(1).metrics("/metrics", prometheus));
    let mut socket = served.connect("/ws/").await;
    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello");
    let wanted = [
        "channels_connections{consumer=\"it::operations::Echo\",worker=\"0\"} 1",
        "channels_inputs_total{consumer=\"it::operations::Echo\"} 1",
        "channels_hook_seconds_count{consumer=\"it::operations::Echo\",hook=\"receive\"} 1",
    ];
    let told = async {
        loop {
            let (_, text) = get(served.address, "/metrics").await;
            if wanted.iter().all(|line| text.contains(line)) {
                return;
            }
        }
    };
    within(told).await;
}
