//! A server is the same one on every kind of socket: WebSockets, groups, plain HTTP, limits, the end.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use channels::{Config, ConfigError, InMemoryChannelLayer, Layer, actix_web::web, prelude::*, server::TrustedProxies};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message as Frame, client::IntoClientRequest},
};

use crate::{
    puppet::Strings,
    raw::{FIN, PING, TEXT, frame, handshake},
    support::{Served, Socket, serve_bound, within},
};

/// Says what it is told to everybody, and of itself what the path asks for.
#[derive(Default)]
pub(crate) struct Room;

#[derive(Serialize, Deserialize, Event)]
#[event("room.said")]
struct Said(String);

#[consumer]
impl Consumer for Room {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        cx.accept()?;
        let scope = cx.scope();
        let scheme = scope.scheme();
        cx.send(format!("{scheme} {} {}", address(scope.client()), address(scope.server())))
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.group_send("room", Said(text.to_string())).await?;
        Ok(())
    }

    #[handler]
    fn said(event: &Said) -> Result<Message> {
        Ok(event.0.clone().into())
    }
}

fn address(address: Option<SocketAddr>) -> &'static str {
    if address.is_some() { "somewhere" } else { "nowhere" }
}

pub(crate) fn room() -> Server {
    let hello = |config: &mut web::ServiceConfig| {
        config.route("/hello", web::get().to(|| async { "hello" }));
    };
    Server::new(ProtocolTypeRouter::new().http(hello).websocket(Room::default))
}

/// A path for a socket, in a directory of its own that goes with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let number = fastrand::u64(..);
        let directory = std::env::temp_dir().join(format!("channels-{}-{number:x}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("server.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn connect(path: &PathBuf) -> Socket<UnixStream> {
    let stream = UnixStream::connect(path).await.unwrap();
    Socket(within(client_async("ws://localhost/ws/", stream)).await.unwrap().0)
}

#[tokio::test]
async fn a_room_has_members_on_every_socket_of_a_server_and_a_stop_tells_them_all() {
    let place = Place::new();
    let server = room().bind("127.0.0.1:0").unwrap().bind("127.0.0.1:0").unwrap().bind_uds(place.socket()).unwrap();
    assert_eq!(server.addresses().len(), 2);
    let second = server.addresses()[1];
    let served = serve_bound(server);
    let mut first = served.connect("/").await;
    let stream = TcpStream::connect(second).await.unwrap();
    let mut second = Socket(within(client_async("ws://localhost/", stream)).await.unwrap().0);
    let mut local = connect(&place.socket()).await;
    assert_eq!(first.text().await, "ws somewhere somewhere");
    assert_eq!(second.text().await, "ws somewhere somewhere");
    assert_eq!(local.text().await, "ws nowhere nowhere");

    local.send("from the unix socket").await;
    for text in [first.text().await, second.text().await, local.text().await] {
        assert_eq!(text, "from the unix socket");
    }
    second.send("from the network").await;
    for text in [first.text().await, second.text().await, local.text().await] {
        assert_eq!(text, "from the network");
    }

    let stopped = served.stop();
    assert_eq!(first.closed().await.0, 1012);
    assert_eq!(second.closed().await.0, 1012);
    assert_eq!(local.closed().await.0, 1012);
    stopped.await;
}

#[tokio::test]
async fn a_proxy_at_a_unix_socket_is_believed_if_unix_sockets_are_trusted() {
    for (trusted, seen) in [(false, "ws nowhere nowhere"), (true, "wss somewhere nowhere")] {
        let place = Place::new();
        let networks = TrustedProxies::new(["127.0.0.1", "::/0", "0.0.0.0/0"]).unwrap();
        let proxies = if trusted { networks.unix_sockets() } else { networks };
        let served = serve_bound(room().trusted_proxies(proxies).bind_uds(place.socket()).unwrap());
        let stream = UnixStream::connect(place.socket()).await.unwrap();
        let mut request = "ws://localhost/".into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        request.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
        let mut socket = Socket(within(client_async(request, stream)).await.unwrap().0);
        assert_eq!(socket.text().await, seen);
        drop(socket);
        served.stop().await;
    }
}

#[tokio::test]
async fn plain_http_and_large_messages_go_over_a_unix_socket() {
    let place = Place::new();
    let served = serve_bound(room().bind_uds(place.socket()).unwrap());
    let mut http = UnixStream::connect(place.socket()).await.unwrap();
    http.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(http.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");

    let mut socket = connect(&place.socket()).await;
    socket.text().await;
    let large = "x".repeat(1 << 20);
    socket.send(Frame::text(large.clone())).await;
    assert_eq!(socket.text().await, large);
    socket.0.close(None).await.unwrap();
    assert_eq!(socket.closed().await.0, 1005);
    served.stop().await;
}

/// Here no kernel ends what stalls. RFC 6455, 4.1 forbids to send before the answer.
#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_unix_socket_whenever_it_began_to_send() {
    for early in [false, true] {
        let (place, strings) = (Place::new(), Strings::new());
        let config = Config { stall_timeout: Duration::from_millis(500), ..Config::default() };
        let server = strings.server(&Layer::new(InMemoryChannelLayer::default())).config(config);
        let _served = serve_bound(server.bind_uds(place.socket()).unwrap());
        let mut client = UnixStream::connect(place.socket()).await.unwrap();
        let (asks, says) = (handshake("/", "").into_bytes(), frame(FIN | TEXT, format!("say-long {}", 4 << 20)));
        if early {
            client.write_all(&[asks, says].concat()).await.unwrap();
        } else {
            client.write_all(&asks).await.unwrap();
            client.read_exact(&mut [0; 12]).await.unwrap();
            client.write_all(&says).await.unwrap();
        }
        within(async { while client.write_all(&frame(FIN | PING, "still here")).await.is_ok() {} }).await;
    }
}

#[tokio::test]
async fn the_file_of_a_unix_socket_has_its_mode_and_goes_with_the_server() {
    let place = Place::new();
    let served = serve_bound(room().bind_uds_with_mode(place.socket(), 0o620).unwrap());
    connect(&place.socket()).await.text().await;
    assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o620);
    served.stop().await;
    assert!(!place.socket().exists());
}

#[test]
fn a_socket_file_that_nobody_listens_on_is_replaced_and_any_other_file_is_not() {
    let place = Place::new();
    let refusal = |server: Result<Server, ConfigError>| match server.map(drop) {
        Err(ConfigError::BindUds { path, source }) if path == place.socket() => source.kind(),
        other => panic!("{other:?}"),
    };
    drop(StdUnixListener::bind(place.socket()).unwrap()); // as a server that was killed leaves it
    let first = room().bind_uds(place.socket()).unwrap();
    assert_eq!(refusal(room().bind_uds(place.socket())), std::io::ErrorKind::AddrInUse);
    assert!(place.socket().exists());
    drop(first);
    assert!(!place.socket().exists());

    fs::write(place.socket(), "precious").unwrap();
    assert_eq!(refusal(room().bind_uds(place.socket())), std::io::ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[test]
fn a_server_that_was_replaced_leaves_the_file_of_its_successor() {
    let place = Place::new();
    let old = room().bind_uds(place.socket()).unwrap();
    fs::remove_file(place.socket()).unwrap();
    let new = room().bind_uds(place.socket()).unwrap();
    drop(old);
    assert!(place.socket().exists());
    drop(new);
    assert!(!place.socket().exists());
}

/// What the child runs; nothing when it is run as a test.
#[test]
fn a_process_that_serves_what_it_inherited() {
    if std::env::var_os("CHANNELS_TEST_CHILD").is_none() {
        return;
    }
    let server = room().listen_fds().unwrap();
    println!("serves {} and more", server.addresses()[0]);
    channels::run(server.run()).unwrap();
}

#[tokio::test]
async fn a_process_serves_the_sockets_that_it_inherited() {
    let place = Place::new();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = StdUnixListener::bind(place.socket()).unwrap();
    // The shell puts the sockets where systemd would: at 3 and 4.
    let command = r#"exec 4>&1 3<&0 </dev/null >&2; exec "$0" --exact "$@""#;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .arg(std::env::current_exe().unwrap())
        .args(["listening::a_process_that_serves_what_it_inherited", "--nocapture"])
        .env("CHANNELS_TEST_CHILD", "1")
        .env("LISTEN_FDS", "2")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(tcp)))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(unix)))
        .spawn()
        .unwrap();

    // Both sockets listen already: clients wait until the child has come so far.
    let stream = TcpStream::connect(address).await.unwrap();
    let mut first = Socket(within(client_async("ws://localhost/", stream)).await.unwrap().0);
    let mut second = connect(&place.socket()).await;
    first.text().await;
    second.text().await;
    first.send("hello").await;
    assert_eq!([first.text().await, second.text().await], ["hello", "hello"]);

    let ended = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert_eq!(first.closed().await.0, 1012);
    assert_eq!(second.closed().await.0, 1012);
    let status = within(tokio::task::spawn_blocking(move || child.wait())).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    assert!(place.socket().exists(), "it belongs to whoever made it");
}

#[test]
fn a_process_that_inherited_nothing_is_told_so() {
    // The tests' own process has not been started with `LISTEN_FDS`.
    match room().listen_fds().map(drop) {
        Err(error @ ConfigError::Inherited(_)) => {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("LISTEN_FDS"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_has_the_servers_name_if_it_has_one_and_a_handshake_too() {
    for name in [None, Some("parlour")] {
        let server = room().bind("127.0.0.1:0").unwrap();
        let served = serve_bound(match name {
            Some(name) => server.server_name(name),
            None => server,
        });
        let (_, response) = served.handshake(served.url("/")).await.unwrap();
        let said = response.headers().get("server").map(|name| name.to_str().unwrap());
        assert_eq!(said, name);
        let head = get(&served, "/hello").await;
        assert_eq!(head.contains("\r\nserver: parlour\r\n"), name.is_some(), "{head}");
        served.stop().await;
    }
}

/// The head of the answer to a request.
async fn get(served: &Served, path: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(served.address).await.unwrap());
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(within(stream.read_line(&mut head)).await.unwrap() > 0);
    }
    head.to_ascii_lowercase()
}

#[test]
fn an_address_that_is_none_is_named() {
    let text = |error: Option<ConfigError>| error.unwrap().to_string();
    assert_eq!(text(room().bind("127.0.0.1").err()), r#"cannot find the address "127.0.0.1" to listen on"#);
    assert_eq!(text(room().bind(("\0", 1)).err()), r#"cannot find the address ("\0", 1) to listen on"#);
}
