//! Much of what is allowed, at once.

use flate2::{Compress, FlushCompress};
use futures_util::future::join_all;

use super::target::Target;
use crate::raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame, handshake};

const MILLION: usize = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_fragments_of_one_message_are_refused_with_1009() {
    let target = Target::start().await;
    let mut client = Raw::open(target.address, "/flood").await;
    let mut fragments = frame(BINARY, "x");
    fragments.extend(frame(CONTINUATION, "x").repeat(MILLION - 1));
    // It is closed while it still writes.
    client.try_write(fragments).await;
    assert_eq!(client.close().await, (1009, "the message has more than 1024 fragments".to_owned()));
    assert_eq!(target.end_of("/flood"), "1009 (the message has more than 1024 fragments)");
    target.survives_within(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_fragments_of_a_thousand_messages_are_joined() {
    const FRAGMENTS: usize = 1_000;
    let target = Target::start().await;
    let mut client = Raw::open(target.address, "/flood").await;
    let mut message = frame(BINARY, "x");
    message.extend(frame(CONTINUATION, "x").repeat(FRAGMENTS - 2));
    message.extend(frame(FIN | CONTINUATION, "x"));
    for _ in 0..MILLION / FRAGMENTS / 100 {
        client.write(message.repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(client.frame().await, Some((FIN | BINARY, vec![b'x'; FRAGMENTS])));
        }
    }
    target.survives_within(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_of_pings_whose_answers_nobody_reads_only_the_newest_waits() {
    let target = Target::start().await;
    let mut client = Raw::open(target.address, "/flood").await;
    client.write(frame(FIN | PING, [7; 125]).repeat(MILLION / 10)).await;
    client.write(frame(FIN | PING, "the last")).await;
    // What is written at all is whole; the last one is answered.
    let mut answers = 0;
    loop {
        let (first, payload) = client.frame().await.expect("the connection is open");
        assert_eq!(first, FIN | PONG);
        answers += 1;
        if payload == b"the last" {
            break;
        }
        assert_eq!(payload, [7; 125]);
    }
    // Were they queued there would be one for each ping; as it is there is one for each write, and hundreds are read before it.
    assert!(answers < MILLION / 100, "{answers} answers");
    target.survives_within(16).await;
}

/// So many mebibytes of zeros, deflated: a thousandth of it. One, over and over.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(1 << 16);
    let mut window = Compress::new(flate2::Compression::best(), false);
    window.compress_vec(&vec![0; 1 << 20], &mut deflated, FlushCompress::Sync).expect("deflate has no bad input");
    deflated.repeat(mebibytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deflate_bombs_are_refused_with_1009_before_they_go_off() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let target = Target::start().await;
    let bomb = bomb(512);
    assert!(bomb.len() < 1 << 20, "{}: the frame itself is within the limit", bomb.len());
    let throw = (0..32).map(async |n| {
        let mut client = Raw::connect(target.address).await;
        client.write(handshake("/flood", OFFER)).await;
        assert_eq!(client.response().await.status, 101);
        let (start, end) = bomb.split_at(bomb.len() / 2);
        let frames = match n % 2 {
            0 => frame(FIN | 0x40 | TEXT, &bomb),
            _ => [frame(0x40 | BINARY, start), frame(FIN | CONTINUATION, end)].concat(),
        };
        client.write(frames).await;
        assert_eq!(client.close().await, (1009, "the message is over 1048576 bytes".to_owned()));
    });
    join_all(throw).await;
    // 32 frames of half a mebibyte, some of them inflated to the limit of one: not 16 GiB.
    target.survives_within(128).await;
}
