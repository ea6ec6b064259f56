//! A consumer that does what it is told, and tells what becomes of it.

use std::sync::{Arc, Mutex, Once, PoisonError};

use channels::{ClosedBy, Layer, actix_web::http::StatusCode, prelude::*};
use tokio::sync::{Semaphore, mpsc};

use crate::support::within;

/// The test's end: what the puppets tell, and the gate at which they wait.
pub(crate) struct Strings {
    told: mpsc::UnboundedReceiver<String>,
    tell: mpsc::UnboundedSender<String>,
    gate: Arc<Semaphore>,
}

/// Joins the groups `class`, by its type, and `room`, in `connect`. Then it does what the path says, and later what texts
/// and events (`puppet.do`) say; see [`Puppet::act`]. What it tells starts with the `name` in the query.
pub(crate) struct Puppet {
    name: String,
    tell: mpsc::UnboundedSender<String>,
    gate: Arc<Semaphore>,
    last: String,
}

impl Strings {
    pub(crate) fn new() -> Self {
        quiet_panics();
        let (tell, told) = mpsc::unbounded_channel();
        Self { told, tell, gate: Arc::new(Semaphore::new(0)) }
    }

    /// A server with a puppet for each connection, on whatever path, and this layer.
    pub(crate) fn server(&self, layer: &Layer) -> Server {
        let (tell, gate) = (self.tell.clone(), self.gate.clone());
        let puppet =
            move || Puppet { name: String::new(), tell: tell.clone(), gate: gate.clone(), last: String::new() };
        Server::new(ProtocolTypeRouter::new().websocket(puppet)).layers(layer.clone())
    }

    /// The next thing that a puppet tells.
    pub(crate) async fn told(&mut self) -> String {
        within(self.told.recv()).await.expect("a sender is kept")
    }

    /// The next thing that is told already.
    pub(crate) fn told_already(&mut self) -> Option<String> {
        self.told.try_recv().ok()
    }

    /// All that one puppet tells until it is gone.
    pub(crate) async fn told_to_the_end(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.told().await {
                last if last.ends_with("dropped") => return all,
                told => all.push(told),
            }
        }
    }

    /// Lets one who waits go on.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }
}

impl Puppet {
    fn tell(&self, what: impl std::fmt::Display) {
        let _ = self.tell.send(format!("{} {what}", self.name).trim_start().to_owned());
    }

    async fn wait(&self) -> Result<()> {
        self.tell("waits");
        self.gate.acquire().await?.forget();
        Ok(())
    }

    async fn act(&mut self, cx: &mut Context, what: &str) -> Result<()> {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        match verb {
            "" => {}
            "accept" => cx.accept()?,
            "accept-twice" => {
                cx.accept()?;
                let Err(error) = cx.accept() else { return Ok(()) };
                self.tell(error);
            }
            "say" => cx.send(rest)?,
            "say-long" => cx.send("x".repeat(rest.parse()?))?,
            "say-early" => {
                let Err(error) = cx.send("too early") else { return Ok(()) };
                self.tell(error);
            }
            "wait" => self.wait().await?,
            "wait-forever" => {
                self.tell("waits forever");
                std::future::pending().await
            }
            "wait-and-say" => {
                self.wait().await?;
                let Err(error) = cx.send(rest) else { return Ok(()) };
                self.tell(error);
            }
            "accept-and-wait" => {
                cx.accept()?;
                cx.send("welcome")?;
                self.wait().await?;
            }
            "say-and-wait" => {
                cx.send(rest)?;
                self.wait().await?;
            }
            "accept-close" => {
                cx.accept()?;
                cx.close(4001, "just looking");
            }
            "error" => Err(channels::Error::msg("on purpose"))?,
            "panic" => panic!("on purpose"),
            "panic-aloud" => panic!("on the record"),
            "close" => cx.close(4007, "no such room"),
            "close-with" => cx.close(rest.parse::<u16>()?, ""),
            "stop" => cx.stop(),
            "wait-and-deny" => {
                self.wait().await?;
                Err(Deny::new(StatusCode::UNAUTHORIZED))?;
            }
            "deny" => {
                Err(Deny::new(StatusCode::UNAUTHORIZED).header(("WWW-Authenticate", "Bearer")).body("log in first"))?
            }
            "at-the-end" => self.last = rest.to_owned(),
            other => panic!("a puppet does not know `{other}`"),
        }
        Ok(())
    }
}

#[consumer]
impl Consumer for Puppet {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["class".to_owned()]
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.name = cx.scope().query("name").unwrap_or_default();
        cx.group_add("room").await?;
        self.tell("connect");
        let what = cx.scope().path().trim_matches('/').to_owned();
        self.act(cx, &what).await
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        self.tell(format_args!("receive {text}"));
        self.act(cx, &text).await?;
        self.tell(format_args!("did {text}"));
        Ok(())
    }

    #[handler]
    async fn puppet_do(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        let what: String = event.get("what").unwrap_or_default();
        self.tell(format_args!("event {what}"));
        self.act(cx, &what).await?;
        self.tell(format_args!("did {what}"));
        Ok(())
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        let by = match close.by {
            ClosedBy::Client => "client",
            _ => "server",
        };
        let groups: Vec<_> = cx.groups().iter().map(|group| group.as_str()).collect();
        self.tell(format_args!("disconnect {close} by {by} in {}", groups.join(", ")));
        let last = std::mem::take(&mut self.last);
        if let Err(error) = self.act(cx, &last).await {
            self.tell(error);
        }
        if !last.is_empty() {
            self.tell(format_args!("did {last}"));
        }
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.tell("dropped");
    }
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics `on purpose` are not printed; those in other files than these are kept.
pub(crate) fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() == Some("on purpose") {
                return;
            }
            if panic.location().is_some_and(|place| !place.file().starts_with("tests/it/")) {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
            }
            hook(panic);
        }));
    });
}

/// The panics that were kept, of this test or of one that ran beside it.
pub(crate) fn panics() -> Vec<String> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
