//! A connection that does what its client's texts say, and tells what it does.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::DEADLINE;
use crate::{Consumer, Context, Dispatch, Envelope, Layer, RawEvent, Result, Text, testing::WebsocketCommunicator};

#[derive(Clone)]
struct Member {
    gate: Arc<Semaphore>,
}

impl Consumer for Member {
    type Input = Text;

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        match text.split_once(' ') {
            Some(("join", group)) => cx.group_add(group).await?,
            Some(("leave", group)) => cx.group_discard(group).await?,
            _ => {
                cx.send("waits")?;
                self.gate.acquire().await?.forget();
            }
        }
        cx.send(format!("did {text}"))?;
        Ok(())
    }

    async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
        if !event.is("numbered") {
            return Ok(Dispatch::Unhandled);
        }
        cx.send(event.decode::<RawEvent>()?["n"].to_string())?;
        Ok(Dispatch::Handled)
    }
}

/// The client of such a connection.
pub(super) struct Client {
    pub(super) channel: String,
    gate: Arc<Semaphore>,
    pub(super) socket: WebsocketCommunicator,
}

impl Client {
    pub(super) async fn new(layer: &Layer) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let member = Member { gate: gate.clone() };
        let mut socket =
            WebsocketCommunicator::new(move || member.clone(), "/").layers(layer.clone()).timeout(DEADLINE);
        assert!(socket.connect().await.expect("it is answered").accepted);
        let channel = socket.receive_text_from().await.expect("it tells its channel");
        Self { channel, gate, socket }
    }

    pub(super) async fn told(&mut self) -> String {
        self.socket.receive_text_from().await.expect("it tells something")
    }

    /// Has it do something to the end.
    pub(super) async fn does(&mut self, what: &str) {
        self.socket.send_to(what).await.expect("it is connected");
        assert_eq!(self.told().await, format!("did {what}"));
    }

    /// Keeps it busy until it is [let go](Self::let_go).
    pub(super) async fn hold(&mut self) {
        self.socket.send_to("wait").await.expect("it is connected");
        assert_eq!(self.told().await, "waits");
    }

    pub(super) async fn let_go(&mut self) {
        self.gate.add_permits(1);
        assert_eq!(self.told().await, "did wait");
    }
}
