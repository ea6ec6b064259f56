//! Sections 5.5.1 and 7: the closing handshake, codes and reasons.

use std::time::Duration;

use channels::{Config, InMemoryChannelLayer, Layer};

use crate::{
    mirror::{Mirrors, breaks},
    puppet::Strings,
    raw::{CLOSE, FIN, PING, PONG, Raw, TEXT, frame},
    support::{serve, within},
};

fn payload(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_ref()].concat()
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code_and_the_server_hangs_up() {
    let mut mirrors = Mirrors::new(Config::default());
    // 5.5.1, 7.4.1, 7.4.2: the codes that may be sent, and those of libraries and applications.
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let reasons = ["", "bye", "再见", &"x".repeat(123)];
    for (n, code) in codes.into_iter().enumerate() {
        let reason = reasons[n % reasons.len()];
        let mut client = mirrors.open().await;
        client.write(frame(FIN | CLOSE, payload(code, reason))).await;
        assert_eq!(client.close().await, (code, String::new()), "5.5.1");
        // 7.1.1: the server closes the TCP connection first, while the client keeps its end open.
        assert_eq!(client.frame().await, None, "7.1.1");
        let close = within(mirrors.ends.recv()).await.expect("the server keeps a sender");
        assert_eq!((close.code.get(), &*close.reason), (code, reason), "7.1.5, 7.1.6");
    }
    // 7.1.5: an empty one is 1005 for the application, and is answered with an empty one.
    let mut client = mirrors.open().await;
    client.write(frame(FIN | CLOSE, [])).await;
    assert_eq!(client.frame().await, Some((FIN | CLOSE, Vec::new())), "7.1.5");
    assert_eq!(client.frame().await, None, "7.1.1");
    assert_eq!(within(mirrors.ends.recv()).await.expect("the server keeps a sender").code.get(), 1005);
}

#[tokio::test]
async fn close_frames_that_break_a_rule_are_answered_with_another_code() {
    let never = "a close frame has a code that may not be sent";
    let mut rules = vec![breaks(
        "5.5.1",
        "a payload has a code of two bytes",
        frame(FIN | CLOSE, "x"),
        1002,
        "a close frame has half a code",
    )];
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, u16::MAX] {
        rules.push(breaks("7.4", "a code that may not be sent", frame(FIN | CLOSE, payload(code, "")), 1002, never));
    }
    for reason in [&b"\xff"[..], b"bye \xed\xa0\x80", b"cut \xe8\xaf"] {
        let bytes = frame(FIN | CLOSE, payload(1000, reason));
        rules.push(breaks("5.5.1, 8.1", "a reason is UTF-8", bytes, 1007, "a close frame's reason is not UTF-8"));
    }
    Mirrors::new(Config::default()).hold(rules).await;
}

#[tokio::test]
async fn a_close_frame_in_the_middle_of_a_message_ends_the_connection_and_the_message_is_not_handled() {
    let mut mirrors = Mirrors::new(Config::default());
    let mut client = mirrors.open().await;
    client.write([frame(TEXT, "half"), frame(FIN | CLOSE, payload(1001, "gone"))].concat()).await;
    assert_eq!(client.close().await, (1001, String::new()), "5.4, 5.5.1");
    assert_eq!(client.frame().await, None);
    assert_eq!(within(mirrors.ends.recv()).await.expect("the server keeps a sender").code.get(), 1001);
}

#[tokio::test]
async fn what_follows_a_close_frame_is_ignored() {
    let mirrors = Mirrors::new(Config::default());
    let after: [Vec<u8>; 6] = [
        frame(FIN | TEXT, "too late"),
        frame(FIN | PING, "are you there"),
        frame(FIN | CLOSE, payload(4000, "again")),
        b"\x81\x01x".to_vec(),
        frame(0x7f, "nonsense"),
        vec![0xff; 1_000],
    ];
    for more in after {
        let mut client = mirrors.open().await;
        client
            .write([frame(FIN | TEXT, "in time"), frame(FIN | CLOSE, payload(1000, "")), more.clone()].concat())
            .await;
        assert_eq!(client.text().await, "in time");
        assert_eq!(client.close().await, (1000, String::new()), "1.4, 5.5.1: before {more:x?}");
        assert_eq!(client.frame().await, None, "{more:x?}");
    }
}

#[tokio::test]
async fn after_a_broken_rule_nothing_is_handled_and_nothing_follows_the_close_frame() {
    let mirrors = Mirrors::new(Config::default());
    let mut client = mirrors.open().await;
    client.write([b"\x81\x01x".to_vec(), frame(FIN | TEXT, "handled?"), frame(FIN | PING, "?")].concat()).await;
    assert_eq!(client.close().await, (1002, "the frame is not masked".to_owned()), "7.1.7");
    client.write(frame(FIN | CLOSE, payload(1002, ""))).await;
    assert_eq!(client.frame().await, None, "7.1.7");
}

fn puppets(config: Config) -> (Strings, crate::support::Served) {
    let strings = Strings::new();
    let server = serve(strings.server(&Layer::new(InMemoryChannelLayer::default())).config(config));
    (strings, server)
}

#[tokio::test]
async fn only_codes_that_may_be_sent_are_sent() {
    let (_strings, server) = puppets(Config::default());
    for code in [1000, 1001, 1011, 1014, 3000, 4999] {
        let mut client = Raw::open(server.address, "/").await;
        client.write(frame(FIN | TEXT, format!("close-with {code}"))).await;
        assert_eq!(client.close().await, (code, String::new()), "7.4");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let mut client = Raw::open(server.address, "/").await;
        client.write(frame(FIN | TEXT, format!("close-with {code}"))).await;
        assert_eq!(client.frame().await, Some((FIN | CLOSE, Vec::new())), "7.4.1: {code}");
    }
}

#[tokio::test]
async fn a_server_that_closed_sends_nothing_more_and_waits_for_the_answer() {
    let (_strings, server) = puppets(Config { close_timeout: Duration::from_secs(60), ..Config::default() });
    let mut client = Raw::open(server.address, "/").await;
    client.write(frame(FIN | TEXT, "close")).await;
    assert_eq!(client.close().await, (4007, "no such room".to_owned()), "7.1.2");
    // 5.5.1, 5.5.2: after its close frame it sends no more data; what crosses it is not handled.
    client.write([frame(FIN | TEXT, "say more"), frame(FIN | CLOSE, payload(4007, ""))].concat()).await;
    assert_eq!(client.frame().await, None, "7.1.1");
}

#[tokio::test]
async fn a_server_that_closed_waits_no_longer_than_its_deadline() {
    let (_strings, server) = puppets(Config { close_timeout: Duration::from_millis(50), ..Config::default() });
    for pings in [false, true] {
        let mut client = Raw::open(server.address, "/").await;
        client.write(frame(FIN | TEXT, "close")).await;
        assert_eq!(client.close().await.0, 4007, "7.1.2");
        // One that goes on talking is not waited for longer than one that is silent.
        while pings && client.try_write(frame(FIN | PING, "still here")).await {}
        // 5.5.2: until the client's close frame is here, its pings are answered.
        while let Some((first, _)) = client.frame().await {
            assert!(pings && first == FIN | PONG, "7.1.1");
        }
    }
}

#[tokio::test]
async fn a_close_frame_is_not_lost_to_what_its_client_sends_after_the_deadline() {
    const DEADLINE: Duration = Duration::from_secs(3);
    let (_strings, server) = puppets(Config { close_timeout: DEADLINE, ..Config::default() });
    let mut client = Raw::connect_narrow(server.address).await.upgrade("/").await;
    // More than the client's system holds, less than the server's: the close frame is written, and comes late.
    let length = 256 * 1024;
    let texts = [&*format!("say-long {length}"), "close", "late"].map(|text| frame(FIN | TEXT, text));
    client.write(texts.concat()).await;
    tokio::time::sleep(DEADLINE.mul_f32(1.25)).await;
    client.write(frame(FIN | TEXT, "too late")).await;
    assert_eq!(client.text().await.len(), length);
    assert_eq!(client.close().await.0, 4007, "7.1.1");
    assert_eq!(client.frame().await, None, "7.1.1");
}
