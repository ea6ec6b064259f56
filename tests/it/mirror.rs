//! A consumer that sends back what it gets, for what is about the wire alone.

use channels::{Config, prelude::*};
use tokio::sync::mpsc;

use crate::{
    raw::{CLOSE, FIN, PING, PONG, Raw, frame},
    support::{Served, serve, within},
};

/// Sends back what it gets, and tells how it ended.
struct Mirror(mpsc::UnboundedSender<Close>);

#[consumer]
impl Consumer for Mirror {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.0.send(close.clone());
    }
}

/// A server of mirrors, on one thread.
pub(crate) struct Mirrors {
    pub(crate) server: Served,
    pub(crate) ends: mpsc::UnboundedReceiver<Close>,
}

/// A frame of the server: its first byte, and its payload.
pub(crate) type Frame = (u8, Vec<u8>);

/// What a server must do with some bytes, by the section that says so.
pub(crate) struct Rule {
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) wanted: Wanted,
}

pub(crate) enum Wanted {
    /// These frames, and the connection lives on.
    Frames(Vec<Frame>),
    /// A close frame with this code and reason, and nothing more.
    Close(u16, &'static str),
}

/// Bytes that keep a rule, and what comes back.
pub(crate) fn keeps(section: &'static str, says: &'static str, bytes: impl Into<Vec<u8>>, frames: Vec<Frame>) -> Rule {
    Rule { section, says, bytes: bytes.into(), wanted: Wanted::Frames(frames) }
}

/// Bytes that break a rule, and the code and the reason of the close frame that answers them.
pub(crate) fn breaks(
    section: &'static str,
    says: &'static str,
    bytes: impl Into<Vec<u8>>,
    code: u16,
    reason: &'static str,
) -> Rule {
    Rule { section, says, bytes: bytes.into(), wanted: Wanted::Close(code, reason) }
}

impl Mirrors {
    pub(crate) fn new(config: Config) -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        let app = ProtocolTypeRouter::new().websocket(move || Mirror(ended.clone()));
        Self { server: serve(Server::new(app).config(config).workers(1)), ends }
    }

    /// A connection that was accepted with this answer for `Sec-WebSocket-Extensions`, for this offer.
    pub(crate) async fn agree(&self, offer: &str, answer: Option<&str>) -> Raw {
        let mut client = Raw::connect(self.server.address).await;
        client.write(crate::raw::handshake("/", &format!("Sec-WebSocket-Extensions: {offer}\r\n"))).await;
        let response = client.response().await;
        assert_eq!((response.status, response.header("Sec-WebSocket-Extensions")), (101, answer), "{offer}");
        client
    }

    pub(crate) async fn open(&self) -> Raw {
        Raw::open(self.server.address, "/").await
    }

    /// Expects of each rule what it wants, each on a connection of its own.
    pub(crate) async fn hold(&mut self, rules: impl IntoIterator<Item = Rule>) {
        for rule in rules {
            let client = self.open().await;
            self.holds(client, rule).await;
        }
    }

    /// Expects it on this connection.
    pub(crate) async fn holds(&mut self, mut client: Raw, rule: Rule) {
        let Rule { section, says, bytes, wanted } = rule;
        client.write(&bytes).await;
        match wanted {
            Wanted::Frames(frames) => {
                for wanted in frames {
                    let got = client.frame().await;
                    assert!(got.as_ref() == Some(&wanted), "{section}, {says}: {got:?}, not {wanted:?}");
                }
                client.write(frame(FIN | PING, "lives")).await;
                assert_eq!(client.frame().await, Some((FIN | PONG, b"lives".to_vec())), "{section}, {says}");
                client.write(frame(FIN | CLOSE, [])).await;
                assert_eq!(client.frame().await, Some((FIN | CLOSE, Vec::new())), "{section}, {says}");
                within(self.ends.recv()).await.expect("the server keeps a sender");
            }
            Wanted::Close(code, reason) => {
                let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
                let got = client.frame().await;
                assert!(
                    got.as_ref() == Some(&(FIN | CLOSE, payload)),
                    "{section}, {says}: {got:?}, not {code} ({reason})"
                );
                drop(client);
                let close = within(self.ends.recv()).await.expect("the server keeps a sender");
                assert_eq!((close.code.get(), &*close.reason), (code, reason), "{section}, {says}");
            }
        }
    }
}
