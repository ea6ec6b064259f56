//! Where sessions live: one thread, and how others reach it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use futures_util::future::LocalBoxFuture;
use subtle::ConstantTimeEq as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Lasting, Reply, ask::Ask, peers::Peers, relay};
use crate::{ChannelName, Close, Layer, LayerError};

/// Requests for one thread's sessions that wait to be looked at; who has one more waits.
const ERRANDS: usize = 1_024;

/// Requests of one thread that wait for the answers of other processes; one more is answered with 503.
const RELAYED: usize = 16_384;

/// A session's id as a client has it: the channel of its home, which of the sessions there it is, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionId {
    pub(super) home: ChannelName,
    pub(super) key: u64,
    pub(super) secret: String,
}

/// Characters of a secret: 244 random bits.
const SECRET: usize = 43;

impl SessionId {
    pub(super) fn new(home: ChannelName, key: u64) -> Self {
        let secret = BASE64.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
        Self { home, key, secret }
    }

    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (home, rest) = id.rsplit_once('~')?;
        let (key, secret) = rest.split_once('.')?;
        let home = ChannelName::new(home.to_owned()).ok().filter(|home| names_a_process(home))?;
        if secret.len() != SECRET {
            return None;
        }
        Some(Self { home, key: u64::from_str_radix(key, 16).ok()?, secret: secret.to_owned() })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{:x}.{}", self.home, self.key, self.secret)
    }
}

/// Whether it is a name that [`Hub::new_channel`](crate::layer::Hub::new_channel) makes: a client must not reach others.
fn names_a_process(channel: &str) -> bool {
    let hexadecimal = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = channel.split_once('!').and_then(|(head, own)| Some((head.rsplit_once('.')?, own)));
    parts.is_some_and(|((head, node), own)| head.ends_with("specific") && hexadecimal(node) && hexadecimal(own))
}

/// Whether it is this secret, in a time that does not tell how much of it is right.
pub(super) fn is_secret(secret: &str, said: &str) -> bool {
    secret.as_bytes().ct_eq(said.as_bytes()).into()
}

/// A request of another thread, and where its answer goes.
pub(super) type Errand = (Ask, oneshot::Sender<Reply>);

/// The homes of a server's threads, by the names of their channels.
#[derive(Clone, Default)]
pub(crate) struct Homes(Arc<Doors>);

#[derive(Default)]
struct Doors {
    threads: Mutex<HashMap<ChannelName, mpsc::Sender<Errand>>>,
    peers: Peers,
    stopping: CancellationToken,
}

impl Homes {
    fn add(&self, channel: ChannelName, door: mpsc::Sender<Errand>) {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).insert(channel, door);
    }

    pub(super) fn door(&self, channel: &ChannelName) -> Option<mpsc::Sender<Errand>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    /// What is known of the homes of other processes.
    pub(super) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// The server stops: what waits here for sessions of other processes is over.
    pub(crate) fn stop(&self) {
        self.0.stopping.cancel();
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }
}

/// The sessions of one thread.
pub(crate) struct Home {
    homes: Homes,
    door: mpsc::Sender<Errand>,
    sessions: RefCell<HashMap<u64, (String, Rc<Lasting>)>>,
    next: Cell<u64>,
    /// How many requests wait for the answers of other processes.
    relayed: Cell<usize>,
    /// Its channel on each layer that is used.
    channels: RefCell<HashMap<String, ChannelName>>,
}

impl Home {
    /// Opens the home of this thread.
    pub(crate) fn open(homes: Homes) -> Rc<Self> {
        let (door, mut errands) = mpsc::channel::<Errand>(ERRANDS);
        let (sessions, next, relayed, channels) = Default::default();
        let home = Rc::new(Self { homes, door, sessions, next, relayed, channels });
        let inside = Rc::downgrade(&home);
        actix_rt::spawn(async move {
            while let Some((ask, mut answer)) = errands.recv().await {
                let Some(home) = inside.upgrade() else { return };
                actix_rt::spawn(async move {
                    let reply = tokio::select! {
                        reply = home.answer(ask) => reply,
                        () = answer.closed() => return,
                    };
                    let _ = answer.send(reply);
                });
            }
        });
        home
    }

    pub(super) fn homes(&self) -> &Homes {
        &self.homes
    }

    /// The channel by which other threads and processes know this home.
    pub(crate) async fn channel(self: &Rc<Self>, alias: &str, layer: &Layer) -> Result<ChannelName, LayerError> {
        if let Some(channel) = self.channels.borrow().get(alias) {
            return Ok(channel.clone());
        }
        let channel = layer.new_channel().await?;
        let mut channels = self.channels.borrow_mut();
        if let Some(first) = channels.get(alias) {
            return Ok(first.clone());
        }
        channels.insert(alias.to_owned(), channel.clone());
        self.homes.add(channel.clone(), self.door.clone());
        if layer.get_ref().is_shared() {
            actix_rt::spawn(relay::listen(Rc::downgrade(self), layer.clone(), channel.clone()));
        }
        Ok(channel)
    }

    /// Counts a request for another process until what is returned is dropped; `None` when there are too many.
    pub(super) fn relaying(&self) -> Option<impl Drop + use<'_>> {
        struct Relaying<'a>(&'a Cell<usize>);
        impl Drop for Relaying<'_> {
            fn drop(&mut self) {
                self.0.update(|count| count - 1);
            }
        }
        if self.relayed.get() >= RELAYED {
            return None;
        }
        self.relayed.update(|count| count + 1);
        Some(Relaying(&self.relayed))
    }

    pub(super) fn is_at(&self, channel: &ChannelName) -> bool {
        self.channels.borrow().values().any(|own| own == channel)
    }

    /// Takes a session in whose consumer has accepted, and lets it live.
    pub(crate) fn take_in(
        self: &Rc<Self>,
        channel: ChannelName,
        session: Rc<Lasting>,
        life: LocalBoxFuture<'static, ()>,
    ) -> SessionId {
        let key = self.next.get();
        self.next.set(key + 1);
        let id = SessionId::new(channel, key);
        self.sessions.borrow_mut().insert(key, (id.secret.clone(), session.clone()));
        let home = self.clone();
        actix_rt::spawn(async move {
            life.await;
            session.port.discount();
            // A client between two requests comes for what was left for it, and again if the answer was lost.
            let _ = timeout(session.carried().patience(&session.port.config), session.told()).await;
            tokio::time::sleep(session.port.config.close_timeout).await;
            home.sessions.borrow_mut().remove(&key);
        });
        id
    }

    /// Ends a session whose client is told so.
    pub(super) fn end(&self, key: u64, close: Close) {
        if let Some((_, session)) = self.sessions.borrow().get(&key) {
            session.port.close(close);
            session.inbox.end();
            session.told.notify_one();
        }
    }

    /// The session that has this key and secret.
    fn find(&self, key: u64, secret: &str) -> Option<Rc<Lasting>> {
        let sessions = self.sessions.borrow();
        let (own, session) = sessions.get(&key)?;
        is_secret(own, secret).then(|| session.clone())
    }

    pub(super) fn has(&self, key: u64, secret: &str) -> bool {
        self.find(key, secret).is_some()
    }

    /// Answers a request for a session of this thread.
    pub(super) async fn answer(&self, ask: Ask) -> Reply {
        match self.find(ask.key, &ask.secret) {
            Some(session) if session.admits(ask.carrier, &ask.asker) => session.fulfil(ask.carrier, ask.wish).await,
            _ => Reply::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "specific.0123456789abcdef0123456789abcdef!0123456789abcdef0123456789abcdef";

    #[test]
    fn an_id_reads_as_it_is_written_and_is_a_token() {
        let id = SessionId::new(ChannelName::new(HOME).unwrap(), 255);
        let text = id.to_string();
        assert!(SessionId::parse(&text) == Some(id.clone()));
        assert_eq!(id.secret.len(), SECRET);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)), "{text}");
    }

    #[test]
    fn an_id_leads_to_no_other_channel() {
        for home in ["thumbnails", "specific.0123456789abcdef0123456789abcdef!1.2.3", "x!y", &HOME[1..]] {
            assert!(SessionId::parse(&format!("{home}~1.{}", "s".repeat(SECRET))).is_none(), "{home}");
        }
        let long = format!("{HOME}~1.{}", "s".repeat(SECRET + 1));
        for id in ["", "~", HOME, &format!("{HOME}~x.y"), &format!("{HOME}~1"), &long] {
            assert!(SessionId::parse(id).is_none(), "{id}");
        }
    }
}
