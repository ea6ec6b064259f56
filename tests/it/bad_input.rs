//! What strangers send, line by line: each is refused with a status or a code that says why, and nothing panics.

use channels::{event, prelude::*};

use crate::{
    logs,
    raw::{self, FIN, Raw, Response},
    support::serve,
};

/// What is wanted of a client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    number: u8,
}

struct Strict;

#[consumer]
impl Consumer for Strict {
    async fn receive(&mut self, cx: &mut Context, Json(wanted): Json<Wanted>) -> Result<()> {
        cx.send(format!("got {}", wanted.number))?;
        Ok(())
    }
}

struct TextOnly;

#[consumer]
impl Consumer for TextOnly {
    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }
}

struct BinaryOnly;

#[consumer]
impl Consumer for BinaryOnly {
    async fn receive(&mut self, cx: &mut Context, Binary(bytes): Binary) -> Result<()> {
        cx.send(bytes)?;
        Ok(())
    }
}

/// Puts what the client says into a group's name.
struct Trusting;

#[consumer]
impl Consumer for Trusting {
    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        let joined = cx.group_add(format!("chat_{text}")).await;
        let sent = cx.group_send(format!("chat_{text}"), event!({"type": "x"})).await;
        let whispered = cx.send_to(text.to_string(), event!({"type": "x"})).await;
        for error in [joined.err().map(|error| error.to_string()), sent.err().map(|error| error.to_string())] {
            cx.send(error.unwrap_or_default())?;
        }
        cx.send(whispered.err().map(|error| error.to_string()).unwrap_or_default())?;
        Ok(())
    }
}

fn server() -> Server {
    let routes = URLRouter::new([
        path("ws/strict/", || Strict),
        path("ws/text/", || TextOnly),
        path("ws/binary/", || BinaryOnly),
        re_path(r"^ws/(?P<room>\w+)/trusting/$", || Trusting),
    ]);
    let jobs = ChannelNameRouter::new([("jobs-of-bad-input", || Strict)]).expect("a name");
    Server::new(ProtocolTypeRouter::new().websocket(routes.expect("the patterns are right")).channel(jobs))
}

async fn answer(address: std::net::SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut client = Raw::connect(address).await;
    client.write(request).await;
    client.response().await
}

#[tokio::test]
async fn an_unknown_route_is_404_and_the_log_names_the_routes_that_were_tried() {
    logs::keep();
    let server = serve(server());
    assert_eq!(answer(server.address, raw::handshake("/ws/unheard-of/", "")).await.status, 404);
    let line = logs::wait_for(&["WARN", "no route for this path", "path=/ws/unheard-of/"]).await;
    for pattern in ["ws/strict/", "ws/text/", "ws/binary/", r"^ws/(?P<room>\w+)/trusting/$"] {
        assert!(line.contains(pattern), "{line} does not name {pattern}");
    }
    assert!(!line.contains("jobs-of-bad-input"), "{line} names what no WebSocket is led by");
    assert_eq!(logs::with(&["no route for this path", "path=/ws/unheard-of/"]).len(), 1);
    for path in ["/", "/ws/strict", "/ws/strict/more/", "/%ff", "/ws/%73trict/../text/"] {
        assert_eq!(answer(server.address, raw::handshake(path, "")).await.status, 404, "{path}");
    }
    assert_eq!(answer(server.address, raw::handshake("/ws/%73trict/?a=b", "")).await.status, 101);
}

#[tokio::test]
async fn json_that_does_not_parse_or_fit_is_1007_and_the_reason_says_where() {
    let server = serve(server());
    let cases = [
        (r#"{"number": 7"#.to_owned(), "EOF while parsing an object at line 1 column 12"),
        ("".to_owned(), "EOF while parsing a value at line 1 column 0"),
        (r#"{"number": 700}"#.to_owned(), "invalid value: integer `700`, expected u8 at line 1 column 14"),
        ("{\"number\":\n\"seven\"}".to_owned(), "expected u8 at line 2 column 7"),
        ("{}".to_owned(), "missing field `number` at line 1 column 2"),
        (r#"{"number": 7} x"#.to_owned(), "trailing characters at line 1 column 15"),
        (format!(r#"{{"{}": 7}}"#, "长".repeat(99)), " at line 1 column 300"),
        ("[".repeat(100_000), "at line 1 column 1"),
    ];
    for (text, place) in cases {
        let mut client = server.connect("/ws/strict/").await;
        client.send(r#"{"number": 7}"#).await;
        assert_eq!(client.text().await, "got 7");
        client.send(text).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 1007);
        assert!(reason.starts_with("JSON: ") && reason.contains(place) && reason.len() <= 123, "{reason}");
    }
}

#[tokio::test]
async fn a_message_of_the_wrong_kind_is_1003() {
    let server = serve(server());
    for path in ["/ws/strict/", "/ws/text/"] {
        let mut client = server.connect(path).await;
        client.send(&b"bytes"[..]).await;
        assert_eq!(client.closed().await, (1003, "text is wanted, the message is binary".to_owned()));
    }
    let mut client = server.connect("/ws/binary/").await;
    client.send("text").await;
    assert_eq!(client.closed().await, (1003, "binary is wanted, the message is text".to_owned()));
}

#[tokio::test]
async fn a_malformed_name_is_an_error_that_names_the_character() {
    let server = serve(server());
    let mut client = server.connect("/ws/7/trusting/").await;
    client.send("two words").await;
    let allowed = "allowed are ASCII letters and digits, `-`, `_`, `.`";
    for _ in ["joining", "sending"] {
        let error = format!("group name `chat_two words` has the character ' ' at byte 8; {allowed}");
        assert_eq!(client.text().await, error);
    }
    assert_eq!(client.text().await, format!("channel name `two words` has the character ' ' at byte 3; {allowed}"));

    client.send("游戏").await;
    assert!(client.text().await.contains("'游' at byte 5"));
    assert!(client.text().await.contains("'游' at byte 5"));
    assert!(client.text().await.contains("'游' at byte 0"));

    client.send("x".repeat(200)).await;
    assert!(client.text().await.ends_with("has 205 bytes; the most is 99"));
    assert!(client.text().await.ends_with("has 205 bytes; the most is 99"));
    assert!(client.text().await.ends_with("has 200 bytes; the most is 99"));

    client.send("").await;
    assert_eq!([client.text().await, client.text().await], ["", ""]);
    assert_eq!(client.text().await, "a channel name cannot be empty");
}

#[tokio::test]
async fn a_frame_that_never_ends_waits_for_its_end_and_harms_nobody() {
    let server = serve(server().workers(1));
    let mut slow = Raw::open(server.address, "/ws/text/").await;
    let text = "x".repeat(1_000);
    let whole = raw::frame(FIN | raw::TEXT, &text);
    slow.write(&whole[..whole.len() - 1]).await;
    let mut other = server.connect("/ws/text/").await;
    other.send("hello").await;
    assert_eq!(other.text().await, "hello");
    slow.write(&whole[whole.len() - 1..]).await;
    assert_eq!(slow.text().await, text);
}
