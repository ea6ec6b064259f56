//! On which worker thread a connection is served: those of one room on one thread, so that what is said there stays there.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Config,
    socket::{Socket, Unplugged},
};
use crate::{ProtocolTypeRouter, Scope, routing::Application as _};

/// Bytes of a request that are read to find its path.
const AHEAD: usize = 1024;
/// A client that has not said what it wants for so long is served where it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many more sockets than the emptiest thread one may have and still be given those of its rooms; and an eighth.
const SLACK: usize = 32;

thread_local! {
    /// The sockets of this thread, whichever listener they came by.
    static SOCKETS: Arc<AtomicUsize> = Arc::default();
}

/// The threads that serve one listener.
#[derive(Clone, Default)]
pub(super) struct Threads(Arc<RwLock<Vec<Arc<Thread>>>>);

/// A thread that serves a listener.
pub(super) struct Thread {
    sockets: Arc<AtomicUsize>,
    inbox: mpsc::UnboundedSender<Moved>,
}

/// A socket that another thread has accepted.
pub(super) struct Moved {
    pub(super) socket: Unplugged,
    pub(super) peer: Option<SocketAddr>,
    /// Told, or dropped, when its HTTP is over: the thread that has accepted it counts it until then.
    pub(super) served: oneshot::Sender<()>,
}

/// One socket of a thread, until it is dropped.
pub(super) struct Place(Arc<Thread>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// Adds this thread, and gives what others accept for it.
    pub(super) fn enter(&self) -> (Arc<Thread>, mpsc::UnboundedReceiver<Moved>) {
        let (inbox, arrivals) = mpsc::unbounded_channel();
        let thread = Arc::new(Thread { sockets: SOCKETS.with(Arc::clone), inbox });
        let mut threads = self.0.write().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.inbox.is_closed());
        threads.push(thread.clone());
        (thread, arrivals)
    }

    fn are_several(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() > 1
    }

    /// The thread for this key, by these settings.
    fn home(&self, key: &str, config: &Config) -> Option<Arc<Thread>> {
        let threads = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let sockets: Vec<_> = threads.iter().map(|thread| thread.sockets.load(Ordering::Relaxed)).collect();
        Some(threads[choose(hasher.finish(), &sockets, config)?].clone())
    }
}

impl Thread {
    pub(super) fn place(self: &Arc<Self>) -> Place {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }

    /// Gives it a socket; gives it back when it has ended.
    pub(super) fn give(&self, moved: Moved) -> Result<(), Moved> {
        self.inbox.send(moved).map_err(|refused| refused.0)
    }
}

/// Where the sockets that a thread accepts are served.
pub(super) struct Placement {
    pub(super) app: ProtocolTypeRouter,
    pub(super) root_path: String,
    pub(super) config: Arc<Config>,
    pub(super) threads: Threads,
    pub(super) here: Arc<Thread>,
}

impl Placement {
    /// The thread for this socket: by the path that it asks for, if that names one of many rooms.
    pub(super) async fn of(&self, socket: &mut Socket) -> Arc<Thread> {
        let home = if self.threads.are_several() { self.home(socket).await } else { None };
        home.unwrap_or_else(|| self.here.clone())
    }

    async fn home(&self, socket: &mut Socket) -> Option<Arc<Thread>> {
        let target = timeout(PATIENCE, target_of(socket)).await.ok()??;
        let mut scope = Scope::websocket(&target).with_root_path(self.root_path.clone());
        if !self.app.serves(&mut scope) || !scope.served.is_room {
            return None;
        }
        self.threads.home(scope.path(), &self.config.changed(&scope.served.config_changes))
    }
}

/// Reads what a request is for, and nothing of it away.
async fn target_of(socket: &mut Socket) -> Option<String> {
    let mut seen = 0;
    loop {
        let ahead = socket.read_ahead(AHEAD).await.ok()?;
        match target(ahead) {
            Some(target) => return Some(target.to_owned()),
            None if ahead.len() == seen || ahead.contains(&b'\n') => return None,
            None => seen = ahead.len(),
        }
    }
}

/// What a request is for, if its first line is all there (RFC 9112, section 3).
fn target(request: &[u8]) -> Option<&str> {
    let mut words = request.split(|byte| *byte == b' ');
    let (_method, target, _version) = (words.next()?, words.next()?, words.next()?);
    str::from_utf8(target).ok()
}

/// The thread of a key among those that have so many sockets: always the same, unless the emptiest has far fewer, or it is
/// full.
fn choose(key: u64, sockets: &[usize], config: &Config) -> Option<usize> {
    let (emptiest, least) = sockets.iter().enumerate().min_by_key(|(_, sockets)| **sockets)?;
    let home = usize::try_from(key % sockets.len() as u64).ok()?;
    let most = least + least / 8 + SLACK.min(config.max_handshakes);
    Some(if sockets[home] < most.min(config.max_connections) { home } else { emptiest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_thread_unless_another_has_far_fewer() {
        let choose = |sockets: &[usize]| choose(7, sockets, &Config::default());
        assert_eq!(choose(&[0, 0, 0]), Some(1));
        assert_eq!(choose(&[9, SLACK - 1, 0]), Some(1), "a few more are no reason");
        assert_eq!(choose(&[9, SLACK, 0]), Some(2));
        assert_eq!(choose(&[800, 899 + SLACK, 950]), Some(1));
        assert_eq!(choose(&[800, 900 + SLACK, 950]), Some(0));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn a_full_thread_is_passed_over() {
        let config = Config { max_connections: 20, ..Config::default() };
        assert_eq!(choose(7, &[15, 19, 18], &config), Some(1));
        assert_eq!(choose(7, &[15, 20, 18], &config), Some(0));
        let config = Config { max_handshakes: 2, ..Config::default() };
        assert_eq!(choose(7, &[1, 2, 0], &config), Some(2), "they may all be handshakes");
    }

    #[test]
    fn a_crowd_in_one_room_is_on_all_threads() {
        let mut sockets = [0; 8];
        for _ in 0..10_000 {
            sockets[choose(5, &sockets, &Config::default()).unwrap()] += 1;
        }
        assert!(sockets.iter().all(|count| (1_200..1_450).contains(count)), "{sockets:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_request_may_come_in_pieces() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let (mut client, server) = actix_rt::net::UnixStream::pair().unwrap();
        let mut socket = Socket::from(server);
        let pieces = async {
            for piece in ["GE", "T /ws", "/a/ HT", "TP/1.1"] {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (target, ()) = tokio::join!(target_of(&mut socket), pieces);
        assert_eq!(target.as_deref(), Some("/ws/a/"));
        drop(client);
        let mut all = String::new();
        socket.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET /ws/a/ HTTP/1.1");
        assert_eq!(target_of(&mut socket).await, None, "the client has gone");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_request_is_not_waited_for() {
        use tokio::io::AsyncWriteExt as _;

        for nonsense in [b"hello\r\n".to_vec(), vec![b'x'; 2 * AHEAD]] {
            let (mut client, server) = actix_rt::net::UnixStream::pair().unwrap();
            client.write_all(&nonsense).await.unwrap();
            assert_eq!(target_of(&mut Socket::from(server)).await, None);
        }
    }

    #[test]
    fn a_target_is_in_the_first_line() {
        assert_eq!(target(b"GET /ws/a/?b=1 HTTP/1.1\r\nHost: c d\r\n"), Some("/ws/a/?b=1"));
        assert_eq!(target(b"GET /ws/a HTTP"), Some("/ws/a"));
        assert_eq!(target(b"GET /ws/a"), None, "there may be more of it");
        assert_eq!(target(b"GET /\xff HTTP/1.1"), None);
        assert_eq!(target(b"\x16\x03\x01"), None);
    }
}
