//! Consumers of HTTP requests: the response in whole and in parts, events while it is open, and what the client does.

use std::time::Duration;

use channels::{
    Body, ConfigError, Layer, Layers, WriteError,
    actix_web::{
        HttpResponse,
        http::{Method, StatusCode},
        web::{self, Bytes},
    },
    prelude::*,
    testing::HttpCommunicator,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::support::{Served, serve, within};

#[derive(Serialize, Deserialize, Event)]
#[event("news.flash")]
struct Flash {
    text: String,
    last: bool,
}

/// Tells what becomes of it.
struct Teller(mpsc::UnboundedSender<String>);

/// Says the body again, by the verb in the path.
struct Answering {
    told: Teller,
}

#[consumer]
impl HttpConsumer for Answering {
    async fn handle(&mut self, cx: &mut Context, body: Bytes) -> Result<()> {
        let text = format!("{} {} {}", cx.scope().method(), cx.scope().path(), String::from_utf8_lossy(&body));
        match cx.scope().kwarg("how")? {
            "whole" => cx.send_response(HttpResponse::Created().insert_header(("x-by", "us")).body(text))?,
            "parts" => {
                cx.send_headers(HttpResponse::Ok().content_type("text/plain").finish())?;
                cx.send_body("", true)?;
                for part in text.split_inclusive(' ') {
                    cx.send_body(part.to_owned(), true)?;
                }
                cx.send_body("!", false)?;
                assert_eq!(cx.send_body("late", true), Err(WriteError::Closed));
            }
            "early" => assert_eq!(cx.send_body("too early", true), Err(WriteError::NotAccepted)),
            "deny" => Err(Deny::new(StatusCode::PAYMENT_REQUIRED).body("pay first"))?,
            "fail" => Err(channels::Error::msg("on purpose"))?,
            "wait" => cx.group_add("news").await?,
            "stream" => {
                cx.group_add("news").await?;
                cx.send_headers(HttpResponse::Ok().content_type("text/plain").finish())?;
            }
            other => Err(channels::Error::msg(format!("no way to answer: {other}")))?,
        }
        Ok(())
    }

    #[handler]
    async fn news_flash(&mut self, cx: &mut Context, flash: &Flash) -> Result<()> {
        match cx.scope().kwarg("how")? {
            "wait" => cx.send_response(HttpResponse::Ok().body(flash.text.clone()))?,
            _ if flash.text == "fail" => Err(channels::Error::msg("on purpose"))?,
            _ => cx.send_body(flash.text.clone(), !flash.last)?,
        }
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.told.0.send(close.code.get().to_string());
    }
}

/// Counts the parts of a body as they arrive.
#[derive(Default)]
struct Counting;

#[consumer]
impl HttpConsumer for Counting {
    async fn handle(&mut self, cx: &mut Context, mut body: Body) -> Result<()> {
        let mut bytes = 0;
        while let Some(part) = body.next().await? {
            bytes += part.len();
        }
        cx.send_response(HttpResponse::Ok().body(bytes.to_string()))?;
        Ok(())
    }
}

#[derive(Default)]
struct Adding;

#[consumer]
impl HttpConsumer for Adding {
    async fn handle(&mut self, cx: &mut Context, Json(numbers): Json<Vec<u32>>) -> Result<()> {
        cx.send_response(HttpResponse::Ok().json(numbers.iter().sum::<u32>()))?;
        Ok(())
    }
}

#[derive(Default)]
struct Socket;

#[consumer]
impl Consumer for Socket {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        assert_eq!(cx.send_body("no", true), Err(WriteError::NotHttp));
        Ok(())
    }
}

/// An application, and what its consumers tell.
fn app() -> (ProtocolTypeRouter, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let routes = URLRouter::new([
        path("answer/<how>/", move || Answering { told: Teller(tell.clone()) }),
        path("count/", Counting::default),
        path("add/", Adding::default),
        path("socket/", Socket::default),
    ]);
    let app = ProtocolTypeRouter::new()
        .http(|cfg| {
            cfg.route("/answer/plain/", web::get().to(|| async { HttpResponse::Ok().body("plain actix-web") }));
        })
        .http_consumers(routes.expect("the patterns are sound"))
        .websocket(URLRouter::new([path("ws/", Socket::default), path("ws/count/", Counting::default)]).unwrap());
    (app, told)
}

async fn ask(method: Method, path: &str, body: &'static str) -> (StatusCode, String) {
    let (app, _told) = app();
    let response = HttpCommunicator::new(app, method, path).body(body).get_response().await.expect("it is answered");
    (response.status, response.text().expect("it is text").to_owned())
}

// Channels test_generic_http: async_http_consumer
#[channels::test]
async fn a_request_is_answered_in_whole_or_in_parts() {
    let (app, mut told) = app();
    let whole = HttpCommunicator::new(app, Method::POST, "/answer/whole/?x=1").body("hi").get_response().await.unwrap();
    assert_eq!((whole.status, whole.headers.get("x-by")), (StatusCode::CREATED, Some("us")));
    assert_eq!(whole.text().unwrap(), "POST /answer/whole/ hi");
    assert_eq!(within(told.recv()).await.unwrap(), "1000");

    assert_eq!(ask(Method::PUT, "/answer/parts/", "a b").await, (StatusCode::OK, "PUT /answer/parts/ a b!".to_owned()));
}

#[channels::test]
async fn plain_services_come_first_and_what_nobody_takes_is_not_found() {
    assert_eq!(ask(Method::GET, "/answer/plain/", "").await.1, "plain actix-web");
    assert_eq!(ask(Method::GET, "/nowhere/", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(Method::GET, "/ws/", "").await.0, StatusCode::UPGRADE_REQUIRED);
}

#[channels::test]
async fn an_error_before_the_response_is_the_response() {
    assert_eq!(ask(Method::GET, "/answer/deny/", "").await, (StatusCode::PAYMENT_REQUIRED, "pay first".to_owned()));
    assert_eq!(ask(Method::GET, "/answer/fail/", "").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[channels::test]
async fn a_consumer_on_a_route_of_another_protocol_is_an_error_of_the_server() {
    assert_eq!(ask(Method::GET, "/socket/", "").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    let server = serve(Server::new(app().0));
    let refused = server.handshake(server.url("/ws/count/")).await.err().expect("it is refused");
    assert!(refused.to_string().contains("500"), "{refused}");
}

// Channels test_generic_http: per_scope_consumers
#[channels::test]
async fn each_request_has_a_consumer_of_its_own() {
    #[derive(Default)]
    struct Once(u32);
    #[consumer]
    impl HttpConsumer for Once {
        async fn handle(&mut self, cx: &mut Context, (): ()) -> Result<()> {
            self.0 += 1;
            cx.send_response(HttpResponse::Ok().body(self.0.to_string()))?;
            Ok(())
        }
    }
    let app = ProtocolTypeRouter::new().http_consumers(Once::default);
    for _ in 0..2 {
        let response = HttpCommunicator::new(app.clone(), Method::GET, "/").get_response().await.unwrap();
        assert_eq!(response.text().unwrap(), "1");
    }
}

// Channels test_generic_http: async_http_consumer
#[channels::test]
async fn a_body_is_taken_whole_up_to_a_limit_or_in_parts_without_one() {
    assert_eq!(ask(Method::POST, "/add/", "[1, 2, 3]").await, (StatusCode::OK, "6".to_owned()));
    let (status, why) = ask(Method::POST, "/add/", "[1, -2]").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(why.contains("-2"), "{why}");

    let config = Config { max_message_size: 1_000, ..Config::default() };
    let large = Bytes::from(vec![b'1'; 1_001]);
    let ask = async |path| {
        let server = Server::new(app().0).config(config.clone());
        let response = HttpCommunicator::new(server, Method::POST, path).body(large.clone()).get_response().await;
        let response = response.expect("it is answered");
        (response.status, response.text().unwrap().to_owned())
    };
    assert_eq!(ask("/answer/whole/").await, (StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1000 bytes".to_owned()));
    assert_eq!(ask("/count/").await, (StatusCode::OK, "1001".to_owned()));
}

#[channels::test]
async fn a_request_waits_for_an_event_and_is_answered_with_it() {
    let (app, mut told) = app();
    let layer = Layers::default().get("default").unwrap().clone();
    let polling = HttpCommunicator::new(app, Method::GET, "/answer/wait/").layers(layer.clone()).get_response();
    let sending = tell_who_listens(&layer, [("rain", true)]);
    let (response, ()) = tokio::join!(polling, sending);
    assert_eq!(response.unwrap().text().unwrap(), "rain");
    assert_eq!(within(told.recv()).await.unwrap(), "1000");
    assert_eq!(layer.group_size("news").await.unwrap(), 0);
}

/// Sends these to the group once somebody is in it.
async fn tell_who_listens<const N: usize>(layer: &Layer, flashes: [(&str, bool); N]) {
    within(async {
        while layer.group_size("news").await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (text, last) in flashes {
        layer.group_send("news", Flash { text: text.to_owned(), last }).await.unwrap();
    }
}

#[channels::test]
async fn a_response_that_is_not_begun_in_time_is_503() {
    let config = Config { response_timeout: Duration::from_millis(50), ..Config::default() };
    for how in ["early", "wait"] {
        let (app, mut told) = app();
        let server = Server::new(app).config(config.clone());
        let response =
            HttpCommunicator::new(server, Method::GET, &format!("/answer/{how}/")).get_response().await.unwrap();
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(within(told.recv()).await.unwrap(), "1006");
    }
}

/// A client with a socket of its own, who has asked for this path.
async fn asked(server: &Served, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What arrives up to this text.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let more = within(stream.read_buf(&mut read)).await.unwrap();
        assert!(more > 0, "the connection ended after {:?}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

#[channels::test]
async fn a_response_streams_events_until_the_last_and_its_client_sees_each_at_once() {
    let (app, mut told) = app();
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let server = serve(Server::new(app).layers(layers));
    let mut client = asked(&server, "/answer/stream/").await;
    assert!(read_to(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    tell_who_listens(&layer, [("one", false)]).await;
    assert_eq!(read_to(&mut client, "one\r\n").await, "3\r\none\r\n");
    tell_who_listens(&layer, [("two", true)]).await;
    assert_eq!(read_to(&mut client, "0\r\n\r\n").await, "3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(within(told.recv()).await.unwrap(), "1000");
    // The connection serves the next request.
    client.write_all(b"GET /answer/whole/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(read_to(&mut client, "GET /answer/whole/").await.contains("201 Created"));
    within(server.stop()).await;
}

#[channels::test]
async fn a_client_that_leaves_ends_its_consumer_before_and_within_the_response() {
    for how in ["wait", "stream"] {
        let (app, mut told) = app();
        let layers = Layers::default();
        let layer = layers.get("default").unwrap().clone();
        let server = serve(Server::new(app).layers(layers));
        let client = asked(&server, &format!("/answer/{how}/")).await;
        tell_who_listens(&layer, []).await;
        drop(client);
        assert_eq!(within(told.recv()).await.unwrap(), "1006", "{how}");
        within(server.stop()).await;
    }
}

#[channels::test]
async fn a_response_that_fails_is_broken_off_so_that_its_client_can_tell() {
    let (app, mut told) = app();
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let server = serve(Server::new(app).layers(layers));
    let mut client = asked(&server, "/answer/stream/").await;
    tell_who_listens(&layer, [("one", false)]).await;
    assert!(read_to(&mut client, "one\r\n").await.ends_with("3\r\none\r\n"));
    tell_who_listens(&layer, [("fail", false)]).await;
    let mut rest = Vec::new();
    let _ = within(client.read_to_end(&mut rest)).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(within(told.recv()).await.unwrap(), "1011");
    within(server.stop()).await;
}

#[channels::test]
async fn a_stopping_server_answers_who_waits_with_503() -> Result<(), ConfigError> {
    let (app, mut told) = app();
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let server = serve(Server::new(app).layers(layers));
    let mut client = asked(&server, "/answer/wait/").await;
    tell_who_listens(&layer, []).await;
    let stopped = server.stop();
    assert!(read_to(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 503 "));
    assert_eq!(within(told.recv()).await.unwrap(), "1012");
    within(stopped).await;
    Ok(())
}
