//! How many may connect, and how much they may say before they have.

use channels::{Compression, Config, InMemoryChannelLayer, Layer, SlowClient, path, prelude::*};
use flate2::{Compress, FlushCompress};

use crate::{
    gate::Gate,
    logs,
    puppet::Strings,
    raw::{BINARY, CLOSE, CONTINUATION, FIN, Raw, Response, TEXT, frame, handshake},
    support::{Served, serve, serve_bound, within},
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
    let server = strings.server(&layer()).config(Config { max_connections: 2, ..Config::default() }).workers(1);
    let stats = server.stats();
    let server = serve(server);
    let first = Raw::open(server.address, "/?name=first").await;
    let _second = Raw::open(server.address, "/").await;
    let (_, refused) = ask(&server, "/", "").await;
    assert_eq!((refused.status, refused.body.as_str()), (503, "the server is full"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(stats.total().await.opened, 2);
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
async fn what_a_thread_holds_is_the_same_on_all_addresses() {
    let strings = Strings::new();
    let config = Config { max_connections: 2, ..Config::default() };
    let server = strings.server(&layer()).config(config).workers(1).bind("127.0.0.1:0").unwrap();
    let server = server.bind("127.0.0.1:0").unwrap();
    let addresses: Vec<_> = server.addresses().to_vec();
    let _served = serve_bound(server);
    let _open = [Raw::open(addresses[0], "/").await, Raw::open(addresses[1], "/").await];
    for address in addresses {
        let mut client = Raw::connect(address).await;
        client.write(handshake("/", "")).await;
        assert_eq!(client.response().await.status, 503);
    }
}

#[tokio::test]
async fn a_handshake_is_in_flight_while_it_is_in_middleware() {
    let (gate, mut told) = Gate::new(0);
    let routes =
        URLRouter::new([path("one/", || Open), path("two/", || Open).config(|config| config.max_handshakes = 2)]);
    let app = gate.clone().wrap(routes.unwrap());
    let config = Config { max_handshakes: 1, ..Config::default() };
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(app)).config(config).workers(1));
    let mut waiting = Vec::new();
    for path in ["/one/", "/two/"] {
        let mut client = Raw::connect(server.address).await;
        client.write(handshake(path, "")).await;
        within(told.recv()).await.unwrap();
        waiting.push(client);
    }
    for path in ["/one/", "/two/"] {
        assert_eq!(ask(&server, path, "").await.1.status, 503);
    }
    gate.open(2);
    for client in &mut waiting {
        assert_eq!(client.response().await.status, 101);
    }
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
async fn a_handshake_has_so_many_bytes_of_path_query_and_header_fields() {
    let strings = Strings::new();
    let server = limited(&strings, Config { max_header_size: 1_000, ..Config::default() });
    for (length, status) in [(500, 101), (1_000, 431)] {
        let long = "x".repeat(length);
        for (query, headers) in [("", format!("Cookie: {long}\r\n")), (&*long, String::new())] {
            let (_, answer) = ask(&server, &format!("/?{query}"), &headers).await;
            assert_eq!(answer.status, status, "{query} {headers}");
            let told = "the path, the query and the header fields are over 1000 bytes";
            assert_eq!(answer.body, if status == 101 { "" } else { told });
        }
    }
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

/// Says how long each message is. One that is a number it takes for so many messages of 8 KiB that are wanted, and closes with
/// the error that it meets.
struct Measure;

#[consumer]
impl Consumer for Measure {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        let Some(wanted) = message.as_text().and_then(|text| text.parse::<usize>().ok()) else {
            return cx.send(format!("{} bytes", message.len()));
        };
        let long = "x".repeat(8 * 1_024);
        for _ in 0..wanted {
            if let Err(error) = cx.send(long.clone()) {
                cx.close(4000, error.to_string());
                break;
            }
        }
        Ok(())
    }
}

/// What comes back for some bytes: a message of at most 100 bytes, or the code and the reason of a close frame.
async fn told(server: &Served, path: &str, offer: &str, bytes: &[u8]) -> String {
    let mut client = Raw::connect_narrow(server.address).await;
    client.write(handshake(path, offer)).await;
    assert_eq!(client.response().await.status, 101, "{path}");
    client.write(bytes).await;
    loop {
        let (first, payload) = client.frame().await.expect("a close frame comes before the end");
        match payload.as_slice() {
            [high, low, reason @ ..] if first == FIN | CLOSE => {
                return format!("{} {}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason));
            }
            payload if payload.len() <= 100 => return String::from_utf8_lossy(payload).into_owned(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_a_client_may_send_and_what_may_wait_for_it_is_a_routes_own_affair() {
    const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let config = Config {
        compression: Some(Compression::default()),
        max_waiting_bytes: 64 * 1_024,
        slow_client: SlowClient::DropNewest,
        ..Config::default()
    };
    let routes = URLRouter::new([
        path("wide/", || Measure),
        path("frame/", || Measure).config(|config| config.max_frame_size = 2_000),
        path("message/", || Measure).config(|config| config.max_message_size = 2_000),
        path("fragments/", || Measure).config(|config| config.max_fragments = 3),
        path("waiting/", || Measure).config(|config| config.max_waiting_bytes = 32 * 1_024),
        path("slow/", || Measure).config(|config| config.slow_client = SlowClient::Close),
    ]);
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).config(config).workers(1));

    let mut deflated = Vec::with_capacity(1_000);
    let mut window = Compress::new(flate2::Compression::best(), false);
    window.compress_vec(&[0; 3_000], &mut deflated, FlushCompress::Sync).expect("deflate has no bad input");
    let deflated = frame(FIN | 0x40 | BINARY, &deflated[..deflated.len() - 4]);
    let halves = [frame(BINARY, [0; 1_500]), frame(FIN | CONTINUATION, [0; 1_500])].concat();
    let fragments = [frame(BINARY, [0]), frame(CONTINUATION, [0]).repeat(2), frame(FIN | CONTINUATION, [0])].concat();
    // More than sockets hold.
    let many = frame(FIN | TEXT, "8192");
    let table = [
        ("frame/", "", &frame(FIN | BINARY, [0; 3_000]), "3000 bytes", "1009 the frame is over 2000 bytes"),
        ("message/", "", &halves, "3000 bytes", "1009 the message is over 2000 bytes"),
        ("message/", DEFLATE, &deflated, "3000 bytes", "1009 the message is over 2000 bytes"),
        ("fragments/", "", &fragments, "4 bytes", "1009 the message has more than 3 fragments"),
        ("waiting/", "", &many, "4000 57568 bytes wait", "4000 24672 bytes wait"),
        ("slow/", "", &many, "4000 57568 bytes wait", "4429 the client reads too slowly"),
    ];
    for (path, offer, bytes, elsewhere, here) in table {
        for (path, wanted) in [("wide/", elsewhere), (path, here)] {
            let told = told(&server, &format!("/{path}"), offer, bytes).await;
            assert!(told.starts_with(wanted), "{path}: {told}, not {wanted}");
        }
    }
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
    for part in [" consumer=it::limits::Touchy", " peer=127.0.0.1:", " channel=specific."] {
        assert!(line.contains(part), "{part} in {line}");
    }
}
