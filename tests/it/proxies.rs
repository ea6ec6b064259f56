//! What a proxy says of a client is believed if the proxy is trusted, and else by nobody.

use channels::{
    ConfigError,
    actix_web::{HttpRequest, web},
    prelude::*,
    server::TrustedProxies,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, handshake::client::Request};

use crate::{
    logs,
    support::{Served, serve, within},
};

/// Says who it thinks the client is.
#[derive(Default)]
struct Mirror;

#[consumer]
impl Consumer for Mirror {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        let scope = cx.scope();
        let client = scope.client().map_or("nobody".to_owned(), |client| match client.ip().is_loopback() {
            true => "loopback".to_owned(),
            false => client.to_string(),
        });
        let (scheme, host, root) = (scope.scheme(), scope.host().unwrap_or("-"), scope.root_path());
        cx.send(format!("{client} {scheme} {} {root}", host.split(':').next().unwrap_or_default()))
    }
}

fn mirror() -> Server {
    let peer =
        |request: HttpRequest| async move { request.peer_addr().map_or("nobody".to_owned(), |peer| peer.to_string()) };
    let http = move |config: &mut web::ServiceConfig| {
        config.route("/peer", web::get().to(peer));
    };
    Server::new(ProtocolTypeRouter::new().http(http).websocket(Mirror::default))
}

fn trusting(networks: &[&str]) -> TrustedProxies {
    TrustedProxies::new(networks).unwrap()
}

fn request(served: &Served, headers: &[(&'static str, &str)]) -> Request {
    let mut request = served.url("/").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

async fn seen(served: &Served, headers: &[(&'static str, &str)]) -> String {
    served.handshake(request(served, headers)).await.unwrap().0.text().await
}

// daphne: test_websocket, test_http_request (X-Forwarded-For ignored)
#[tokio::test]
async fn headers_of_an_untrusted_peer_change_nothing() {
    for server in [mirror(), mirror().trusted_proxies(trusting(&["10.0.0.0/8"]).unix_sockets().root_path())] {
        let served = serve(server);
        for headers in [
            &[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")]
                [..],
            &[("forwarded", "for=203.0.113.7;proto=https;host=evil.example")],
            &[("daphne-root-path", "/evil")],
        ] {
            assert_eq!(seen(&served, headers).await, "loopback ws 127.0.0.1 ");
        }
        served.stop().await;
    }
}

// daphne: test_websocket (xff), test_http_request (X-Forwarded-For parsed, without a port)
#[tokio::test]
async fn a_trusted_proxy_names_the_client_the_scheme_and_the_host() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.1"])));
    let headers =
        [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "chat.example")];
    assert_eq!(seen(&served, &headers).await, "203.0.113.7:0 wss chat.example ");
    assert_eq!(seen(&served, &[("x-forwarded-for", "[2001:db8::7]:4711")]).await, "[2001:db8::7]:4711 ws 127.0.0.1 ");
    assert_eq!(seen(&served, &[]).await, "loopback ws 127.0.0.1 ");
    served.stop().await;
}

#[tokio::test]
async fn what_a_client_wrote_before_the_proxy_added_to_it_is_not_believed() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.1", "10.0.0.0/8"])));
    let spoofed = [
        ("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.2"),
        ("x-forwarded-proto", "https, http, http"),
        ("forwarded", "for=198.51.100.1"),
    ];
    assert_eq!(seen(&served, &spoofed).await, "203.0.113.7:0 ws 127.0.0.1 ");
    let lines = [("x-forwarded-for", "garbage"), ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(seen(&served, &lines).await, "203.0.113.7:0 ws 127.0.0.1 ");
    served.stop().await;
}

#[tokio::test]
async fn malformed_headers_of_a_trusted_proxy_change_nothing() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.1", "10.0.0.0/8"])));
    for malformed in ["", "unknown", "203.0.113.7:99999", "203.0.113", "203.0.113.7, ,10.0.0.1", "[::1", "\u{7f}"] {
        let Ok(value) = malformed.parse::<tokio_tungstenite::tungstenite::http::HeaderValue>() else { continue };
        let mut request = request(&served, &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b@c/d")]);
        request.headers_mut().insert("x-forwarded-for", value);
        let text = served.handshake(request).await.unwrap().0.text().await;
        assert_eq!(text, "loopback ws 127.0.0.1 ", "{malformed:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn forwarded_is_read_instead_where_the_proxy_writes_it() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.0/8", "10.0.0.0/8"]).forwarded()));
    let headers = [
        ("forwarded", "for=198.51.100.1;proto=http, For=\"[2001:db8::7]:80\";Proto=https;Host=\"chat.example\""),
        ("forwarded", "for=10.0.0.3;proto=http"),
        ("x-forwarded-for", "198.51.100.9"),
    ];
    assert_eq!(seen(&served, &headers).await, "[2001:db8::7]:80 wss chat.example ");
    for broken in ["for", "for=203.0.113.7;for=203.0.113.8", "for=\"203.0.113.7", "for=_hidden", "for=unknown"] {
        assert_eq!(seen(&served, &[("forwarded", broken)]).await, "loopback ws 127.0.0.1 ", "{broken}");
    }
    served.stop().await;
}

// daphne: test_websocket (smuggled headers)
#[tokio::test]
async fn a_header_with_underscores_is_another_header() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.1"])));
    let smuggled = [("x_forwarded_for", "203.0.113.7"), ("daphne_root_path", "/evil")];
    assert_eq!(seen(&served, &smuggled).await, "loopback ws 127.0.0.1 ");
    served.stop().await;
}

#[tokio::test]
async fn the_limit_for_each_address_and_the_access_log_count_the_client_and_not_the_proxy() {
    logs::keep();
    let config = Config { max_connections_per_address: Some(1), ..Config::default() };
    let served = serve(mirror().config(config).trusted_proxies(trusting(&["127.0.0.1"])));
    let first = [("x-forwarded-for", "203.0.113.7:1")];
    let mut open = served.handshake(request(&served, &first)).await.unwrap().0;
    open.text().await;
    assert!(served.handshake(request(&served, &first)).await.is_err());
    assert_eq!(seen(&served, &[("x-forwarded-for", "203.0.113.8:2")]).await, "203.0.113.8:2 ws 127.0.0.1 ");
    open.0.close(None).await.unwrap();
    open.closed().await;
    served.stop().await;
    logs::wait_for(&["websocket closed", "203.0.113.7:1"]).await;
    logs::wait_for(&["http", "status=429", "203.0.113.7:1"]).await;
}

#[tokio::test]
async fn plain_http_sees_the_client_as_its_peer() {
    let served = serve(mirror().trusted_proxies(trusting(&["127.0.0.1"])));
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "GET /peer HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("203.0.113.7:0"), "{answer}");
    served.stop().await;
}

// daphne: test_websocket, test_http_request (root_path)
#[tokio::test]
async fn the_root_path_is_the_servers_unless_a_trusted_proxy_has_another() {
    let served = serve(mirror().root_path("/app").trusted_proxies(trusting(&["127.0.0.1"])));
    assert_eq!(seen(&served, &[("daphne-root-path", "/evil")]).await, "loopback ws 127.0.0.1 /app");
    served.stop().await;
    let served = serve(mirror().root_path("/app").trusted_proxies(trusting(&["127.0.0.1"]).root_path()));
    let two = [("daphne-root-path", "/evil"), ("daphne-root-path", "/shown")];
    assert_eq!(seen(&served, &two).await, "loopback ws 127.0.0.1 /shown");
    assert_eq!(seen(&served, &[]).await, "loopback ws 127.0.0.1 /app");
    assert_eq!(seen(&served, &[("daphne-root-path", "/caf%C3%A9")]).await, "loopback ws 127.0.0.1 /café");
    assert_eq!(seen(&served, &[("daphne-root-path", "no-slash")]).await, "loopback ws 127.0.0.1 /app");
    served.stop().await;
}

#[tokio::test]
async fn routes_are_below_the_root_path_of_the_server() {
    let routes = URLRouter::new([path("ws/", Mirror::default)]).unwrap();
    let served = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)).root_path("/app"));
    assert!(served.handshake(served.url("/ws/")).await.is_err());
    assert_eq!(served.connect("/app/ws/").await.text().await, "loopback ws 127.0.0.1 /app");
    served.stop().await;
}

#[test]
fn a_network_that_is_none_is_named() {
    for network in ["10.0.0.0/33", "localhost", ""] {
        match TrustedProxies::new([network]) {
            Err(ConfigError::Proxy { network: named }) => assert_eq!(named, network),
            other => panic!("{other:?}"),
        }
    }
}
