//! RFC 6455, frame by frame: what a client may send, what it may not, and how much.

use channels::{Config, InMemoryChannelLayer, Layer, prelude::*};

use crate::{
    puppet::Strings,
    raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame, header},
    support::{Served, serve},
};

/// Sends back what it gets, and tells how it ended.
struct Mirror(tokio::sync::mpsc::UnboundedSender<Close>);

#[consumer]
impl Consumer for Mirror {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(close.clone());
    }
}

type Ends = tokio::sync::mpsc::UnboundedReceiver<Close>;

fn mirror(config: Config) -> (Served, Ends) {
    let (ended, ends) = tokio::sync::mpsc::unbounded_channel();
    let app = ProtocolTypeRouter::new().websocket(move || Mirror(ended.clone()));
    (serve(Server::new(app).config(config).workers(1)), ends)
}

/// Sends `bytes`, and expects nothing but a close with this code and reason.
async fn refused(server: &Served, ends: &mut Ends, bytes: impl AsRef<[u8]>, code: u16, reason: &str) {
    let bytes = bytes.as_ref();
    let mut client = Raw::open(server.address, "/").await;
    client.write(bytes).await;
    assert_eq!(client.close().await, (code, reason.to_owned()), "{bytes:x?}");
    drop(client);
    let close = crate::support::within(ends.recv()).await.expect("the server keeps a sender");
    assert_eq!((close.code.get(), &*close.reason), (code, reason), "{bytes:x?}");
}

#[tokio::test]
async fn a_client_that_breaks_a_rule_is_closed_with_1002_and_told_which() {
    let (server, mut ends) = mirror(Config::default());
    let mut broken = async |bytes: &[u8], rule| refused(&server, &mut ends, bytes, 1002, rule).await;
    broken(b"\x81\x01x", "the frame is not masked").await;
    for bit in [0x40, 0x20, 0x10] {
        broken(&frame(FIN | bit | TEXT, "x"), "a reserved bit is set").await;
        broken(&frame(FIN | bit | PING, "x"), "a reserved bit is set").await;
    }
    for opcode in [0x3, 0x7, 0xB, 0xF] {
        broken(&frame(FIN | opcode, "x"), "the opcode is reserved").await;
    }
    broken(&frame(FIN | CONTINUATION, "x"), "a continuation continues nothing").await;
    broken(&[frame(TEXT, "a"), frame(TEXT, "b")].concat(), "a new message starts within another").await;
    for control in [CLOSE, PING, PONG] {
        broken(&frame(control, "x"), "a control frame is fragmented").await;
        broken(&header(FIN | control, 126), "a control frame is over 125 bytes").await;
    }
    broken(&frame(FIN | CLOSE, "x"), "a close frame has half a code").await;
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        broken(&frame(FIN | CLOSE, code.to_be_bytes()), "a close frame has a code that may not be sent").await;
    }
    let long = "the length is not written in the fewest bytes";
    broken(b"\x81\xfe\x00\x7d\0\0\0\0", long).await;
    broken(b"\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", long).await;
    broken(&header(FIN | TEXT, 1 << 63), "the length's most significant bit is set").await;
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_closed_with_1007() {
    let (server, mut ends) = mirror(Config::default());
    let mut not_utf8 = async |bytes: &[u8]| refused(&server, &mut ends, bytes, 1007, "the text is not UTF-8").await;
    // Overlong, a surrogate, beyond the last character, a lone continuation, cut off at the end.
    for text in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok \x80", b"cut \xe8\xaf"] {
        not_utf8(&frame(FIN | TEXT, text)).await;
        let (start, end) = text.split_at(1);
        not_utf8(&[frame(TEXT, start), frame(FIN | CONTINUATION, end)].concat()).await;
    }
    let reason = [&1000u16.to_be_bytes()[..], b"\xff"].concat();
    refused(&server, &mut ends, frame(FIN | CLOSE, reason), 1007, "a close frame's reason is not UTF-8").await;
}

#[tokio::test]
async fn an_impossible_byte_is_refused_before_its_frame_and_message_are_whole() {
    let (server, mut ends) = mirror(Config::default());
    let text = [b"\xe8\xaf\xbb\xc3\x28".as_slice(), &[b'x'; 95]].concat();
    let header = 6;
    let start = &frame(FIN | TEXT, &text)[..header + 5];
    refused(&server, &mut ends, start, 1007, "the text is not UTF-8").await;
    let later = [&frame(TEXT, "fine"), &frame(CONTINUATION, &text)[..header + 5]].concat();
    refused(&server, &mut ends, later, 1007, "the text is not UTF-8").await;
}

#[tokio::test]
async fn fragments_are_joined_and_control_frames_may_stand_between_them() {
    let (server, _ends) = mirror(Config::default());
    let mut client = Raw::open(server.address, "/").await;
    // The character 读 is e8 af bb: cut within it.
    client.write(frame(TEXT, b"a \xe8")).await;
    client.write(frame(FIN | PING, "between")).await;
    assert_eq!(client.frame().await, Some((FIN | PONG, b"between".to_vec())));
    client.write(frame(CONTINUATION, b"")).await;
    client.write(frame(FIN | PONG, "nobody asked")).await;
    client.write(frame(CONTINUATION, b"\xaf")).await;
    client.write(frame(FIN | CONTINUATION, b"\xbb z")).await;
    assert_eq!(client.text().await, "a 读 z");

    client.write([frame(BINARY, b"\xff"), frame(CONTINUATION, b"\x00"), frame(FIN | CONTINUATION, b"")].concat()).await;
    assert_eq!(client.frame().await, Some((FIN | BINARY, b"\xff\x00".to_vec())));
    client.write([frame(TEXT, b""), frame(FIN | CONTINUATION, b"")].concat()).await;
    assert_eq!(client.text().await, "");
}

#[tokio::test]
async fn frames_may_be_cut_at_every_byte() {
    let (server, _ends) = mirror(Config::default());
    let long = "x".repeat(130);
    let script = [
        frame(TEXT, b"\xe8\xaf"),
        frame(FIN | PING, "p"),
        frame(FIN | CONTINUATION, b"\xbb!"),
        frame(FIN | BINARY, &long),
        frame(FIN | TEXT, "end"),
    ]
    .concat();
    let mut client = Raw::open(server.address, "/").await;
    let mut other = server.connect("/").await;
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
    let (server, _ends) = mirror(NARROW());
    let mut client = Raw::open(server.address, "/").await;
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
    let (server, mut ends) = mirror(NARROW());
    let mut too_big = async |bytes: &[u8], why| refused(&server, &mut ends, bytes, 1009, why).await;
    too_big(&header(FIN | TEXT, 9), "the frame is over 8 bytes").await;
    too_big(&header(FIN | BINARY, i64::MAX as u64), "the frame is over 8 bytes").await;
    too_big(&[frame(TEXT, "123456"), header(FIN, 5)].concat(), "the message is over 10 bytes").await;
    let flood = [frame(TEXT, ""), frame(CONTINUATION, ""), frame(CONTINUATION, "")].concat();
    too_big(&flood, "the message has more than 3 fragments").await;
}

#[tokio::test]
async fn the_default_limit_is_a_mebibyte() {
    let (server, mut ends) = mirror(Config::default());
    let mut client = Raw::open(server.address, "/").await;
    let largest = vec![b'x'; 1 << 20];
    client.write(frame(FIN | BINARY, &largest)).await;
    assert_eq!(client.frame().await, Some((FIN | BINARY, largest)));
    refused(&server, &mut ends, header(FIN | BINARY, (1 << 20) + 1), 1009, "the frame is over 1048576 bytes").await;
}
