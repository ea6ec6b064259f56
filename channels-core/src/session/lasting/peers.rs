//! What is known of other processes and their sessions: a client may name any, and most that a stranger names are nowhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::{
    home::{SessionId, is_secret},
    watch::Watch,
};
use crate::{ChannelName, Layer};

/// Sessions and homes that are remembered, some 200 bytes each. With one more all are forgotten, and asked for once again.
const REMEMBERED: usize = 16_384;
/// Requests that ask at once for homes of which nothing was ever heard; one more is answered with 503. Each leaves two small
/// messages at most in a broker that keeps them, within the 3 s that it waits: some 700 in a second, until they expire.
const STRANGERS: usize = 1_024;

/// What a server knows of others.
pub(super) struct Peers {
    homes: Mutex<HashMap<ChannelName, Peer>>,
    strangers: Arc<Semaphore>,
}

/// A home that has answered.
#[derive(Default)]
struct Peer {
    /// The secrets of the sessions that it has, by their keys.
    sessions: HashMap<u64, String>,
    /// Tells of its end while somebody waits for it.
    watch: Weak<Watch>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { homes: Mutex::default(), strangers: Arc::new(Semaphore::new(STRANGERS)) }
    }
}

impl Peers {
    fn homes(&self) -> MutexGuard<'_, HashMap<ChannelName, Peer>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session was there when its home was asked.
    pub(super) fn know(&self, id: &SessionId) -> bool {
        let homes = self.homes();
        let secret = homes.get(&id.home).and_then(|peer| peer.sessions.get(&id.key));
        secret.is_some_and(|secret| is_secret(secret, &id.secret))
    }

    /// Leave to ask a home for a session, until what is returned is dropped. An error when too many ask for homes that have
    /// never answered.
    pub(super) fn leave_to_ask(&self, home: &ChannelName) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        if self.homes().contains_key(home) {
            return Ok(None);
        }
        self.strangers.clone().try_acquire_owned().map(Some)
    }

    /// The session is there.
    pub(super) fn remember(&self, id: &SessionId) {
        let mut homes = self.homes();
        if homes.values().map(|peer| 1 + peer.sessions.len()).sum::<usize>() >= REMEMBERED {
            homes.clear();
        }
        homes.entry(id.home.clone()).or_default().sessions.insert(id.key, id.secret.clone());
    }

    /// The session is not there.
    pub(super) fn forget(&self, id: &SessionId) {
        if let Some(peer) = self.homes().get_mut(&id.home) {
            peer.sessions.remove(&id.key);
        }
    }

    /// The home does not answer.
    pub(super) fn lose(&self, home: &ChannelName) {
        self.homes().remove(home);
    }

    /// Watches a home that has answered, for as long as somebody keeps what is returned.
    pub(super) fn watch(&self, layer: &Layer, home: &ChannelName) -> Arc<Watch> {
        let mut homes = self.homes();
        let peer = homes.entry(home.clone()).or_default();
        peer.watch.upgrade().unwrap_or_else(|| {
            let watch = Watch::begin(layer.clone(), home.clone());
            peer.watch = Arc::downgrade(&watch);
            watch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(home: usize, key: u64) -> SessionId {
        let home = ChannelName::new(format!("specific.{home:032x}!{home:032x}")).unwrap();
        SessionId::new(home, key)
    }

    #[test]
    fn no_more_may_ask_for_homes_that_nobody_knows_but_any_number_for_others() {
        let peers = Peers::default();
        let known = id(0, 1);
        peers.remember(&known);
        let strangers: Vec<_> = (1..=STRANGERS).map(|n| peers.leave_to_ask(&id(n, 1).home)).collect();
        assert!(strangers.iter().all(Result::is_ok));
        assert!(peers.leave_to_ask(&id(STRANGERS + 1, 1).home).is_err());
        assert!(peers.leave_to_ask(&known.home).is_ok());
        drop(strangers);
        assert!(peers.leave_to_ask(&id(STRANGERS + 1, 1).home).is_ok());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let peers = Peers::default();
        for n in 0..3 * REMEMBERED {
            peers.remember(&id(n % 7, n as u64));
            let remembered: usize = peers.homes().values().map(|peer| 1 + peer.sessions.len()).sum();
            assert!(remembered <= REMEMBERED + 1, "{remembered}");
        }
    }

    #[test]
    fn a_session_is_known_by_its_secret_until_it_or_its_home_is_not_there() {
        let peers = Peers::default();
        let [ada, bob] = [id(0, 1), id(0, 2)];
        let guessed = SessionId { secret: bob.secret.clone(), ..ada.clone() };
        peers.remember(&ada);
        peers.remember(&bob);
        assert!(peers.know(&ada) && peers.know(&bob) && !peers.know(&guessed));
        peers.forget(&ada);
        assert!(!peers.know(&ada) && peers.know(&bob));
        peers.lose(&bob.home);
        assert!(!peers.know(&bob));
    }
}
