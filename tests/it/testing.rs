//! What tests are written with: single inputs and outputs, HTTP, a live server, and a clock that stands still.

use std::time::Duration;

use channels::{
    ChannelNameRouter, Protocol,
    actix_web::{
        HttpRequest, HttpResponse,
        http::{Method, StatusCode},
        web,
    },
    prelude::*,
    testing::{ApplicationCommunicator, HttpCommunicator, Input, LiveServer, Output, TestError, WebsocketCommunicator},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::client_async;

use crate::support::within;

/// Does what its client says.
#[derive(Default)]
struct Obedient {
    group: Option<String>,
}

#[derive(Clone)]
struct Member(&'static str);

#[consumer]
impl Consumer for Obedient {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if cx.scope().path() == "/undecided/" {
            std::future::pending::<()>().await;
        }
        if cx.scope().path() == "/refused/" {
            return Err(Deny::new(StatusCode::PAYMENT_REQUIRED).header(("X-Price", "7")).body("pay first").into());
        }
        cx.accept_with(Accept::new().subprotocol("chat").header(("X-Node", "1")))?;
        if let Some(Member(name)) = cx.scope().extensions().get() {
            cx.send(*name)?;
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        match &*text {
            "close" => cx.close(4007, "as you wish"),
            "fail" => return Err(channels::Error::msg("as you wish")),
            _ => cx.send(text)?,
        }
        Ok(())
    }

    #[handler]
    async fn shout(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        self.group = event.get("group");
        cx.send(event.get::<String>("text").unwrap_or_default().to_uppercase())?;
        Ok(())
    }
}

fn client(path: &str) -> WebsocketCommunicator {
    WebsocketCommunicator::new(Obedient::default, path)
}

#[channels::test]
async fn an_application_is_driven_by_single_inputs_and_outputs() {
    let mut app = ApplicationCommunicator::new(Obedient::default, Scope::websocket("/"));
    let Output::Answer(answer) = app.receive_output().await.unwrap() else { panic!("the answer comes first") };
    assert!(answer.accepted);
    assert_eq!(answer.subprotocol.as_deref(), Some("chat"));
    assert_eq!(answer.headers.get("X-Node"), Some("1"));

    app.send_input("hello").await.unwrap();
    assert!(matches!(app.receive_output().await.unwrap(), Output::Message(message) if message == "hello".into()));
    app.send_input(Input::event(event!({"type": "shout", "text": "hi"})).unwrap()).await.unwrap();
    assert!(matches!(app.receive_output().await.unwrap(), Output::Message(message) if message == "HI".into()));
    assert!(app.receive_nothing().await);

    app.send_input("close").await.unwrap();
    let Output::Close(close) = app.receive_output().await.unwrap() else { panic!("it closes") };
    assert_eq!(close.to_string(), "4007 (as you wish)");
    assert!(matches!(app.receive_output().await, Err(TestError::Closed(_))));
    app.wait().await.unwrap();
    app.wait().await.unwrap();
}

#[channels::test]
async fn a_workers_consumer_is_driven_without_a_layer() {
    #[derive(Default)]
    struct Job;

    #[consumer]
    impl Consumer for Job {
        #[handler("job.run")]
        async fn run(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
            assert_eq!(cx.scope().path(), "jobs");
            Err(channels::Error::msg("the job is too hard"))
        }
    }

    let router = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", Job::default)]).unwrap());
    let mut app = ApplicationCommunicator::new(router.clone(), Scope::new(Protocol::Channel, "jobs"));
    assert!(app.receive_nothing().await, "a worker has no handshake to answer");
    app.send_input(Input::event(event!({"type": "job.run"})).unwrap()).await.unwrap();
    assert!(matches!(app.receive_output().await.unwrap(), Output::Close(close) if close.code.get() == 1011));
    app.stop().await.unwrap();

    let mut app = ApplicationCommunicator::new(router, Scope::new(Protocol::Channel, "mail"));
    let error = app.receive_output().await.unwrap_err();
    assert_eq!(error.to_string(), "no application for channel `mail` (tried: channel jobs)");
    assert!(matches!(app.send_input("hello").await, Err(TestError::NotConnected)));
}

#[channels::test]
async fn a_refusal_is_told_with_status_headers_and_body() {
    let mut client = client("/refused/");
    let answer = client.connect().await.unwrap();
    assert_eq!((answer.accepted, answer.status), (false, StatusCode::PAYMENT_REQUIRED));
    assert_eq!(answer.headers.get("X-Price"), Some("7"));
    assert_eq!(answer.body, "pay first");
    assert!(client.receive_nothing().await);
    let error = client.receive_json_from::<u32>().await.unwrap_err();
    assert_eq!(error.to_string(), "the handshake was refused with 402 Payment Required");
    client.disconnect(1000).await.unwrap();
}

#[channels::test]
async fn a_scope_is_set_before_the_application_starts() {
    let mut client = client("/");
    client.scope_mut().extensions_mut().insert(Member("ann"));
    client.connect().await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "ann");
    client.disconnect(1000).await.unwrap();
}

#[channels::test]
#[should_panic(expected = "the scope is set before the application starts")]
async fn a_scope_is_the_consumers_once_it_runs() {
    let mut client = client("/");
    client.connect().await.unwrap();
    client.scope_mut();
}

#[test]
fn a_communicator_without_a_runtime_says_what_to_do() {
    let error = futures_util::FutureExt::now_or_never(client("/").connect()).unwrap().unwrap_err();
    let text = "a communicator needs actix's runtime: `#[channels::test]`, or `channels::run` in a plain test";
    assert_eq!(error.to_string(), text);
}

// Time. The clock stands still in these tests, so the time that they measure is the time that was promised.

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[channels::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let (start, mut silent) = (Instant::now(), client("/").silent().timeout(seconds(60)));
    silent.connect().await.unwrap();
    assert_eq!(silent.closed().await.unwrap().code.get(), 4408);
    assert_eq!(start.elapsed().as_secs(), 50, "20 s to the ping, 30 s for the answer");

    let mut client = client("/");
    client.connect().await.unwrap();
    assert!(client.receive_nothing_within(seconds(3_600)).await);
    client.disconnect(1000).await.unwrap();
}

#[channels::test(start_paused = true)]
async fn a_ping_is_an_output_and_a_pong_an_input() {
    let mut app = ApplicationCommunicator::new(Obedient::default, Scope::websocket("/")).timeout(seconds(60));
    assert!(matches!(app.receive_output().await.unwrap(), Output::Answer(_)));
    for _ in 0..5 {
        assert!(matches!(app.receive_output().await.unwrap(), Output::Ping));
        app.send_input(Input::Pong).await.unwrap();
    }
    assert!(matches!(app.receive_output().await.unwrap(), Output::Ping));
    assert!(matches!(app.receive_output().await.unwrap(), Output::Close(close) if close.code.get() == 4408));
}

#[channels::test(start_paused = true)]
async fn a_connection_closes_at_the_end_of_its_lifetime() {
    let config = Config { max_lifetime: Some(seconds(3_600)), ..Config::default() };
    let (start, mut client) = (Instant::now(), client("/").config(config).timeout(seconds(7_200)));
    client.connect().await.unwrap();
    assert_eq!(client.closed().await.unwrap().code.get(), 4000);
    assert_eq!(start.elapsed().as_secs(), 3_600);
}

#[channels::test(start_paused = true)]
async fn a_handshake_that_is_not_decided_in_time_is_refused_with_503() {
    let (start, mut client) = (Instant::now(), client("/undecided/").timeout(seconds(10)));
    let answer = client.connect().await.unwrap();
    assert_eq!((answer.accepted, answer.status), (false, StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(answer.body, "the application did not answer in time");
    assert_eq!(start.elapsed().as_secs(), 5);
    client.disconnect(1000).await.unwrap();
}

// test_testing: http_communicator
#[channels::test]
async fn a_request_is_answered_without_a_port() {
    let app = ProtocolTypeRouter::new()
        .http(|cfg| {
            cfg.route(
                "/echo/",
                web::put().to(async |request: HttpRequest, body: web::Bytes| {
                    let kind = request.headers().get("X-Kind").cloned().unwrap();
                    let query = request.query_string().to_owned();
                    HttpResponse::Created().insert_header(("X-Kind", kind)).body([query.as_bytes(), &body].concat())
                }),
            );
            cfg.route(
                "/sum/",
                web::post().to(async |web::Json(numbers): web::Json<Vec<u32>>| {
                    HttpResponse::Ok().json(numbers.iter().sum::<u32>())
                }),
            );
            cfg.route("/never/", web::get().to(std::future::pending::<HttpResponse>));
        })
        .websocket(URLRouter::new([path("ws/", Obedient::default)]).unwrap());

    let request = HttpCommunicator::new(app.clone(), Method::PUT, "/echo/?a=b");
    let response = request.header(("X-Kind", "test")).body(" body").get_response().await.unwrap();
    assert_eq!((response.status, response.text().unwrap()), (StatusCode::CREATED, "a=b body"));
    assert_eq!(response.headers.get("X-Kind"), Some("test"));
    let error = response.json::<u32>().unwrap_err();
    assert_eq!(error.to_string(), "the text `a=b body` does not fit");

    let sum = HttpCommunicator::new(app.clone(), Method::POST, "/sum/").json(&[1, 2, 3]).get_response().await.unwrap();
    assert_eq!(sum.json::<u32>().unwrap(), 6);

    let get = |path: &str| HttpCommunicator::new(app.clone(), Method::GET, path);
    assert_eq!(get("/ws/").get_response().await.unwrap().status, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(get("/nowhere/").get_response().await.unwrap().status, StatusCode::NOT_FOUND);
    let error = get("/never/").timeout(Duration::from_millis(10)).get_response().await.unwrap_err();
    assert_eq!(error.to_string(), "nothing came within 10ms");

    let ready = HttpCommunicator::new(Server::new(app).readiness("/readyz"), Method::GET, "/readyz");
    assert_eq!(ready.get_response().await.unwrap().status, StatusCode::OK);
}

// ChannelsLiveServerTestCase
#[tokio::test]
async fn a_live_server_takes_real_clients_until_it_is_stopped() {
    #[derive(Default)]
    struct Idle;

    #[consumer]
    impl Consumer for Idle {}

    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", Idle::default)]).unwrap());
    let live = LiveServer::start(app.clone()).unwrap();
    assert_eq!(live.url("/x"), format!("http://{}/x", live.address()));
    let stream = TcpStream::connect(live.address()).await.unwrap();
    let (mut socket, _) = within(client_async(live.ws_url("/ws/"), stream)).await.unwrap();
    let closed = async move {
        use futures_util::StreamExt;
        while within(socket.next()).await.is_some() {}
    };
    let (stopped, ()) = tokio::join!(within(live.stop()), closed);
    stopped.unwrap();

    let live = LiveServer::start(app).unwrap();
    let address = live.address();
    drop(live);
    within(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_live_server_with_wrong_wiring_does_not_start() {
    #[derive(Default)]
    struct Elsewhere;

    #[consumer]
    impl Consumer for Elsewhere {
        const LAYER: &'static str = "elsewhere";
    }

    let app = ProtocolTypeRouter::new().websocket(Elsewhere::default);
    let error = LiveServer::start(app).err().unwrap();
    assert!(matches!(error, channels::ConfigError::Layer { .. }), "{error}");
}
