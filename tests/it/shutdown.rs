//! How a server stops: every socket is told, every `disconnect` has run, and there is a deadline.

mod requests;

use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use channels::{Config, InMemoryChannelLayer, Layer, actix_web::web, prelude::*};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
};

use crate::{
    gate::Gate,
    logs,
    puppet::Strings,
    raw::{self, CLOSE, FIN, PING, PONG, Raw, TEXT, frame},
    support::{Served, raise_file_limit, serve, within},
};

fn layer() -> Layer {
    Layer::new(InMemoryChannelLayer::default())
}

const RESTART: (u16, &str) = (1012, "the server restarts");
const SLOW: &str = "GET /slow/ HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_socket_is_closed_with_1012_after_its_disconnect_has_run() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = serve(strings.server(&layer));
    let mut client = Raw::open(server.address, "/").await;
    client.write(frame(FIN | TEXT, "at-the-end wait")).await;
    while strings.told().await != "did at-the-end wait" {}
    let stopped = server.stop();
    assert_eq!(strings.told().await, "disconnect 1012 (the server restarts) by server in class, room");
    assert_eq!(strings.told().await, "waits");
    // The connection is served meanwhile; a close frame would have come before the answer.
    client.write(frame(FIN | PING, "still there?")).await;
    assert_eq!(client.frame().await, Some((FIN | PONG, b"still there?".to_vec())));
    strings.open();
    assert_eq!(client.close().await, (RESTART.0, RESTART.1.to_owned()));
    assert_eq!(layer.group_size("room").await.unwrap(), 0, "groups are left before the client has answered");
    client.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
    stopped.await;
    assert_eq!(strings.told_to_the_end().await, ["did wait"]);
}

#[tokio::test]
async fn a_server_has_stopped_when_every_disconnect_has_run() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = serve(strings.server(&layer).workers(2));
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.connect("/").await);
    }
    let stopped = server.stop();
    for client in &mut clients {
        assert_eq!(client.closed().await, (RESTART.0, RESTART.1.to_owned()));
    }
    stopped.await;
    let mut ends = Vec::new();
    while let Some(told) = strings.told_already() {
        ends.push(told);
    }
    assert_eq!(ends.iter().filter(|told| told.starts_with("disconnect 1012")).count(), 20);
    assert_eq!(ends.iter().filter(|told| *told == "dropped").count(), 20);
}

/// Tells when its `disconnect` runs.
struct Timed(mpsc::UnboundedSender<Instant>);

#[consumer]
impl Consumer for Timed {
    async fn disconnect(&mut self, _: &mut Context, _: &Close) {
        let _ = self.0.send(Instant::now());
    }
}

#[tokio::test]
async fn connections_end_a_hundred_at_a_time_with_pauses_in_between() {
    const CONNECTIONS: usize = 350;
    raise_file_limit();
    let (tell, mut told) = mpsc::unbounded_channel();
    let app = ProtocolTypeRouter::new().websocket(move || Timed(tell.clone()));
    let server = serve(Server::new(app).workers(1));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Raw::open(server.address, "/").await);
    }
    let stopped = server.stop();
    for mut client in clients {
        assert_eq!(client.close().await, (RESTART.0, RESTART.1.to_owned()));
    }
    stopped.await;
    let mut ends = Vec::new();
    while let Ok(end) = told.try_recv() {
        ends.push(end);
    }
    ends.sort();
    assert_eq!(ends.len(), CONNECTIONS);
    // Three pauses of up to 200 ms each, as chance will have it; without them one `disconnect` follows the other.
    let pauses = [100, 200, 300].map(|next| ends[next] - ends[next - 1]);
    let (pauses, all) = (pauses.iter().sum::<Duration>(), ends[CONNECTIONS - 1] - ends[0]);
    assert!(pauses > Duration::from_millis(5), "{pauses:?} of {all:?}");
    assert!(all < Duration::from_secs(15), "half of the time that a drain has: {all:?}");
}

#[tokio::test]
async fn a_consumer_may_say_goodbye_when_the_server_stops() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = serve(strings.server(&layer));
    let mut client = server.connect("/").await;
    client.send("at-the-end say goodbye").await;
    while strings.told().await != "did at-the-end say goodbye" {}
    let stopped = server.stop();
    assert_eq!(client.text().await, "goodbye");
    assert_eq!(client.closed().await.0, 1012);
    stopped.await;
}

#[tokio::test]
async fn a_hook_that_runs_may_end_before_its_connection_does() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = serve(strings.server(&layer));
    let mut client = server.connect("/").await;
    client.send("wait-and-say the last word").await;
    while strings.told().await != "waits" {}
    let stopped = server.stop();
    strings.open();
    assert_eq!(client.text().await, "the last word");
    assert_eq!(client.closed().await.0, 1012);
    stopped.await;
}

#[tokio::test]
async fn handshakes_are_answered_with_503_while_the_server_drains() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = serve(strings.server(&layer));
    let address = server.address;
    let mut client = server.connect("/").await;
    client.send("at-the-end wait").await;
    while strings.told().await != "did at-the-end wait" {}
    let mut deciding = Raw::connect(address).await;
    deciding.write(raw::handshake("/wait?name=deciding", "")).await;
    while strings.told().await != "deciding waits" {}
    let mut early = Raw::connect(address).await;

    let stopped = server.stop();
    while strings.told().await != "waits" {}
    for newcomer in [&mut early, &mut Raw::connect(address).await] {
        newcomer.write(raw::handshake("/", "")).await;
        let refused = newcomer.response().await;
        assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    }
    // One that was being decided is refused when its hook ends, and has its `disconnect`.
    strings.open();
    strings.open();
    let refused = deciding.response().await;
    assert_eq!(refused.status, 503);
    assert_eq!(client.closed().await.0, 1012);
    stopped.await;
    let mut told = Vec::new();
    while let Some(line) = strings.told_already() {
        told.push(line);
    }
    let disconnect = "deciding disconnect 1012 (the server restarts) by server in class, room";
    assert!(told.iter().any(|line| line == disconnect), "{told:?}");
}

#[tokio::test]
async fn a_handshake_that_is_in_middleware_when_the_drain_begins_is_refused() {
    let (gate, mut told) = Gate::new(1);
    let (ends, _ended) = mpsc::unbounded_channel();
    let app = gate.clone().wrap(move || Timed(ends.clone()));
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(app)).workers(1));
    let mut client = Raw::open(server.address, "/").await;
    told.recv().await.unwrap();
    let mut late = Raw::connect(server.address).await;
    late.write(raw::handshake("/", "")).await;
    within(told.recv()).await.unwrap();
    let stopped = server.stop();
    // Its close frame is not answered yet, so the server still drains.
    assert_eq!(client.close().await.0, RESTART.0);
    gate.open(1);
    assert_eq!(late.response().await.status, 503);
    client.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
    stopped.await;
}

#[tokio::test]
async fn a_drain_that_the_program_began_and_that_of_a_stop_are_over_together() {
    let (mut strings, layer) = (Strings::new(), layer());
    let server = strings.server(&layer).workers(1);
    let drain = server.drain();
    let server = serve(server);
    let mut client = Raw::open(server.address, "/").await;
    let drained = tokio::spawn(drain);
    assert_eq!(client.close().await.0, RESTART.0);
    let stopped = server.stop();
    let answered = Instant::now();
    client.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
    stopped.await;
    within(drained).await.unwrap();
    assert!(answered.elapsed() < Duration::from_secs(15), "they have thirty");
    strings.told_to_the_end().await;
}

#[tokio::test]
async fn a_disconnect_that_never_ends_is_cancelled_at_its_deadline_and_logged() {
    logs::keep();
    let (mut strings, layer) = (Strings::new(), layer());
    let config = Config { disconnect_timeout: Duration::from_millis(73), ..Config::default() };
    let server = serve(strings.server(&layer).config(config));
    let mut client = server.connect("/").await;
    client.send("at-the-end wait-forever").await;
    while strings.told().await != "did at-the-end wait-forever" {}
    let stopped = server.stop();
    assert_eq!(client.closed().await, (RESTART.0, RESTART.1.to_owned()));
    stopped.await;
    logs::wait_for(&["ERROR", "hook=disconnect", "did not end within 73ms"]).await;
}

/// Stops a server, and says how long it took.
async fn stop_in_time(server: Served) -> Duration {
    let start = Instant::now();
    server.stop().await;
    start.elapsed()
}

#[tokio::test]
async fn a_drain_has_a_deadline_and_then_the_sockets_are_cut() {
    logs::keep();
    let (mut strings, layer) = (Strings::new(), layer());
    let config = Config { drain_timeout: Duration::from_secs(2), ..Config::default() };
    let server = serve(strings.server(&layer).config(config));
    let mut client = Raw::open(server.address, "/").await;
    client.write(frame(FIN | TEXT, "at-the-end wait-forever")).await;
    while strings.told().await != "did at-the-end wait-forever" {}
    let took = stop_in_time(server).await;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(3_800), "it took {took:?}");
    assert_eq!(client.frame().await, None);
    logs::wait_for(&["WARN", "connections that had not ended in time are cut", "timeout=2s"]).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_keep_a_server_from_stopping() {
    let (mut strings, layer) = (Strings::new(), layer());
    let config = Config { drain_timeout: Duration::from_secs(1), ..Config::default() };
    let server = serve(strings.server(&layer).config(config));
    let mut client = Raw::connect_narrow(server.address).await.upgrade("/").await;
    // More than the socket holds: the response is not polled any more, and neither is what it runs.
    client.write(frame(FIN | TEXT, format!("say-long {}", 16 << 20))).await;
    while !strings.told().await.starts_with("did say-long") {}
    let took = stop_in_time(server).await;
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let told = strings.told_to_the_end().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("disconnect 1012") || told[0].starts_with("disconnect 1006"), "{told:?}");
}

const CHILD: &str = "CHANNELS_TEST_SERVER";

/// Not a test of its own: the program that the tests below send signals to.
#[test]
fn a_program_that_serves_until_it_is_told_to_stop() {
    let Ok(disconnect) = env::var(CHILD) else { return };
    let consumer = move || Farewell { disconnect: disconnect.clone() };
    let app = ProtocolTypeRouter::new().websocket(consumer).http(|http| {
        let slow = || async {
            println!("\nrequest");
            std::future::pending::<&str>().await
        };
        http.route("/slow/", web::get().to(slow));
    });
    let server = Server::new(app).workers(1).bind("127.0.0.1:0").unwrap();
    println!("\naddress={}", server.addresses()[0]);
    channels::run(server.run()).unwrap();
    println!("\nstopped");
}

struct Farewell {
    disconnect: String,
}

#[consumer]
impl Consumer for Farewell {
    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        println!("\ndisconnect {close}");
        if self.disconnect == "never ends" {
            std::future::pending::<()>().await;
        }
    }
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts the program, and gives its address.
    async fn start(disconnect: &str) -> (Self, String) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "shutdown::a_program_that_serves_until_it_is_told_to_stop", "--nocapture"])
            .env(CHILD, disconnect)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self { child, lines };
        let line = program.line("address=").await;
        (program, line.trim_start_matches("address=").to_owned())
    }

    /// Waits for a line of its output.
    async fn line(&mut self, start: &str) -> String {
        loop {
            let line = within(self.lines.next_line()).await.unwrap().expect("it runs");
            if line.starts_with(start) {
                return line;
            }
        }
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status().await.unwrap();
        assert!(sent.success());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_and_ctrl_c_close_every_socket_with_1012_after_its_disconnect() {
    for signal in ["TERM", "INT"] {
        let (mut program, address) = Program::start("ends").await;
        let mut client = Raw::open(address.parse().unwrap(), "/").await;
        program.signal(signal).await;
        assert_eq!(client.close().await, (RESTART.0, RESTART.1.to_owned()));
        client.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
        assert_eq!(program.line("disconnect").await, "disconnect 1012 (the server restarts)");
        program.line("stopped").await;
        assert!(within(program.child.wait()).await.unwrap().success());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_requests_at_once() {
    let (mut program, address) = Program::start("ends").await;
    let mut client = Raw::connect(address.parse().unwrap()).await;
    client.write(SLOW).await;
    program.line("request").await;
    let mut socket = Raw::open(address.parse().unwrap(), "/").await;
    program.signal("TERM").await;
    assert_eq!(socket.close().await.0, RESTART.0);
    socket.write(frame(FIN | CLOSE, RESTART.0.to_be_bytes())).await;
    program.line("disconnect").await;
    let start = Instant::now();
    program.signal("TERM").await;
    program.line("stopped").await;
    assert!(within(program.child.wait()).await.unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(15), "it has thirty for its request");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (mut program, address) = Program::start("never ends").await;
    let mut client = Raw::open(address.parse().unwrap(), "/").await;
    program.signal("TERM").await;
    program.line("disconnect").await;
    let start = Instant::now();
    program.signal("TERM").await;
    program.line("stopped").await;
    let status = within(program.child.wait()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "it has ten for its `disconnect`");
    assert!(status.success(), "{status}");
    assert_eq!(client.frame().await, None);
}
