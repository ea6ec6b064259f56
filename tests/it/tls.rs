//! Over TLS a server is the same one, and HTTP/2 for what is plain HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use channels::{
    prelude::*,
    server::{TlsError, tls_from_pem},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::client_async;

use crate::{
    listening::room,
    support::{Served, Socket, serve_bound, within},
};

/// A certificate for `localhost` that only these tests know.
struct Certificate {
    pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    }

    fn server(&self) -> ServerConfig {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .unwrap()
    }

    /// A client that speaks these protocols and trusts the certificate.
    async fn connect(&self, address: SocketAddr, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // The kernel takes little for a client that does not read.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
    }

    async fn socket(&self, address: SocketAddr) -> Socket<TlsStream<TcpStream>> {
        let stream = self.connect(address, &[b"http/1.1"]).await;
        Socket(within(client_async("wss://localhost/ws/", stream)).await.unwrap().0)
    }
}

fn serve(server: Server, certificate: &Certificate) -> Served {
    serve_bound(server.bind_rustls("127.0.0.1:0", certificate.server()).unwrap())
}

#[tokio::test]
async fn a_room_has_members_with_tls_and_without_and_a_stop_tells_them_all() {
    let certificate = Certificate::new();
    let server = room().bind("127.0.0.1:0").unwrap();
    let server = server.bind_rustls("127.0.0.1:0", certificate.server()).unwrap();
    let secure = server.addresses()[1];
    let served = serve_bound(server);
    let mut plain = served.connect("/").await;
    let mut first = certificate.socket(secure).await;
    let mut second = certificate.socket(secure).await;
    assert_eq!(plain.text().await, "ws somewhere somewhere");
    assert_eq!(first.text().await, "wss somewhere somewhere");
    assert_eq!(second.text().await, "wss somewhere somewhere");

    for number in 0..100 {
        first.send(number.to_string()).await;
    }
    for number in 0..100 {
        assert_eq!(plain.text().await, number.to_string());
        assert_eq!(second.text().await, number.to_string());
    }
    let stopped = served.stop();
    assert_eq!(plain.closed().await.0, 1012);
    assert_eq!(second.closed().await.0, 1012);
    drop(first);
    stopped.await;
}

/// Sends as many texts of 16 KiB as the path says.
#[derive(Default)]
struct Filler;

#[consumer]
impl Consumer for Filler {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        for _ in 0..cx.scope().path()[1..].parse::<usize>()? {
            cx.send("x".repeat(16 << 10))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_client_that_reads_late_gets_all_wherever_its_socket_was_full() {
    let certificate = Certificate::new();
    let config = Config { max_waiting_bytes: 64 << 20, ..Config::default() };
    let server = Server::new(ProtocolTypeRouter::new().websocket(Filler::default)).config(config);
    let served = serve(server, &certificate);
    let mut late = Vec::new();
    // TLS holds 64 KiB, so in steps of 48 one ends where the socket took all but what TLS holds.
    for texts in (3..300).step_by(3) {
        let stream = certificate.connect(served.address, &[]).await;
        let url = format!("wss://localhost/{texts}");
        late.push((texts, Socket(within(client_async(url, stream)).await.unwrap().0)));
    }
    for (texts, mut socket) in late {
        for _ in 0..texts {
            assert_eq!(socket.text().await.len(), 16 << 10);
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn plain_http_is_http2_for_a_client_that_can_and_http1_for_one_that_cannot() {
    let certificate = Certificate::new();
    let served = serve(room().server_name("parlour"), &certificate);
    let stream = certificate.connect(served.address, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    // Both are under way at once.
    let answers = ["/hello", "/nowhere"].map(|path| {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).unwrap();
        client.send_request(request, true).unwrap().0
    });
    let [hello, nowhere] = answers;
    let hello = within(hello).await.unwrap();
    assert_eq!(hello.status(), 200);
    assert_eq!(hello.headers()["server"], "parlour");
    let body = within(hello.into_body().data()).await.unwrap().unwrap();
    assert_eq!(&body[..], b"hello");
    assert_eq!(within(nowhere).await.unwrap().status(), 426); // the room is everywhere else
    drop(client);
    within(connection).await.unwrap().unwrap();

    let mut old = certificate.connect(served.address, &[]).await;
    old.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = within(old.read_to_string(&mut answer)).await; // its end without a `close_notify` is an error
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    served.stop().await;
}

#[tokio::test]
async fn a_quiet_client_of_http2_does_not_hold_a_stop_up() {
    let certificate = Certificate::new();
    let served = serve(room(), &certificate);
    let stream = certificate.connect(served.address, &[b"h2"]).await;
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    served.stop().await;
    let _ = within(connection).await.unwrap();
    drop(client);
}

#[tokio::test]
async fn strangers_to_tls_are_dropped_and_harm_nobody() {
    let certificate = Certificate::new();
    let config = Config { handshake_timeout: Duration::from_millis(50), ..Config::default() };
    let served = serve(room().config(config), &certificate);
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut plain = TcpStream::connect(served.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // Not a word of HTTP: an alert of TLS at most.
    let _ = within(plain.read_to_end(&mut said)).await;
    assert!(said.len() < 16, "{said:?}");
    let _ = within(silent.read_to_end(&mut said)).await; // the handshake's deadline ends it
    certificate.socket(served.address).await.text().await;
    served.stop().await;
}

#[test]
fn pem_files_make_a_configuration_and_what_is_wrong_with_them_is_said() {
    let directory = std::env::temp_dir().join(format!("channels-pem-{}-{:x}", std::process::id(), fastrand::u64(..)));
    std::fs::create_dir(&directory).unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let chain = file("chain.pem", &certificate.pem);
    let key = file("key.pem", &certificate.key_pem);
    let strange = file("strange.pem", &other.key_pem);
    let empty = file("empty.pem", "");
    let missing = directory.join("missing.pem");

    assert!(tls_from_pem(&chain, &key).is_ok());
    let error = |chain, key| tls_from_pem(chain, key).unwrap_err();
    assert!(matches!(error(&missing, &key), TlsError::Pem { path, .. } if path == missing));
    assert!(matches!(error(&chain, &missing), TlsError::Pem { path, .. } if path == missing));
    assert!(matches!(error(&empty, &key), TlsError::NoCertificate { path } if path == empty));
    assert!(matches!(error(&chain, &chain), TlsError::NoKey { path } if path == chain));
    let mismatch = error(&chain, &strange);
    assert!(matches!(&mismatch, TlsError::Mismatch { .. }), "{mismatch:?}");
    assert!(mismatch.to_string().contains("strange.pem"), "{mismatch}");
    std::fs::remove_dir_all(&directory).unwrap();
}
