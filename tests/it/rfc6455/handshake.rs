//! Section 4: the opening handshake.

use channels::{
    InMemoryChannelLayer, Layer,
    actix_web::{HttpResponse, web},
    prelude::*,
};

use crate::{
    mirror::Mirrors,
    puppet::Strings,
    raw::{FIN, Raw, Response, TEXT, frame, handshake},
    support::serve,
};

async fn answer(mirrors: &Mirrors, request: impl AsRef<[u8]>) -> Response {
    let mut client = Raw::connect(mirrors.server.address).await;
    client.write(request).await;
    client.response().await
}

const HOST: &str = "Host: localhost\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: Upgrade\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// 4.1 forbids it; a client that does it all the same loses nothing.
#[tokio::test]
async fn frames_that_came_with_the_handshake_are_read() {
    let mirrors = Mirrors::new(Default::default());
    let said = |text: &str| frame(FIN | TEXT, text);
    let mut client = Raw::connect(mirrors.server.address).await;
    client.write([handshake("/", "").into_bytes(), said("one"), said("two")[..4].to_vec()].concat()).await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(client.text().await, "one");
    client.write(&said("two")[4..]).await;
    assert_eq!(client.text().await, "two");
}

#[tokio::test]
async fn however_much_came_before_the_handshake_was_answered_is_read() {
    let mut strings = Strings::new();
    let server = serve(strings.server(&Layer::new(InMemoryChannelLayer::default())));
    // More than the HTTP server holds.
    let texts: Vec<_> = (0..100).map(|n| format!("{n:>8000}")).collect();
    let frames = texts.iter().flat_map(|text| frame(FIN | TEXT, format!("say {text}")));
    let mut client = Raw::connect(server.address).await;
    client.write(handshake("/wait", "").into_bytes().into_iter().chain(frames).collect::<Vec<_>>()).await;
    while strings.told().await != "waits" {}
    strings.open();
    assert_eq!(client.response().await.status, 101);
    for text in texts {
        assert_eq!(client.text().await, text);
    }
}

/// RFC 9112, section 9.3.2: requests may follow each other before they are answered.
#[tokio::test]
async fn a_handshake_behind_another_request_comes_after_its_answer() {
    let app = ProtocolTypeRouter::new().websocket(|| Stubborn).http(|http| {
        http.route("/nothing/", web::get().to(async || HttpResponse::NoContent()));
    });
    let server = serve(Server::new(app));
    let mut client = Raw::connect(server.address).await;
    let before = "GET /nothing/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write([before, &handshake("/", "")].concat()).await;
    assert_eq!([client.head().await.status, client.head().await.status], [204, 101]);
}

#[tokio::test]
async fn a_handshake_is_accepted_or_refused_by_section_4_2_1() {
    let mirrors = Mirrors::new(Default::default());
    // Section, what of a good handshake, what stands in its place, the status.
    let rules = [
        ("4.2.1 (1)", "GET ", "GET ", 101),
        ("4.2.1 (1)", "GET ", "POST ", 405),
        ("4.2.1 (1)", "HTTP/1.1", "HTTP/1.0", 400),
        ("4.2.1 (2)", HOST, "", 400),
        ("4.2.1 (2)", HOST, "Host: localhost\r\nHost: elsewhere\r\n", 400),
        ("4.2.1 (3)", UPGRADE, "Upgrade: WebSocket\r\n", 101),
        ("4.2.1 (3)", UPGRADE, "upgrade: h2c, websocket\r\n", 101),
        ("4.2.1 (3)", UPGRADE, "Upgrade: websockets\r\n", 400),
        ("4.2.1 (3)", UPGRADE, "Upgrade: not-websocket\r\n", 400),
        ("4.2.1 (4)", CONNECTION, "Connection: keep-alive, Upgrade\r\n", 101),
        ("4.2.1 (4)", CONNECTION, "connection: upgrade\r\n", 101),
        ("4.2.1 (4)", CONNECTION, "", 400),
        ("4.2.1 (4)", CONNECTION, "Connection: close\r\n", 400),
        ("4.2.1 (4)", CONNECTION, "Connection: Upgraded\r\n", 400),
        ("4.2.1 (5)", KEY, "", 400),
        ("4.2.1 (5)", KEY, "Sec-WebSocket-Key: \r\n", 400),
        ("4.2.1 (5)", KEY, "Sec-WebSocket-Key: too short\r\n", 400),
        ("4.2.1 (5)", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400),
        ("4.2.1 (5)", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBpcyBsb25n\r\n", 400),
        ("4.2.1 (5)", KEY, "Sec-WebSocket-Key: ????????????????????????\r\n", 400),
        ("11.3.1", KEY, &KEY.repeat(2), 400),
        ("4.2.1 (6)", VERSION, "", 400),
        ("4.4", VERSION, "Sec-WebSocket-Version: 12\r\n", 426),
        ("4.4", VERSION, "Sec-WebSocket-Version: 8\r\n", 426),
        ("4.4", VERSION, "Sec-WebSocket-Version: 14\r\n", 426),
        ("4.4", VERSION, "Sec-WebSocket-Version: thirteen\r\n", 426),
        ("11.3.5", VERSION, &VERSION.repeat(2), 400),
    ];
    let good = handshake("/", "");
    for (section, from, to, status) in rules {
        assert!(good.contains(from), "{from:?} is in no handshake");
        let response = answer(&mirrors, good.replacen(from, to, 1)).await;
        assert_eq!(response.status, status, "{section}: {from:?} as {to:?}");
        match status {
            426 => assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"), "{section}: {to:?}"),
            101 => assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{to:?}"),
            _ => {}
        }
        // A host that is missing, or there twice, is HTTP's matter, and answered without words.
        let told = status == 101 || from == HOST || !response.body.is_empty();
        assert!(told, "{section}: {to:?} is not told why");
    }
    // 2.1: without `Upgrade` it is plain HTTP.
    let response = answer(&mirrors, good.replace(UPGRADE, "").replace(CONNECTION, "")).await;
    assert_eq!((response.status, response.header("Upgrade")), (426, Some("websocket")));
}

#[tokio::test]
async fn the_answer_has_what_section_4_2_2_wants_and_nothing_that_was_not_asked_for() {
    let mirrors = Mirrors::new(Default::default());
    let offers = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate, x-unheard-of\r\n";
    let response = answer(&mirrors, handshake("/", offers)).await;
    assert_eq!(response.status, 101);
    assert!(response.header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
    assert!(response.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "4.2.2 (5.4)");
    assert_eq!(response.header("Sec-WebSocket-Protocol"), None, "4.2.2 (5.5)");
    assert_eq!(response.header("Sec-WebSocket-Extensions"), None, "4.2.2 (5.6)");
}

/// Speaks one subprotocol, whatever it is asked.
struct Stubborn;

#[consumer]
impl Consumer for Stubborn {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept_with(Accept::new().subprotocol("chat.v2"))?;
        Ok(())
    }

    async fn receive(&mut self, _: &mut Context, _: Message) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_subprotocol_that_the_client_did_not_offer_is_never_in_the_answer() {
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Stubborn)));
    let table = [
        ("", None),
        ("Sec-WebSocket-Protocol: chat.v1\r\n", None),
        ("Sec-WebSocket-Protocol: CHAT.V2\r\n", None),
        ("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", Some("chat.v2")),
        ("Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n", Some("chat.v2")),
    ];
    for (offer, chosen) in table {
        let mut client = Raw::connect(server.address).await;
        client.write(handshake("/", offer)).await;
        let response = client.response().await;
        assert_eq!((response.status, response.header("Sec-WebSocket-Protocol")), (101, chosen), "{offer:?}");
    }
}
