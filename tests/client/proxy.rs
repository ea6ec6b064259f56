//! What stands between a page and its server: it lets pass, cuts, or holds back, and does another thing when it is told.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    WebSocket,
    EventStream,
    Other,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Rule {
    Pass,
    /// The connection is closed, without an answer.
    Cut,
    /// The request goes on to the server, and nothing comes back: a proxy that waits for the end of a stream.
    HoldBack,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) websocket: Rule,
    pub(crate) event_stream: Rule,
}

impl Rules {
    pub(crate) const PASS: Self = Self { websocket: Rule::Pass, event_stream: Rule::Pass };

    fn of(self, kind: Kind) -> Rule {
        match kind {
            Kind::WebSocket => self.websocket,
            Kind::EventStream => self.event_stream,
            Kind::Other => Rule::Pass,
        }
    }
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    rules: watch::Sender<Rules>,
}

impl Proxy {
    /// A proxy before this server, which lets everything pass.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (rules, _) = watch::channel(Rules::PASS);
        let told = rules.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, told.subscribe()));
            }
        });
        Self { address, rules }
    }

    /// From now on, also for what passes already.
    pub(crate) fn set(&self, rules: Rules) {
        self.rules.send_replace(rules);
    }
}

/// One request, and the bytes of its connection until either side closes it, or its rule changes.
async fn serve(mut client: TcpStream, server: SocketAddr, mut rules: watch::Receiver<Rules>) -> Option<()> {
    let (kind, request) = head(&mut client).await?;
    let rule = rules.borrow().of(kind);
    if rule == Rule::Cut {
        return None;
    }
    let mut upstream = TcpStream::connect(server).await.ok()?;
    upstream.write_all(&request).await.ok()?;
    let another = rules.wait_for(|rules| rules.of(kind) != rule);
    if rule == Rule::Pass {
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut upstream) => {}
            _ = another => {}
        }
    } else {
        let _ = tokio::time::timeout(Duration::from_secs(60), another).await;
    }
    Some(())
}

/// The head of a request, and what was read behind it. One connection has one request, so that each is seen: the server is
/// asked to close after its answer.
async fn head(client: &mut TcpStream) -> Option<(Kind, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 2;
        }
        if client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    if head.contains("\r\nupgrade: websocket\r\n") {
        return Some((Kind::WebSocket, read));
    }
    let kind = if head.contains("\r\naccept: text/event-stream\r\n") { Kind::EventStream } else { Kind::Other };
    let lines = String::from_utf8_lossy(&read[..end]).into_owned();
    let kept = lines.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request: String = kept.collect();
    request.push_str("Connection: close\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(&read[end..]);
    Some((kind, request))
}
