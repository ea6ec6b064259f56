//! Compressed messages in fragments, and frames in pieces: judged as they arrive.

use super::*;

#[tokio::test]
async fn what_breaks_a_rule_is_found_in_a_fragment_before_the_message_is_whole() {
    let mut mirrors = bounded();
    let (not_utf8, too_big) = ("the text is not UTF-8", "the message is over 10000 bytes");
    let deflated = |message: &[u8]| deflate(&mut deflater(15), message);
    // All that there is of a frame, and not all that its header announces.
    let within = |first, payload: &[u8]| [raw::header(first, payload.len() as u64 + 1), masked(payload)].concat();
    let bomb = deflated(&vec![0; 1 << 20]);
    let late = [&vec![b'x'; 10_000], &b"\xff"[..]].concat();
    let early = [&b"\xff"[..], &vec![b'x'; 10_000]].concat();
    let good = deflated("读 fine, ".as_bytes());
    let text = &deflated(b"\xff")[..];
    let mut rules = vec![
        breaks("8.1 of RFC 6455", "UTF-8, in a fragment", frame(RSV1 | TEXT, text), 1007, not_utf8),
        breaks("8.1 of RFC 6455", "UTF-8, within a frame", within(FIN | RSV1 | TEXT, text), 1007, not_utf8),
        breaks("8.1 of RFC 6455", "before it is too big", frame(RSV1 | TEXT, deflated(&early)), 1007, not_utf8),
        breaks("7.4.1 of RFC 6455", "a bomb, in a fragment", frame(RSV1 | BINARY, &bomb[..500]), 1009, too_big),
        breaks("7.4.1 of RFC 6455", "within a frame", within(FIN | RSV1 | BINARY, &bomb[..500]), 1009, too_big),
        breaks("7.4.1 of RFC 6455", "before it is no text", frame(RSV1 | TEXT, deflated(&late)), 1009, too_big),
        breaks(
            "7.2.2",
            "no deflate stream, in a fragment",
            frame(RSV1 | BINARY, [0xff; 20]),
            1007,
            "the message is not deflated rightly",
        ),
    ];
    // 7.2.1: a message may be any blocks, flushed wherever the client likes.
    for (bytes, certain) in IMPOSSIBLE {
        let (possible, impossible) = bytes.split_at(certain - 1);
        let mut window = deflater(15);
        let first =
            [deflate(&mut window, &["读 fine, ".as_bytes(), possible].concat()), vec![0, 0, 0xff, 0xff]].concat();
        let fragments = [frame(RSV1 | TEXT, first), frame(0, deflate(&mut window, impossible))].concat();
        rules.push(breaks("8.1 of RFC 6455", "UTF-8, over fragments", fragments, 1007, not_utf8));
    }
    for n in 0..good.len() {
        let fragments = [frame(RSV1 | TEXT, &good[..n]), frame(0, &good[n..]), frame(0, [0xff; 20])].concat();
        rules.push(breaks(
            "7.2.2",
            "no deflate stream, in a later fragment",
            fragments,
            1007,
            "the message is not deflated rightly",
        ));
    }
    for rule in rules {
        let client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
        mirrors.holds(client, rule).await;
    }
}

#[tokio::test]
async fn messages_in_fragments_are_inflated_with_a_window_of_their_connection() {
    for (settings, answer) in [(keeping(), "permessage-deflate"), (Compression::default(), NEITHER)] {
        let kept = settings.client_context_takeover;
        let mirrors = mirrors(Compression { min_size: 1 << 20, ..settings });
        let text = "读 characters that are cut, characters that are cut, ".repeat(20);
        let mut clients = Vec::new();
        for n in 0..3 {
            let client = mirrors.agree("permessage-deflate", Some(answer)).await;
            clients.push((client, deflater(15), format!("{n}: {text}")));
        }
        for _ in 0..2 {
            let mut payloads = Vec::new();
            for (_, window, text) in &mut clients {
                if !kept {
                    window.reset();
                }
                payloads.push(deflate(window, text.as_bytes()));
            }
            let length = payloads.iter().map(Vec::len).max().unwrap_or_default();
            // A byte of each in turn; the answer to the ping says that the server has read it.
            for n in 0..length {
                for ((client, ..), payload) in clients.iter_mut().zip(&payloads) {
                    let first = if n == 0 { RSV1 | TEXT } else { 0 };
                    let fin = if n + 1 == payload.len() { FIN } else { 0 };
                    let Some(byte) = payload.get(n..=n) else { continue };
                    client.write([frame(FIN | PING, "read?"), frame(first | fin, byte)].concat()).await;
                    assert_eq!(client.frame().await, Some((FIN | PONG, b"read?".to_vec())));
                }
            }
            for (client, _, text) in &mut clients {
                assert_eq!(client.text().await, *text, "6.1, {answer}");
            }
        }
    }
}
