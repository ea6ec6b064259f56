//! RFC 7692, rule by rule, each with its section: permessage-deflate as it is agreed on, and as it goes over the wire. The other side's window is
//! `flate2`'s, used by hand.

mod fragments;

use channels::{Compression, Config, InMemoryChannelLayer, Layer, event, prelude::*};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};

use crate::{
    mirror::{Mirrors, breaks, keeps},
    raw::{self, BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame, masked},
    rfc6455::IMPOSSIBLE,
    support::serve,
};

const RSV1: u8 = 0x40;
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const NEITHER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// With both windows kept.
fn keeping() -> Compression {
    Compression { server_context_takeover: true, client_context_takeover: true, min_size: 0, ..Compression::default() }
}

fn mirrors(compression: Compression) -> Mirrors {
    Mirrors::new(Config { compression: Some(compression), ..Config::default() })
}

/// With messages of at most 10,000 bytes.
fn bounded() -> Mirrors {
    let config = Config { max_message_size: 10_000, ..Config::default() };
    Mirrors::new(Config { compression: Some(Compression::default()), ..config })
}

/// One message, deflated by a client; the window lives in `window`.
fn deflate(window: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(message.len() + 1_024);
    window.compress_vec(message, &mut deflated, FlushCompress::Sync).expect("deflate has no bad input");
    assert!(deflated.len() < deflated.capacity() && deflated.ends_with(&[0, 0, 0xff, 0xff]));
    deflated.truncate(deflated.len() - 4); // 7.2.1
    deflated
}

/// One message, inflated by a client.
fn inflate(window: &mut Decompress, payload: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::with_capacity(1 << 21);
    for part in [payload, &[0, 0, 0xff, 0xff]] {
        let before = window.total_in();
        window.decompress_vec(part, &mut inflated, FlushDecompress::Sync).expect("the server deflates rightly");
        assert_eq!(window.total_in() - before, part.len() as u64, "7.2.2");
    }
    inflated
}

fn deflater(bits: u8) -> Compress {
    Compress::new_with_window_bits(flate2::Compression::new(6), false, bits)
}

fn inflater(bits: u8) -> Decompress {
    Decompress::new_with_window_bits(false, bits)
}

/// Something to compress, of so many bytes, that repeats itself at every distance up to `far`.
fn wordy(length: usize, far: usize) -> Vec<u8> {
    let (mut state, mut text) = (7u32, Vec::with_capacity(length));
    while text.len() < length {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        match text.len().checked_sub(far) {
            Some(back) if state & 0x30000 != 0 => text.extend_from_within(back..back + 20.min(far)),
            _ => text.extend(state.to_be_bytes()),
        }
    }
    text.truncate(length);
    text
}

#[tokio::test]
async fn offers_are_met_or_declined() {
    let plain = "permessage-deflate";
    let keeping = mirrors(keeping());
    let table = [
        ("7.1", plain, Some(plain)),
        (
            "7.1.1.1",
            "permessage-deflate; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover"),
        ),
        (
            "7.1.1.2",
            "permessage-deflate; client_no_context_takeover",
            Some("permessage-deflate; client_no_context_takeover"),
        ),
        (
            "7.1.2.1",
            "permessage-deflate; server_max_window_bits=9",
            Some("permessage-deflate; server_max_window_bits=9"),
        ),
        (
            "7.1.2.1",
            "permessage-deflate; server_max_window_bits=15",
            Some("permessage-deflate; server_max_window_bits=15"),
        ),
        (
            "7.1.2.2",
            "permessage-deflate; client_max_window_bits=8",
            Some("permessage-deflate; client_max_window_bits=8"),
        ),
        ("7.1.2.2", OFFER, Some(plain)),
        ("5.1", "x-first; a=b, permessage-deflate; unheard-of, permessage-deflate", Some(plain)),
        (
            "5.1",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
            Some("permessage-deflate; server_max_window_bits=10"),
        ),
        (
            "9.1 of RFC 6455",
            "permessage-deflate; client_max_window_bits=\"10\"",
            Some("permessage-deflate; client_max_window_bits=10"),
        ),
        ("7.1", "permessage-deflate; unheard-of", None),
        ("7.1", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("7.1", "permessage-deflate; client_max_window_bits; client_max_window_bits=10", None),
        ("7.1.1.1", "permessage-deflate; server_no_context_takeover=yes", None),
        ("7.1.1.2", "permessage-deflate; client_no_context_takeover=", None),
        ("7.1.2.1", "permessage-deflate; server_max_window_bits", None),
        ("7.1.2.1", "permessage-deflate; server_max_window_bits=7", None),
        ("7.1.2.1", "permessage-deflate; server_max_window_bits=16", None),
        ("7.1.2.1", "permessage-deflate; server_max_window_bits=09", None),
        ("7.1.2.2", "permessage-deflate; client_max_window_bits=7", None),
        ("7.1.2.2", "permessage-deflate; client_max_window_bits=+9", None),
        ("7.1.2.2", "permessage-deflate; client_max_window_bits=\"9", None),
        ("4", "permessage-bzip2", None),
        ("4", "", None),
    ];
    for (section, offer, answer) in table {
        let mut client = keeping.agree(offer, answer).await;
        // Declined or not, the connection is one.
        client.write(frame(FIN | PING, section)).await;
        assert_eq!(client.frame().await, Some((FIN | PONG, section.into())), "{section}: {offer}");
    }
    let narrow =
        mirrors(Compression { server_max_window_bits: 11, client_max_window_bits: 12, ..Compression::default() });
    narrow.agree(OFFER, Some(&format!("{NEITHER}; server_max_window_bits=11; client_max_window_bits=12"))).await;
    // 7.1.2.2: a client that does not say that it can be told is not told.
    narrow.agree(plain, Some(&format!("{NEITHER}; server_max_window_bits=11"))).await;
}

#[tokio::test]
async fn what_a_client_deflates_is_inflated() {
    let mut mirrors = mirrors(Compression { min_size: 1 << 20, ..keeping() });
    let hello = || vec![(FIN | TEXT, b"Hello".to_vec())];
    let deflated = |bytes: &[u8]| frame(FIN | RSV1 | TEXT, bytes);
    let fixed = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let rules = [
        keeps("7.2.3.1", "one block", deflated(&fixed), hello()),
        keeps(
            "7.2.3.1",
            "over two frames",
            [frame(RSV1 | TEXT, &fixed[..3]), frame(FIN, &fixed[3..])].concat(),
            hello(),
        ),
        keeps(
            "6.2",
            "a control frame between them",
            [frame(RSV1 | TEXT, &fixed[..3]), frame(FIN | PING, "p"), frame(0, ""), frame(FIN, &fixed[3..])].concat(),
            [vec![(FIN | PONG, b"p".to_vec())], hello()].concat(),
        ),
        keeps(
            "7.2.3.2",
            "a window that is shared",
            [deflated(&fixed), deflated(&[0xf2, 0x00, 0x11, 0x00, 0x00])].concat(),
            [hello(), hello()].concat(),
        ),
        keeps(
            "7.2.3.3",
            "a block without compression",
            deflated(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
            hello(),
        ),
        keeps("7.2.3.4", "a final block", deflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), hello()),
        keeps(
            "7.2.3.5",
            "two blocks",
            deflated(&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
            hello(),
        ),
        keeps("7.2.3.6", "an empty message", deflated(&[0x00]), vec![(FIN | TEXT, Vec::new())]),
        keeps("6", "a message that is not compressed", frame(FIN | TEXT, "Hello"), hello()),
    ];
    for rule in rules {
        let client = mirrors.agree("permessage-deflate", Some("permessage-deflate")).await;
        mirrors.holds(client, rule).await;
    }
}

#[tokio::test]
async fn what_breaks_a_rule_of_compression_is_closed_with_a_code() {
    let mut mirrors = bounded();
    let bit = "a reserved bit is set";
    let corrupt = "the message is not deflated rightly";
    let not_utf8 = "the text is not UTF-8";
    let deflated = |message: &[u8]| deflate(&mut deflater(15), message);
    let bomb = deflated(&vec![0; 1 << 20]);
    assert!(bomb.len() < 2_000);
    let half = bomb.len() / 2;
    let hello = deflated(b"Hello");
    let rules = [
        breaks("6.1", "RSV1 on a control frame", frame(FIN | RSV1 | PING, ""), 1002, bit),
        breaks("6.1", "RSV1 on a continuation", [frame(RSV1 | TEXT, "x"), frame(FIN | RSV1, "")].concat(), 1002, bit),
        breaks("6.1", "also of a plain message", [frame(TEXT, "x"), frame(FIN | RSV1, "")].concat(), 1002, bit),
        breaks("6.1", "RSV2", frame(FIN | RSV1 | 0x20 | TEXT, ""), 1002, bit),
        breaks("7.2.2", "no deflate stream", frame(FIN | RSV1 | BINARY, [0xff; 20]), 1007, corrupt),
        breaks("7.2.2", "a type of block that there is not", frame(FIN | RSV1 | BINARY, [0x06]), 1007, corrupt),
        breaks("7.2.1", "a message that is cut short", frame(FIN | RSV1 | TEXT, &hello[..6]), 1007, corrupt),
        breaks("7.2.1", "a block that is cut short", frame(FIN | RSV1 | TEXT, &hello[..3]), 1007, corrupt),
        breaks(
            "7.1.1.2",
            "a window that was given up",
            frame(FIN | RSV1 | TEXT, [0xf2, 0x00, 0x11, 0x00, 0x00]),
            1007,
            corrupt,
        ),
        breaks(
            "8.1 of RFC 6455",
            "inflated text is UTF-8",
            frame(FIN | RSV1 | TEXT, deflated(b"\xff")),
            1007,
            not_utf8,
        ),
        breaks(
            "7.4.1 of RFC 6455",
            "a bomb",
            frame(FIN | RSV1 | BINARY, &bomb),
            1009,
            "the message is over 10000 bytes",
        ),
        breaks(
            "7.4.1 of RFC 6455",
            "also in fragments",
            [frame(RSV1 | BINARY, &bomb[..half]), frame(FIN | CONTINUATION, &bomb[half..])].concat(),
            1009,
            "the message is over 10000 bytes",
        ),
        breaks(
            "7.4.1 of RFC 6455",
            "one byte too much",
            frame(FIN | RSV1 | BINARY, deflated(&vec![0; 10_001])),
            1009,
            "the message is over 10000 bytes",
        ),
    ];
    for rule in rules {
        let client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
        mirrors.holds(client, rule).await;
    }
    let mut client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
    there_and_back(&mut client, (&mut deflater(15), &mut inflater(15)), &[7; 10_000]).await;
}

/// Sends a message and gets it back through these windows; how many bytes it had on the way back.
async fn there_and_back(client: &mut Raw, windows: (&mut Compress, &mut Decompress), message: &[u8]) -> usize {
    client.write(frame(FIN | RSV1 | BINARY, deflate(windows.0, message))).await;
    let (first, payload) = client.frame().await.expect("the connection is open");
    assert_eq!(first, FIN | RSV1 | BINARY, "6.1: RSV1 says that it is compressed");
    assert!(inflate(windows.1, &payload) == message, "{} bytes came back otherwise", message.len());
    payload.len()
}

#[tokio::test]
async fn a_server_keeps_its_window_or_gives_it_up_as_agreed() {
    let mirrors = mirrors(keeping());
    let message = wordy(2_000, 500);
    let (mut out, mut back) = (deflater(15), inflater(15));
    let mut client = mirrors.agree("permessage-deflate", Some("permessage-deflate")).await;
    let first = there_and_back(&mut client, (&mut out, &mut back), &message).await;
    let second = there_and_back(&mut client, (&mut out, &mut back), &message).await;
    assert!(second * 10 < first, "7.1.1.1: {second} bytes after {first}");

    let offer = "permessage-deflate; server_no_context_takeover";
    let mut client = mirrors.agree(offer, Some(offer)).await;
    let mut out = deflater(15);
    let first = there_and_back(&mut client, (&mut out, &mut inflater(15)), &message).await;
    let second = there_and_back(&mut client, (&mut out, &mut inflater(15)), &message).await;
    assert_eq!(first, second, "7.1.1.1: nothing is kept");
}

#[tokio::test]
async fn windows_are_as_small_as_agreed() {
    let mirrors = mirrors(keeping());
    for bits in 9..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let mut client = mirrors.agree(&offer, Some(&offer)).await;
        let (mut out, mut back) = (deflater(15), inflater(bits));
        for length in [100, 5_000, 200_000, 100] {
            // Something to point to just beyond the window, which an inflater of its size does not have any more.
            there_and_back(&mut client, (&mut out, &mut back), &wordy(length, (1 << bits) + 1)).await;
        }
    }
    for bits in 8..=15 {
        let offer = format!("permessage-deflate; client_max_window_bits={bits}");
        let answer = if bits == 15 { "permessage-deflate" } else { &offer };
        let mut client = mirrors.agree(&offer, Some(answer)).await;
        // zlib's deflate has no window of 8 bits; one that never points back fits into any.
        let mut out = if bits == 8 {
            Compress::new_with_window_bits(flate2::Compression::none(), false, 9)
        } else {
            deflater(bits)
        };
        let mut back = inflater(15);
        for length in [100, 5_000, 60_000, 100] {
            there_and_back(&mut client, (&mut out, &mut back), &wordy(length, (1 << bits) - 30)).await;
        }
    }
}

#[tokio::test]
async fn empty_messages_in_a_window_that_is_kept_are_empty_blocks() {
    let mirrors = mirrors(keeping());
    let mut client = mirrors.agree("permessage-deflate", Some("permessage-deflate")).await;
    let mut back = inflater(15);
    for message in [&b""[..], b"", b"something", b"", b""] {
        client.write(frame(FIN | TEXT, message)).await;
        let (first, payload) = client.frame().await.expect("the connection is open");
        assert_eq!(
            (first, inflate(&mut back, &payload)),
            (FIN | RSV1 | TEXT, message.to_vec()),
            "7.2.3.6: {payload:x?}"
        );
    }
}

#[tokio::test]
async fn small_messages_control_frames_and_what_does_not_shrink_are_not_compressed() {
    let mirrors = mirrors(Compression { min_size: 100, ..Compression::default() });
    let mut client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
    for (length, rsv1) in [(0, 0), (99, 0), (100, RSV1), (10_000, RSV1)] {
        client.write(frame(FIN | TEXT, vec![b'x'; length])).await;
        let (first, payload) = client.frame().await.expect("the connection is open");
        assert_eq!(first, FIN | rsv1 | TEXT, "{length} bytes");
        let text = if rsv1 == 0 { payload } else { inflate(&mut inflater(15), &payload) };
        assert_eq!(text, vec![b'x'; length]);
    }
    client.write(frame(FIN | PING, [b'x'; 125])).await;
    assert_eq!(client.frame().await, Some((FIN | PONG, vec![b'x'; 125])), "6.1: control frames are not compressed");
    let noise = wordy(1_000, usize::MAX);
    client.write(frame(FIN | BINARY, &noise)).await;
    assert_eq!(client.frame().await, Some((FIN | BINARY, noise)), "6: what does not shrink");
}

#[tokio::test]
async fn a_limit_is_one_of_what_was_deflated_also_where_that_made_it_longer() {
    let limits = Config { max_message_size: 10_000, max_frame_size: 10_000, ..Config::default() };
    let mut mirrors = Mirrors::new(Config { compression: Some(Compression::default()), ..limits });
    let noise = wordy(10_001, usize::MAX);
    // Stored: a block of its own each, of at most so many bytes.
    let stored = |bytes: &[u8], each: usize| {
        let blocks = bytes.chunks(each).flat_map(|block| {
            let length = u16::try_from(block.len()).expect("blocks of 64 KiB");
            [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), block].concat()
        });
        blocks.chain([0]).collect::<Vec<u8>>()
    };
    let mut client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
    let (longer, fits) = (stored(&noise[..10_000], 127), noise[..10_000].to_vec());
    assert!(longer.len() > 10_300, "{} bytes", longer.len());
    client.write(frame(FIN | RSV1 | BINARY, &longer)).await;
    assert_eq!(client.frame().await, Some((FIN | BINARY, fits.clone())));
    let (first, second) = longer.split_at(5_000);
    client.write([frame(RSV1 | BINARY, first), frame(FIN | CONTINUATION, second)].concat()).await;
    assert_eq!(client.frame().await, Some((FIN | BINARY, fits)));

    let message = "the message is over 10000 bytes";
    let refused = [
        breaks(
            "7.4.1 of RFC 6455",
            "one byte too much",
            frame(FIN | RSV1 | BINARY, stored(&noise, 127)),
            1009,
            message,
        ),
        breaks(
            "7.4.1 of RFC 6455",
            "nothing, in too many bytes",
            [frame(RSV1 | BINARY, [0]), frame(FIN | CONTINUATION, vec![0; 10_689])].concat(),
            1009,
            message,
        ),
        breaks(
            "7.4.1 of RFC 6455",
            "a frame that is too long deflated",
            frame(FIN | RSV1 | BINARY, vec![0; 10_690]),
            1009,
            "the frame is over 10000 bytes",
        ),
    ];
    for rule in refused {
        let client = mirrors.agree("permessage-deflate", Some(NEITHER)).await;
        mirrors.holds(client, rule).await;
    }
}

struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }
}

#[tokio::test]
async fn compression_is_for_the_routes_that_want_it() {
    let routes = URLRouter::new([
        path("large/", || Echo).config(|config| config.compression = Some(Compression::default())),
        path("small/", || Echo),
    ]);
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.expect("good patterns"))));
    for (path, answer) in [("/large/", Some(NEITHER)), ("/small/", None)] {
        let mut client = Raw::connect(server.address).await;
        client.write(raw::handshake(path, &format!("Sec-WebSocket-Extensions: {OFFER}\r\n"))).await;
        assert_eq!(client.response().await.header("Sec-WebSocket-Extensions"), answer, "{path}");
    }
}

/// A member of the room, who is shown something of so many bytes. What repeats itself in the first half of it lies beyond the
/// smallest window, and in the second half within it.
struct Viewer;

fn shown(length: usize) -> Vec<u8> {
    [wordy(length / 2, (1 << 9) + 1), wordy(length / 2, 100)].concat()
}

#[consumer]
impl Consumer for Viewer {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    #[handler]
    fn show(event: &RawEvent) -> Result<Message> {
        Ok(shown(event.get("length").unwrap_or_default()).into())
    }
}

#[tokio::test]
async fn each_member_of_a_group_can_inflate_what_is_said_to_all() {
    let alone = "permessage-deflate; server_no_context_takeover";
    let narrow = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9";
    let layer = Layer::new(InMemoryChannelLayer::default());
    let config = Config { compression: Some(keeping()), ..Config::default() };
    let app = ProtocolTypeRouter::new().websocket(|| Viewer);
    let server = serve(Server::new(app).layers(layer.clone()).config(config).workers(1));
    let mut members = Vec::new();
    for (offer, bits) in [(alone, 15), (alone, 15), (narrow, 9), ("permessage-deflate", 15), ("", 0)] {
        let mut client = Raw::connect(server.address).await;
        client.write(raw::handshake("/", &format!("Sec-WebSocket-Extensions: {offer}\r\n"))).await;
        let answer = client.response().await;
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), Some(offer).filter(|offer| !offer.is_empty()));
        members.push((client, bits));
    }
    let mut kept = inflater(15);
    let mut sizes = Vec::new();
    for length in [6_000, 6_000, 40_000] {
        let report = layer.group_send("room", event!({"type": "show", "length": length})).report().await.unwrap();
        assert_eq!(report.delivered, 5);
        let wanted = shown(length);
        let mut payloads = Vec::new();
        for (n, (client, bits)) in members.iter_mut().enumerate() {
            let (first, payload) = client.frame().await.expect("the connection is open");
            let inflated = match n {
                3 => inflate(&mut kept, &payload),
                4 => payload.clone(),
                _ => inflate(&mut inflater(*bits), &payload),
            };
            assert_eq!(first, if n == 4 { FIN | BINARY } else { FIN | RSV1 | BINARY }, "member {n}");
            assert!(inflated == wanted, "member {n} got something else than {length} bytes");
            payloads.push(payload);
        }
        assert_eq!(payloads[0], payloads[1], "the same window");
        assert!(payloads[2].len() > payloads[0].len(), "a narrower window");
        sizes.push(payloads[3].len());
    }
    assert!(sizes[1] * 4 < sizes[0], "a window that is kept: {} bytes after {}", sizes[1], sizes[0]);
}
