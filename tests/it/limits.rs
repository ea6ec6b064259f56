//! How many may connect, and how much they may say before they have.

use channels::{Config, InMemoryChannelLayer, Layer, path, prelude::*};

use crate::{
    logs,
    puppet::Strings,
    raw::{Raw, Response, handshake},
    support::{Served, serve, within},
};

fn layer() -> Layer {
    Layer::new(InMemoryChannelLayer::default())
}

/// A server with one worker thread, whose consumers wait where their path says so.
fn limited(strings: &Strings, config: Config) -> Served {
    serve(strings.server(&layer()).config(config).workers(1))
}

async fn ask(server: &Served, path: &str, headers: &str) -> (Raw, Response) {
    let mut client = Raw::connect(server.address).await;
    client.write(handshake(path, headers)).await;
    let response = client.response().await;
    (client, response)
}

#[tokio::test]
async fn a_thread_holds_so_many_connections_and_takes_the_next_when_one_has_gone() {
    let mut strings = Strings::new();
    let server = limited(&strings, Config { max_connections: 2, ..Config::default() });
    let first = Raw::open(server.address, "/?name=first").await;
    let _second = Raw::open(server.address, "/").await;
    let (_, refused) = ask(&server, "/", "").await;
    assert_eq!((refused.status, refused.body.as_str()), (503, "the server is full"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(first);
    while strings.told().await != "first dropped" {}
    Raw::open(server.address, "/").await;
}

#[tokio::test]
async fn so_many_handshakes_wait_for_their_consumers_at_once() {
    let mut strings = Strings::new();
    let server = limited(&strings, Config { max_handshakes: 1, ..Config::default() });
    let _open = Raw::open(server.address, "/?name=open").await;
    let mut waits = Raw::connect(server.address).await;
    waits.write(handshake("/wait?name=slow", "")).await;
    while strings.told().await != "slow waits" {}
    assert_eq!(ask(&server, "/", "").await.1.status, 503);
    strings.open();
    assert_eq!(waits.response().await.status, 101);
    Raw::open(server.address, "/").await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_on_all_threads() {
    let mut strings = Strings::new();
    let config = Config { max_connections_per_address: Some(2), ..Config::default() };
    let server = serve(strings.server(&layer()).config(config).workers(2));
    let first = Raw::open(server.address, "/?name=first").await;
    let _second = Raw::open(server.address, "/").await;
    let (_, refused) = ask(&server, "/", "").await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "your address has 2 connections already"));
    drop(first);
    while strings.told().await != "first dropped" {}
    // Another thread may be about to count it out.
    within(async { while ask(&server, "/", "").await.1.status == 429 {} }).await;
}

#[tokio::test]
async fn a_handshake_has_so_many_bytes_of_header_fields() {
    let strings = Strings::new();
    let server = limited(&strings, Config { max_header_size: 1_000, ..Config::default() });
    let (_, refused) = ask(&server, "/", &format!("Cookie: {}\r\n", "c".repeat(1_000))).await;
    assert_eq!((refused.status, refused.body.as_str()), (431, "the header fields are over 1000 bytes"));
    let (_, accepted) = ask(&server, "/", &format!("Cookie: {}\r\n", "c".repeat(500))).await;
    assert_eq!(accepted.status, 101);
}

struct Open;

#[consumer]
impl Consumer for Open {}

#[tokio::test]
async fn a_route_has_limits_of_its_own() {
    let routes = URLRouter::new([
        path("wide/", || Open),
        path("closed/", || Open).config(|config| config.max_connections = 0),
        path("terse/", || Open).config(|config| config.max_header_size = 10),
    ]);
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())));
    assert_eq!(ask(&server, "/wide/", "").await.1.status, 101);
    assert_eq!(ask(&server, "/closed/", "").await.1.status, 503);
    assert_eq!(ask(&server, "/terse/", "").await.1.status, 431);
}

/// Fails when it is spoken to.
struct Touchy;

#[consumer]
impl Consumer for Touchy {
    async fn receive(&mut self, _: &mut Context, _: Text) -> Result<()> {
        Err(channels::Error::msg("not like this"))
    }
}

#[tokio::test]
async fn what_is_logged_while_a_consumer_runs_tells_whose_it_is() {
    logs::keep();
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(|| Touchy)));
    server.connect("/spanned/").await.send("hello").await;
    let line = logs::wait_for(&["ERROR", "not like this", "connection: path=/spanned/"]).await;
    for part in [" consumer=it::limits::Touchy", " client=127.0.0.1:", " channel=specific."] {
        assert!(line.contains(part), "{part} in {line}");
    }
}
