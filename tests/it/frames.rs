//! How much a client may send: of bytes in a frame, of bytes and of fragments in a message.

use channels::{Config, InMemoryChannelLayer, Layer};

use crate::{
    mirror::{Mirrors, breaks, keeps},
    puppet::Strings,
    raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame, header},
    support::serve,
};

#[tokio::test]
async fn a_ping_is_answered_while_a_hook_awaits() {
    let mut strings = Strings::new();
    let server = serve(strings.server(&Layer::new(InMemoryChannelLayer::default())));
    let mut client = Raw::open(server.address, "/").await;
    client.write(frame(FIN | TEXT, "wait-and-say done")).await;
    while strings.told().await != "waits" {}
    let payload = [b'x'; 125];
    client.write(frame(FIN | PING, payload)).await;
    assert_eq!(client.frame().await, Some((FIN | PONG, payload.to_vec())));
    strings.open();
    assert_eq!(client.text().await, "done");
}

const NARROW: fn() -> Config =
    || Config { max_frame_size: 8, max_message_size: 10, max_fragments: 3, ..Config::default() };

#[tokio::test]
async fn what_is_within_the_limits_passes() {
    let mirrors = Mirrors::new(NARROW());
    let mut client = mirrors.open().await;
    client.write(frame(FIN | TEXT, "12345678")).await;
    assert_eq!(client.text().await, "12345678");
    // Control frames are no part of a message.
    let parts = [frame(TEXT, "12345678"), frame(FIN | PING, "123456789"), frame(CONTINUATION, "9"), frame(FIN, "0")];
    client.write(parts.concat()).await;
    assert_eq!(client.frame().await, Some((FIN | PONG, b"123456789".to_vec())));
    assert_eq!(client.text().await, "1234567890");
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_with_1009_from_the_header_alone() {
    let says = "what is too much is 1009";
    let flood = [frame(TEXT, ""), frame(CONTINUATION, ""), frame(CONTINUATION, "")].concat();
    let rules = [
        (header(FIN | TEXT, 9), "the frame is over 8 bytes"),
        (header(FIN | BINARY, i64::MAX as u64), "the frame is over 8 bytes"),
        ([frame(TEXT, "123456"), header(FIN, 5)].concat(), "the message is over 10 bytes"),
        (flood, "the message has more than 3 fragments"),
    ];
    let rules = rules.map(|(bytes, why)| breaks("7.4.1, 10.4", says, bytes, 1009, why));
    Mirrors::new(NARROW()).hold(rules).await;
}

#[tokio::test]
async fn the_default_limit_is_a_mebibyte() {
    let mut mirrors = Mirrors::new(Config::default());
    let largest = vec![b'x'; 1 << 20];
    let passes =
        keeps("10.4", "a mebibyte is taken", frame(FIN | BINARY, &largest), vec![(FIN | BINARY, largest.clone())]);
    let over = header(FIN | BINARY, (1 << 20) + 1);
    mirrors.hold([passes, breaks("10.4", "no more", over, 1009, "the frame is over 1048576 bytes")]).await;
}
