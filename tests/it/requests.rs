//! Plain HTTP as daphne's tests ask it of a server: what arrives of a request, and what leaves of a response.

use std::time::Duration;

use channels::{
    actix_web::{
        HttpResponse,
        http::StatusCode,
        web::{self, Bytes},
    },
    prelude::*,
};

use crate::{
    raw::{Raw, Response},
    support::{Served, serve, within},
};

/// Shows the request, or answers in an unusual way.
#[derive(Default)]
struct Shows;

#[consumer]
impl HttpConsumer for Shows {
    async fn handle(&mut self, cx: &mut Context, body: Bytes) -> Result<()> {
        let scope = cx.scope();
        match scope.query_string() {
            "teapot" => {
                cx.send_response(HttpResponse::build(StatusCode::IM_A_TEAPOT).reason("short, stout").finish())?
            }
            "chunks" => {
                cx.send_headers(HttpResponse::Ok().finish())?;
                for chunk in ["one ", "", "two ", "three"] {
                    cx.send_body(chunk, true)?;
                }
                cx.send_body("", false)?;
            }
            "nothing" => {
                cx.send_headers(HttpResponse::Ok().finish())?;
                cx.send_body("", false)?;
            }
            "headers" => {
                let mut response = HttpResponse::Ok();
                response.insert_header(("X-Text", "a")).append_header(("X-Text", "b"));
                response.insert_header(("X-Number", 7)).insert_header(("X-Bytes", &b"\xe8\xaf\xbb"[..]));
                cx.send_response(response.finish())?;
            }
            _ => {
                let values = scope.headers().get_all("x-twice").collect::<Vec<_>>().join("|");
                let shown =
                    format!("{} {} {values} {}", scope.path(), scope.raw_path(), String::from_utf8_lossy(&body));
                cx.send_response(HttpResponse::Ok().body(shown))?;
            }
        }
        Ok(())
    }
}

/// Answers no request.
#[derive(Default)]
struct Never;

#[consumer]
impl HttpConsumer for Never {
    async fn handle(&mut self, _: &mut Context, (): ()) -> Result<()> {
        Ok(())
    }
}

/// Says what it knows of two headers, and what it is told.
#[derive(Default)]
struct Padding;

#[consumer]
impl Consumer for Padding {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        let known = |name| cx.scope().headers().get_all(name).map(str::to_owned).collect::<Vec<_>>();
        cx.send(format!("{:?} {:?}", known("X-Padding"), known("X-Twice")))
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)
    }
}

/// An `HttpConsumer`, and a plain service beside it.
fn served() -> Served {
    let view = |body: Bytes| async move { HttpResponse::Ok().body(body) };
    let app =
        ProtocolTypeRouter::new().http_consumers(Shows::default).websocket(Padding::default).http(move |config| {
            config.route("/view", web::post().to(view));
        });
    serve(Server::new(app).workers(1))
}

async fn answered(served: &Served, request: impl AsRef<[u8]>) -> Response {
    let mut client = Raw::connect(served.address).await;
    client.write(request).await;
    client.response().await
}

/// All that comes until the server has closed the connection.
async fn whole(served: &Served, query: &str) -> String {
    let mut client = Raw::connect(served.address).await;
    client.write(format!("GET /?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    within(client.rest()).await;
    String::from_utf8_lossy(client.read()).into_owned()
}

// daphne: test_http_request, chunked body
#[tokio::test]
async fn a_chunked_body_is_put_together_for_views_and_consumers() {
    let served = served();
    for (path, body) in [("/view", "hello there"), ("/consumer", "/consumer /consumer  hello there")] {
        let mut client = Raw::connect(served.address).await;
        client.write(format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")).await;
        client.write("lo\r\n6;ext=1\r\n there\r\n0\r\nTrailer: t\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.status, response.body.as_str()), (200, body));
    }
}

// daphne: test_http_request, raw_path, duplicate and lower-cased headers
#[tokio::test]
async fn the_path_is_kept_as_it_was_written_and_a_header_may_come_twice_in_any_case() {
    let served = served();
    let request = "GET /caf%C3%A9/%2F?x=%20 HTTP/1.1\r\nHost: a\r\nX-TWICE: One\r\nx-twice: two\r\n\r\n";
    assert_eq!(answered(&served, request).await.body, "/café// /caf%C3%A9/%2F One|two ");
}

// daphne: test_http_request, bad requests, invalid header name
#[tokio::test]
async fn what_is_no_request_is_400_and_the_next_client_is_served() {
    let served = served();
    for bad in [
        &b"GARBAGE\r\n\r\n"[..],
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nfoo bar: baz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nfoo\x00bar: baz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nfoo\xffbar: baz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nfoo\x01bar: baz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nfoo : baz\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(answered(&served, bad).await.status, 400, "{}", String::from_utf8_lossy(bad));
    }
    assert_eq!(answered(&served, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
}

// daphne: test_websocket, smuggled headers refused
#[tokio::test]
async fn what_other_parsers_take_for_the_end_of_a_line_smuggles_no_header_in() {
    let served = served();
    let asked = |upgrade: &str, byte: u8| {
        let mut request = format!("GET /socket HTTP/1.1\r\nHost: a\r\n{upgrade}X-Padding: innocent").into_bytes();
        request.push(byte);
        request.extend(b"X-Twice: admin\r\n\r\n");
        request
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for byte in *b"\x0b\x0c\x1c\x1d\x1e\x00\r" {
        for upgrade in ["", upgrade] {
            assert_eq!(answered(&served, asked(upgrade, byte)).await.status, 400, "{byte:#x}");
        }
    }
    // RFC 9110 has this one for a character of some other encoding: the value is no text.
    assert_eq!(answered(&served, asked("", 0x85)).await.body, "/socket /socket  ");
    let mut client = Raw::connect(served.address).await;
    client.write(asked(upgrade, 0x85)).await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(client.text().await, "[] []");
}

// daphne: test_websocket, http_timeout
#[tokio::test]
async fn the_time_that_a_response_has_is_none_that_a_websocket_has() {
    let app = ProtocolTypeRouter::new().http_consumers(Never::default).websocket(Padding::default);
    let config = Config { response_timeout: Duration::from_millis(1), ..Config::default() };
    let served = serve(Server::new(app).config(config).workers(1));
    let mut socket = served.connect("/").await;
    assert_eq!(socket.text().await, "[] []");
    assert_eq!(answered(&served, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 503, "the time is over");
    socket.send("still alive?").await;
    assert_eq!(socket.text().await, "still alive?");
}

// daphne: test_http_response, custom status
#[tokio::test]
async fn a_response_has_the_status_that_it_was_given() {
    assert!(whole(&served(), "teapot").await.starts_with("HTTP/1.1 418 short, stout\r\n"));
}

// daphne: test_http_response, chunked, empty chunk
#[tokio::test]
async fn a_body_in_parts_is_chunked_and_an_empty_part_does_not_end_it() {
    let served = served();
    let chunked = whole(&served, "chunks").await;
    assert!(chunked.to_ascii_lowercase().contains("transfer-encoding: chunked\r\n"), "{chunked}");
    let body = chunked.split_once("\r\n\r\n").unwrap().1;
    let parts: String = body.split("\r\n").enumerate().filter(|(at, _)| at % 2 == 1).map(|(_, part)| part).collect();
    assert_eq!(parts, "one two three");
    assert!(body.ends_with("\r\n0\r\n\r\n"), "{body:?}");
    let nothing = whole(&served, "nothing").await;
    assert!(nothing.starts_with("HTTP/1.1 200 OK\r\n"), "{nothing}");
    assert!(nothing.ends_with("\r\n\r\n"), "{nothing:?}");
}

// daphne: test_http_response, header types
#[tokio::test]
async fn a_header_is_text_a_number_or_bytes_and_may_be_there_twice() {
    let head = whole(&served(), "headers").await.to_ascii_lowercase();
    for line in ["x-text: a\r\n", "x-text: b\r\n", "x-number: 7\r\n", "x-bytes: 读\r\n"] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
}
