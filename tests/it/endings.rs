//! Whatever the end of a connection is: `disconnect` runs once, with its code, and then all groups are left.

use std::time::Duration;

use channels::{Config, InMemoryChannelLayer, Layer, SyncConsumer, SyncContext, SyncError, event, prelude::*};
use tokio_tungstenite::tungstenite::{Error, Message as Frame, protocol::CloseFrame};

use crate::{
    logs,
    puppet::Strings,
    raw::{self, CLOSE, FIN, Raw, TEXT},
    support::{Served, serve},
};

/// A server of puppets.
struct Stage {
    strings: Strings,
    layer: Layer,
    server: Served,
}

impl Stage {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let (strings, layer) = (Strings::new(), Layer::new(InMemoryChannelLayer::default()));
        let server = serve(strings.server(&layer).config(config));
        Self { strings, layer, server }
    }

    /// What the puppet told after `connect`, when it is gone and all groups are left.
    async fn end(&mut self) -> Vec<String> {
        let told = self.strings.told_to_the_end().await;
        assert_eq!(told[0], "connect");
        for group in ["class", "room"] {
            assert_eq!(self.layer.group_size(group).await.unwrap(), 0, "somebody is in {group}");
        }
        told[1..].to_vec()
    }

    async fn send(&self, what: &str) {
        self.layer.group_send("room", event!({"type": "puppet.do", "what": what})).await.unwrap();
    }
}

#[tokio::test]
async fn the_clients_code_and_reason_reach_disconnect_and_its_code_comes_back() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send(Frame::Close(Some(CloseFrame { code: 4001.into(), reason: "bye".into() }))).await;
    assert_eq!(client.closed().await, (4001, String::new()));
    assert_eq!(stage.end().await, ["disconnect 4001 (bye) by client in class, room"]);
}

#[tokio::test]
async fn a_close_frame_without_a_code_is_1005() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send(Frame::Close(None)).await;
    assert_eq!(client.closed().await.0, 1005);
    assert_eq!(stage.end().await, ["disconnect 1005 by client in class, room"]);
}

#[tokio::test]
async fn a_socket_that_vanishes_is_1006() {
    let mut stage = Stage::new();
    drop(Raw::open(stage.server.address, "/").await);
    assert_eq!(stage.end().await, ["disconnect 1006 (the connection was lost) by client in class, room"]);
}

#[tokio::test]
async fn a_socket_that_is_reset_is_1006() {
    let mut stage = Stage::new();
    let client = Raw::open(stage.server.address, "/").await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(stage.end().await, ["disconnect 1006 (the connection was lost) by client in class, room"]);
}

#[tokio::test]
async fn a_socket_that_is_reset_while_a_hook_awaits_is_1006() {
    let mut stage = Stage::new();
    let mut client = Raw::open(stage.server.address, "/").await;
    client.write(raw::frame(FIN | TEXT, "wait")).await;
    assert_eq!(stage.strings.told().await, "connect");
    assert_eq!(stage.strings.told().await, "receive wait");
    assert_eq!(stage.strings.told().await, "waits");
    client.stream.set_zero_linger().unwrap();
    drop(client);
    stage.strings.open();
    let told = stage.strings.told_to_the_end().await;
    assert_eq!(told, ["did wait", "disconnect 1006 (the connection was lost) by client in class, room"]);
    assert_eq!(stage.layer.group_size("room").await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_hook_sends_to_a_client_that_has_closed_is_an_error_that_it_sees() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("wait-and-say too late").await;
    client.send(Frame::Close(None)).await;
    assert_eq!(client.closed().await.0, 1005);
    stage.strings.open();
    let told = stage.end().await;
    let error = "the connection is closed";
    let disconnect = "disconnect 1005 by client in class, room";
    assert_eq!(told, ["receive wait-and-say too late", "waits", error, "did wait-and-say too late", disconnect]);
}

#[tokio::test]
async fn a_hook_that_outlives_its_connection_is_cancelled_after_its_grace() {
    let mut stage = Stage::with(Config { hook_grace: Duration::from_millis(50), ..Config::default() });
    let mut client = stage.server.connect("/").await;
    client.send("wait-forever").await;
    client.send(Frame::Close(None)).await;
    let told = stage.end().await;
    let [waits @ .., disconnect] = &told[..] else { panic!("{told:?}") };
    assert_eq!(waits, ["receive wait-forever", "waits forever"]);
    assert_eq!(disconnect, "disconnect 1005 by client in class, room");
}

#[tokio::test]
async fn an_error_in_receive_is_1011() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("error").await;
    assert_eq!(client.closed().await, (1011, "internal error".to_owned()));
    assert_eq!(stage.end().await, ["receive error", "disconnect 1011 (internal error) by server in class, room"]);
}

#[tokio::test]
async fn a_panic_in_receive_is_1011() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("panic").await;
    assert_eq!(client.closed().await, (1011, "internal error".to_owned()));
    assert_eq!(stage.end().await, ["receive panic", "disconnect 1011 (internal error) by server in class, room"]);
}

#[tokio::test]
async fn an_error_in_a_handler_is_1011() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    stage.send("error").await;
    assert_eq!(client.closed().await, (1011, "internal error".to_owned()));
    assert_eq!(stage.end().await, ["event error", "disconnect 1011 (internal error) by server in class, room"]);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_1011() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    stage.send("panic").await;
    assert_eq!(client.closed().await, (1011, "internal error".to_owned()));
    assert_eq!(stage.end().await, ["event panic", "disconnect 1011 (internal error) by server in class, room"]);
}

#[tokio::test]
async fn a_panic_in_disconnect_changes_nothing_for_the_client_and_groups_are_left() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("at-the-end panic").await;
    client.send("close").await;
    assert_eq!(client.closed().await, (4007, "no such room".to_owned()));
    let told = stage.end().await;
    assert_eq!(told.last().unwrap(), "disconnect 4007 (no such room) by server in class, room");
}

#[tokio::test]
async fn a_consumers_code_and_reason_reach_the_client_and_disconnect() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("close").await;
    assert_eq!(client.closed().await, (4007, "no such room".to_owned()));
    let disconnect = "disconnect 4007 (no such room) by server in class, room";
    assert_eq!(stage.end().await, ["receive close", "did close", disconnect]);
}

#[tokio::test]
async fn a_consumer_that_stops_closes_with_1000() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/").await;
    client.send("stop").await;
    assert_eq!(client.closed().await, (1000, String::new()));
    assert_eq!(stage.end().await, ["receive stop", "did stop", "disconnect 1000 by server in class, room"]);
}

#[tokio::test]
async fn a_code_that_may_not_be_sent_is_sent_as_none() {
    let mut stage = Stage::new();
    let mut client = Raw::open(stage.server.address, "/").await;
    client.write(raw::frame(FIN | TEXT, "close-with 1006")).await;
    assert_eq!(client.frame().await, Some((FIN | CLOSE, Vec::new())));
    client.write(raw::frame(FIN | CLOSE, [])).await;
    assert_eq!(client.frame().await, None);
    assert_eq!(stage.end().await.last().unwrap(), "disconnect 1006 by server in class, room");
}

#[tokio::test]
async fn a_server_that_closed_waits_for_the_clients_close_frame_before_it_hangs_up() {
    let mut stage = Stage::new();
    let mut client = Raw::open(stage.server.address, "/").await;
    client.write(raw::frame(FIN | TEXT, "close")).await;
    assert_eq!(client.close().await, (4007, "no such room".to_owned()));
    // What crosses the close frame on its way is not handled any more.
    client.write(raw::frame(FIN | TEXT, "say too late")).await;
    client.write(raw::frame(FIN | CLOSE, 4007u16.to_be_bytes())).await;
    assert_eq!(client.frame().await, None);
    assert_eq!(stage.end().await.len(), 3);
}

#[tokio::test]
async fn a_client_that_never_answers_a_close_frame_is_hung_up_on() {
    let mut stage = Stage::with(Config { close_timeout: Duration::from_millis(50), ..Config::default() });
    let mut client = Raw::open(stage.server.address, "/").await;
    client.write(raw::frame(FIN | TEXT, "close")).await;
    assert_eq!(client.close().await, (4007, "no such room".to_owned()));
    assert_eq!(client.frame().await, None);
    assert_eq!(stage.end().await.len(), 3);
}

#[tokio::test]
async fn a_close_right_after_accept_is_a_close_and_no_refusal() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect("/accept-close").await;
    assert_eq!(client.closed().await, (4001, "just looking".to_owned()));
    assert_eq!(stage.end().await, ["disconnect 4001 (just looking) by server in class, room"]);
}

/// The status, and the body, of a refusal.
async fn refusal(stage: &Stage, path: &str) -> (u16, String) {
    let refused = match stage.server.handshake(stage.server.url(path)).await {
        Err(Error::Http(response)) => response,
        Err(error) => panic!("refused without an answer: {error}"),
        Ok(_) => panic!("accepted"),
    };
    let body = refused.body().clone().unwrap_or_default();
    (refused.status().as_u16(), String::from_utf8(body).unwrap())
}

const REFUSED: &str = "disconnect 1006 (the handshake was refused) by server in class, room";

#[tokio::test]
async fn a_refusal_has_its_own_status_headers_and_body() {
    let mut stage = Stage::new();
    let mut client = Raw::connect(stage.server.address).await;
    client.write(raw::handshake("/deny", "")).await;
    let response = client.response().await;
    assert_eq!(response.status, 401);
    assert_eq!(response.header("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(response.body, "log in first");
    assert_eq!(stage.end().await, [REFUSED]);
}

#[tokio::test]
async fn a_close_or_a_stop_before_accept_is_403() {
    for path in ["/close", "/stop"] {
        let mut stage = Stage::new();
        assert_eq!(refusal(&stage, path).await.0, 403);
        assert_eq!(stage.end().await, [REFUSED]);
    }
}

#[tokio::test]
async fn an_error_or_a_panic_in_connect_is_500_and_tells_nothing() {
    for path in ["/error", "/panic"] {
        let mut stage = Stage::new();
        assert_eq!(refusal(&stage, path).await, (500, String::new()));
        assert_eq!(stage.end().await, [REFUSED]);
    }
}

#[tokio::test]
async fn a_connect_that_does_not_decide_is_503_and_disconnect_runs() {
    let mut stage = Stage::with(Config { handshake_timeout: Duration::from_millis(50), ..Config::default() });
    assert_eq!(refusal(&stage, "/wait-forever").await.0, 503);
    let disconnect = "disconnect 1006 (`connect` did not decide in time) by server in class, room";
    assert_eq!(stage.end().await, ["waits forever", disconnect]);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_1006() {
    for reset in [false, true] {
        let mut stage = Stage::new();
        let mut client = Raw::connect(stage.server.address).await;
        client.write(raw::handshake("/wait", "")).await;
        assert_eq!(stage.strings.told().await, "connect");
        assert_eq!(stage.strings.told().await, "waits");
        if reset {
            client.stream.set_zero_linger().unwrap();
        }
        drop(client);
        stage.strings.open();
        let told = stage.strings.told_to_the_end().await;
        assert_eq!(told, ["disconnect 1006 (the connection was lost) by client in class, room"]);
        assert_eq!(stage.layer.group_size("room").await.unwrap(), 0);
    }
}

struct Clumsy;

impl Clumsy {
    fn new() -> Self {
        panic!("on the record")
    }
}

impl Consumer for Clumsy {
    type Input = Message;
}

#[tokio::test]
async fn a_consumer_that_cannot_be_made_is_500() {
    logs::keep();
    let stage = Stage { server: serve(Server::new(ProtocolTypeRouter::new().websocket(Clumsy::new))), ..Stage::new() };
    assert_eq!(refusal(&stage, "/cannot/be%20made/").await, (500, String::new()));
    let line = logs::wait_for(&["ERROR a connection could not be opened", "Clumsy", "path=/cannot/be made/"]).await;
    assert!(line.contains("tests/it/endings.rs:") && line.contains("on the record"), "{line}");
}

#[tokio::test]
async fn a_failure_is_logged_with_consumer_path_hook_and_line() {
    logs::keep();
    let stage = Stage::new();
    let mut client = stage.server.connect("/?name=logged").await;
    client.send("error").await;
    client.closed().await;
    let line = logs::wait_for(&["ERROR", "a hook failed", "Puppet", "hook=receive"]).await;
    assert!(line.contains("path=/") && line.contains("on purpose") && line.contains("tests/it/puppet.rs:"), "{line}");

    let mut client = stage.server.connect("/").await;
    stage.send("panic").await;
    client.closed().await;
    let line = logs::wait_for(&["ERROR", "a hook failed", "hook=puppet.do", "panicked"]).await;
    assert!(line.contains("on purpose"), "{line}");
}

/// Panics on a thread for what blocks.
struct Blocked;

#[consumer]
impl SyncConsumer for Blocked {
    fn receive(&mut self, _: &mut SyncContext, _: Text) -> Result<(), SyncError> {
        panic!("on the record")
    }
}

#[tokio::test]
async fn a_panic_is_one_line_with_its_place_on_whatever_thread_it_was() {
    logs::keep();
    let stage = Stage::new();
    let blocked = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Blocked)));
    for (server, consumer, file) in
        [(&stage.server, "puppet::Puppet", "puppet.rs"), (&blocked, "endings::Blocked", "endings.rs")]
    {
        let mut client = server.connect("/").await;
        client.send("panic-aloud").await;
        client.closed().await;
        let parts = ["ERROR", "a hook failed", consumer, "hook=receive", "on the record"];
        let line = logs::wait_for(&parts).await;
        assert!(line.contains(&format!("panicked at tests/it/{file}:")), "{line}");
        assert_eq!(logs::with(&parts).len(), 1);
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_4408() {
    let config = Config { ping_interval: Some(Duration::ZERO), ping_timeout: Duration::ZERO, ..Config::default() };
    let mut stage = Stage::with(config);
    let mut client = Raw::open(stage.server.address, "/").await;
    assert_eq!(client.frame().await, Some((FIN | raw::PING, Vec::new())));
    assert_eq!(client.close().await, (4408, "no answer to a ping".to_owned()));
    client.write(raw::frame(FIN | CLOSE, 4408u16.to_be_bytes())).await;
    assert_eq!(stage.end().await, ["disconnect 4408 (no answer to a ping) by server in class, room"]);
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let patience = Duration::from_secs(2);
    let stage =
        Stage::with(Config { ping_interval: Some(Duration::ZERO), ping_timeout: patience, ..Config::default() });
    let mut client = stage.server.connect("/").await;
    // One in each second; the time to answer the first is over at the third.
    for _ in 0..3 {
        assert!(client.receive().await.is_ping());
    }
    client.send("say still here").await;
    while !matches!(client.receive().await, Frame::Text(text) if text == "still here") {}
}

#[tokio::test]
async fn a_client_whose_consumer_is_busy_is_not_blamed_for_answers_that_nobody_reads() {
    let second = Duration::from_secs(1);
    let mut stage =
        Stage::with(Config { ping_interval: Some(Duration::ZERO), ping_timeout: second, ..Config::default() });
    let mut client = stage.server.connect("/").await;
    // While the first hook waits, one more message is read, and what is behind it is not.
    for what in ["wait", "say a", "say b"] {
        client.send(what).await;
    }
    while stage.strings.told().await != "waits" {}
    // One in each second; the time to answer the first is over at the third.
    for _ in 0..3 {
        assert!(client.receive().await.is_ping());
    }
    stage.strings.open();
    assert_eq!(client.text().await, "a");
    assert_eq!(client.text().await, "b");
}

#[tokio::test]
async fn a_connection_that_has_lasted_as_long_as_it_may_is_4000() {
    let mut stage = Stage::with(Config { max_lifetime: Some(Duration::ZERO), ..Config::default() });
    let mut client = stage.server.connect("/").await;
    let reason = "the connection has lasted as long as it may";
    assert_eq!(client.closed().await, (4000, reason.to_owned()));
    assert_eq!(stage.end().await, [format!("disconnect 4000 ({reason}) by server in class, room")]);
}

/// What waits is the system's then, and so is the clock.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_leaves_a_little_unread_is_given_up_and_counted_too() {
    let mut strings = Strings::new();
    let config = Config { stall_timeout: Duration::from_millis(500), ..Config::default() };
    let server = strings.server(&Layer::new(InMemoryChannelLayer::default())).config(config);
    let stats = server.stats();
    let server = serve(server);
    let mut sleeps = Raw::connect_narrow(server.address).await.upgrade("/").await;
    sleeps.write(raw::frame(FIN | TEXT, format!("say-long {}", 64 * 1_024))).await;
    let end = loop {
        match strings.told().await {
            told if told.starts_with("disconnect") => break told,
            _ => {}
        }
    };
    assert!(end.starts_with("disconnect 1006"), "{end}");
    assert_eq!(stats.total().await.stalled, 1);
}
