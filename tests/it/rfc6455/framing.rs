//! Sections 5 and 9: frames, masks, lengths, fragments, pings.

use crate::{
    mirror::{Mirrors, breaks, keeps},
    raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame, header},
};

const RESERVED_BIT: &str = "a reserved bit is set";
const RESERVED_OPCODE: &str = "the opcode is reserved";
const UNMASKED: &str = "the frame is not masked";
const LONG: &str = "the length is not written in the fewest bytes";
const CONTROL_FRAGMENT: &str = "a control frame is fragmented";
const CONTROL_LENGTH: &str = "a control frame is over 125 bytes";
const NOTHING_TO_CONTINUE: &str = "a continuation continues nothing";
const WITHIN: &str = "a new message starts within another";

#[tokio::test]
async fn frames_that_break_a_rule_are_closed_with_1002_and_told_which() {
    let mut rules = vec![
        breaks("5.1", "a client masks its frames", b"\x81\x01x", 1002, UNMASKED),
        breaks("5.1", "also control frames", b"\x89\x00", 1002, UNMASKED),
        breaks("5.1", "also its close frame", b"\x88\x02\x03\xe8", 1002, UNMASKED),
        breaks("5.2", "a length is minimal: 125 in 16 bits", b"\x81\xfe\x00\x7d\0\0\0\0", 1002, LONG),
        breaks("5.2", "a length is minimal: 0 in 64 bits", b"\x82\xff\0\0\0\0\0\0\0\0\0\0\0\0", 1002, LONG),
        breaks("5.2", "a length is minimal: 65535 in 64 bits", b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 1002, LONG),
        breaks(
            "5.2",
            "the most significant bit of a length is 0",
            header(FIN | TEXT, 1 << 63),
            1002,
            "the length's most significant bit is set",
        ),
        breaks("5.4", "a continuation continues a message", frame(FIN, "x"), 1002, NOTHING_TO_CONTINUE),
        breaks("5.4", "also one that is not the last", frame(CONTINUATION, "x"), 1002, NOTHING_TO_CONTINUE),
        breaks("5.4", "fragments of messages do not mix", [frame(TEXT, "a"), frame(TEXT, "b")].concat(), 1002, WITHIN),
        breaks(
            "5.4",
            "nor does a whole message come within another",
            [frame(BINARY, "a"), frame(FIN | BINARY, "b")].concat(),
            1002,
            WITHIN,
        ),
    ];
    for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
        for bits in [0x40, 0x20, 0x10, 0x70] {
            rules.push(breaks("5.2, 9.1", "a reserved bit is 0", frame(FIN | bits | opcode, ""), 1002, RESERVED_BIT));
        }
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        rules.push(breaks("5.2", "no reserved opcode", frame(FIN | opcode, "x"), 1002, RESERVED_OPCODE));
        rules.push(breaks("5.2", "nor in a fragment", frame(opcode, "x"), 1002, RESERVED_OPCODE));
    }
    for control in [CLOSE, PING, PONG] {
        rules.push(breaks("5.5", "a control frame is whole", frame(control, "x"), 1002, CONTROL_FRAGMENT));
        rules.push(breaks("5.5", "it has at most 125 bytes", header(FIN | control, 126), 1002, CONTROL_LENGTH));
        rules.push(breaks("5.5", "nor 64 bits of length", header(FIN | control, 1 << 16), 1002, CONTROL_LENGTH));
    }
    Mirrors::new(Default::default()).hold(rules).await;
}

#[tokio::test]
async fn messages_of_every_length_come_back_unmasked_in_the_shortest_form() {
    let mirrors = Mirrors::new(Default::default());
    let mut client = mirrors.open().await;
    // 5.2: 7 bits, 7 + 16 bits, 7 + 64 bits, at both sides of each border; 5.3: every length modulo the mask's.
    for length in [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, 1 << 20] {
        let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        client.write(frame(FIN | BINARY, &payload)).await;
        let start = client.peek(2).await;
        let short = match length {
            0..=125 => length as u8,
            126..=0xffff => 126,
            _ => 127,
        };
        assert_eq!(start, [FIN | BINARY, short], "5.1, 5.2: not masked, no reserved bit, {length} bytes");
        let (_, back) = client.frame().await.expect("the connection is open");
        assert!(back == payload, "5.3: {length} bytes");
    }
}

#[tokio::test]
async fn a_mask_may_be_anything_and_another_for_each_frame() {
    let rules = [[0, 0, 0, 0], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 0x80]].map(|key: [u8; 4]| {
        let masked: Vec<u8> = b"masked".iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let bytes = [&[FIN | TEXT, 0x86][..], &key, &masked, &frame(FIN | TEXT, "another")].concat();
        keeps("5.3", "any key", bytes, vec![(FIN | TEXT, b"masked".into()), (FIN | TEXT, b"another".into())])
    });
    Mirrors::new(Default::default()).hold(rules).await;
}

#[tokio::test]
async fn fragments_are_joined_and_control_frames_may_stand_between_them() {
    let text = |text: &str| (FIN | TEXT, text.as_bytes().to_vec());
    let pong = |payload: &[u8]| (FIN | PONG, payload.to_vec());
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let rules = [
        keeps("5.4", "two fragments", [frame(TEXT, "a"), frame(FIN, "b")].concat(), vec![text("ab")]),
        keeps("5.4", "empty fragments", [frame(TEXT, ""), frame(0, ""), frame(FIN, "")].concat(), vec![text("")]),
        keeps(
            "5.4",
            "the first fragment says what kind it is",
            [frame(BINARY, b"\xff"), frame(0, b"\0"), frame(FIN, "")].concat(),
            vec![(FIN | BINARY, b"\xff\0".into())],
        ),
        keeps(
            "5.4",
            "a control frame in the middle is answered before the message",
            [frame(TEXT, "a"), ping(b"between"), frame(FIN | PONG, ""), frame(FIN, "b")].concat(),
            vec![pong(b"between"), text("ab")],
        ),
        keeps(
            "5.6",
            "messages one after the other",
            [frame(FIN | TEXT, "1"), frame(FIN | BINARY, "2"), frame(FIN | TEXT, "")].concat(),
            vec![text("1"), (FIN | BINARY, b"2".into()), text("")],
        ),
        keeps("5.5.2", "a pong has the payload of its ping", ping(&[7; 125]), vec![pong(&[7; 125])]),
        keeps("5.5.2", "also an empty one", ping(b""), vec![pong(b"")]),
        keeps("5.5.2", "also one that is no text", ping(b"\xff\x00\xfe"), vec![pong(b"\xff\x00\xfe")]),
        keeps("5.5.3", "a pong that nobody asked for is ignored", frame(FIN | PONG, "hello"), vec![]),
    ];
    Mirrors::new(Default::default()).hold(rules).await;
}

#[tokio::test]
async fn of_many_pings_at_once_the_last_is_answered() {
    let mirrors = Mirrors::new(Default::default());
    let mut client = mirrors.open().await;
    let pings: Vec<u8> = (0..1_000u16).flat_map(|n| frame(FIN | PING, n.to_be_bytes())).collect();
    client.write(pings).await;
    // 5.5.3: an endpoint may answer only the most recent one.
    let mut last = None;
    while last != Some(999) {
        let (first, payload) = client.frame().await.expect("the connection is open");
        let n = u16::from_be_bytes(payload[..].try_into().expect("two bytes"));
        assert!(first == FIN | PONG && last < Some(n), "{last:?} and then {n}");
        last = Some(n);
    }
}

#[tokio::test]
async fn frames_may_be_cut_at_every_byte() {
    let mirrors = Mirrors::new(Default::default());
    let long = "x".repeat(130);
    let script = [
        frame(TEXT, b"\xe8\xaf"),
        frame(FIN | PING, "p"),
        frame(FIN | CONTINUATION, b"\xbb!"),
        frame(FIN | BINARY, &long),
        frame(FIN | TEXT, "end"),
    ]
    .concat();
    let mut client = mirrors.open().await;
    let mut other = mirrors.server.connect("/").await;
    for cut in 1..script.len() {
        let (start, rest) = script.split_at(cut);
        client.write(start).await;
        // The one thread of the server has read the first part when it has answered the other client.
        other.send("?").await;
        other.text().await;
        client.write(rest).await;
        assert_eq!(client.frame().await, Some((FIN | PONG, b"p".to_vec())), "cut at {cut}");
        assert_eq!(client.text().await, "读!", "cut at {cut}");
        assert_eq!(client.frame().await, Some((FIN | BINARY, long.clone().into_bytes())), "cut at {cut}");
        assert_eq!(client.text().await, "end", "cut at {cut}");
    }
}

#[tokio::test]
async fn a_frame_that_is_broken_is_refused_wherever_it_is_cut() {
    let mut mirrors = Mirrors::new(Default::default());
    let long = b"\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0";
    let mut other = mirrors.server.connect("/").await;
    for cut in 1..long.len() {
        let mut client = mirrors.open().await;
        let (start, rest) = long.split_at(cut);
        client.write(start).await;
        other.send("?").await;
        other.text().await;
        mirrors.holds(client, breaks("5.2", "a length is minimal", rest, 1002, LONG)).await;
    }
}
