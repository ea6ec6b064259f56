//! Which pages may talk to a session: those that may open a socket.

use channels::{
    OriginValidator,
    Transport::{EventStream, LongPoll, WebSocket},
    prelude::*,
};

use super::client::asked;
use crate::{
    echo::Echo,
    raw::Response,
    support::{Served, serve},
};

/// Refuses who has no cookie, which a preflight never has.
struct Members;

impl Middleware for Members {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        if scope.cookie("member").is_some() { Ok(scope) } else { Err(Deny::forbidden().body("members only")) }
    }
}

fn house() -> Served {
    let routes = URLRouter::new([path("ws/", Echo::default), path("members/", Members.wrap(Echo::default))]);
    let validator = OriginValidator::new(["https://example.com", "http://localhost"]).unwrap();
    let all = path("", validator.wrap(routes.unwrap())).transports([WebSocket, EventStream, LongPoll]);
    serve(Server::new(ProtocolTypeRouter::new().websocket(URLRouter::new([all]).unwrap())))
}

async fn ask(house: &Served, method: &str, path: &str, headers: &str) -> Response {
    asked(house.address, method, path, headers, "").await
}

fn allowed(response: &Response) -> (Option<&str>, Option<&str>) {
    (response.header("Access-Control-Allow-Origin"), response.header("Access-Control-Allow-Credentials"))
}

const ALLOWED: (Option<&str>, Option<&str>) = (Some("https://example.com"), Some("true"));

#[tokio::test]
async fn a_page_that_may_open_a_socket_may_read_what_a_session_answers() {
    let house = house();
    let opened = ask(&house, "POST", "/ws/", "Origin: https://example.com\r\n").await;
    assert_eq!((opened.status, allowed(&opened)), (200, ALLOWED));
    assert_eq!(opened.header("Access-Control-Expose-Headers"), Some("Retry-After"));
    assert!(opened.header("Vary").is_some_and(|names| names.contains("Origin")));
    let refused = ask(&house, "POST", "/ws/", "Origin: https://evil.example\r\n").await;
    assert_eq!((refused.status, allowed(&refused)), (403, (None, None)));
    // What is answered with an error, too.
    let unknown = "Origin: https://example.com\r\nChannels-Session: x\r\nChannels-Ack: 0\r\n";
    let gone = ask(&house, "GET", "/ws/", unknown).await;
    assert_eq!((gone.status, allowed(&gone)), (410, ALLOWED));
    let members = ask(&house, "POST", "/members/", "Origin: https://example.com\r\n").await;
    assert_eq!((members.status, &*members.body, allowed(&members)), (403, "members only", ALLOWED));
}

#[tokio::test]
async fn a_preflight_is_judged_by_its_origin_alone() {
    let house = house();
    let asks = |origin: &str| {
        format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: channels-session,channels-ack\r\n"
        )
    };
    for path in ["/ws/", "/members/"] {
        let yes = ask(&house, "OPTIONS", path, &asks("https://example.com")).await;
        assert_eq!((yes.status, allowed(&yes)), (204, ALLOWED));
        assert_eq!(yes.header("Access-Control-Allow-Headers"), Some("channels-session,channels-ack"));
        assert_eq!(yes.header("Access-Control-Allow-Methods"), Some("GET, POST, DELETE"));
        let no = ask(&house, "OPTIONS", path, &asks("https://evil.example")).await;
        assert_eq!((no.status, allowed(&no)), (204, (None, None)));
    }
}

#[tokio::test]
async fn without_a_validator_no_other_page_may_read_anything() {
    let routes = URLRouter::new([path("ws/", Echo::default).transports([LongPoll])]).unwrap();
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)));
    let opened = ask(&house, "POST", "/ws/", "Origin: https://example.com\r\n").await;
    assert_eq!((opened.status, allowed(&opened)), (200, (None, None)));
}

#[tokio::test]
async fn a_get_without_an_origin_has_that_of_the_page_or_of_its_own_host() {
    let house = house();
    let stream = "Accept: text/event-stream\r\n";
    for (headers, status) in [
        ("", 403),
        ("Referer: http://localhost/page/\r\n", 200),
        ("Referer: https://example.com/\r\n", 200),
        ("Referer: https://evil.example/http://localhost/\r\n", 403),
        ("Referer: http://localhost\r\n", 200),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-origin\r\nReferer: https://evil.example/\r\n", 403),
        ("Origin: https://evil.example\r\nReferer: http://localhost/\r\n", 403),
    ] {
        let response = ask(&house, "GET", "/ws/", &format!("{stream}{headers}")).await;
        assert_eq!((response.status, allowed(&response)), (status, (None, None)), "{headers}");
    }
}
