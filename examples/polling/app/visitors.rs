//! The visitors, and a queue for each: what is said while no poll of theirs waits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use channels::ChannelName;
use uuid::Uuid;

use super::chat::Said;

/// Messages that wait for one visitor; past it the oldest go, and the visitor is told how many.
const CAPACITY: usize = 100;
/// Visitors at once. Whoever asks for the page is one.
const MOST: usize = 10_000;

#[derive(Clone)]
pub(super) struct Visitors {
    away: Duration,
    visitors: Arc<Mutex<HashMap<String, Visitor>>>,
}

struct Visitor {
    queue: Mail,
    /// The poll that waits.
    poll: Option<ChannelName>,
    /// When the last poll ended.
    seen: Instant,
}

/// What was said.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) messages: VecDeque<Arc<Said>>,
    /// How many are missing before them.
    pub(super) missed: usize,
}

/// What a poll finds.
pub(super) enum Found {
    Mail(Mail),
    /// Nothing yet. An older poll of this visitor waits no longer, if there is one.
    Nothing {
        older: Option<ChannelName>,
    },
}

impl Visitors {
    /// Whoever does not poll for so long (`away`) is forgotten.
    pub(super) fn new(away: Duration) -> Self {
        Self { away, visitors: Arc::default() }
    }

    /// The id of a new visitor, which nobody can guess; `None` when there are too many.
    pub(super) fn enter(&self) -> Option<String> {
        let mut visitors = self.present();
        if visitors.len() >= MOST {
            return None;
        }
        let id = Uuid::new_v4().simple().to_string();
        visitors.insert(id.clone(), Visitor { queue: Mail::default(), poll: None, seen: Instant::now() });
        Some(id)
    }

    /// Puts a message into every queue, and gives the polls that can be answered now.
    pub(super) fn post(&self, said: &Said) -> Vec<ChannelName> {
        let mut visitors = self.present();
        let (said, mut polls) = (Arc::new(said.clone()), Vec::new());
        for visitor in visitors.values_mut() {
            visitor.queue.put(said.clone());
            polls.extend(visitor.poll.clone());
        }
        polls
    }

    /// What waits for a visitor, or else the poll waits; `None` when there is no such visitor.
    pub(super) fn poll(&self, id: &str, poll: &ChannelName) -> Option<Found> {
        let mut visitors = self.present();
        let visitor = visitors.get_mut(id)?;
        Some(if visitor.queue.messages.is_empty() {
            Found::Nothing { older: visitor.poll.replace(poll.clone()) }
        } else {
            visitor.seen = Instant::now();
            Found::Mail(std::mem::take(&mut visitor.queue))
        })
    }

    /// What a poll that waited is answered with: nothing if a newer one waits in its place.
    pub(super) fn end_poll(&self, id: &str, poll: &ChannelName) -> Mail {
        let mut visitors = self.present();
        match visitors.get_mut(id).filter(|visitor| visitor.poll.as_ref() == Some(poll)) {
            Some(visitor) => {
                (visitor.poll, visitor.seen) = (None, Instant::now());
                std::mem::take(&mut visitor.queue)
            }
            None => Mail::default(),
        }
    }

    /// A poll whose client has gone: what waits goes on waiting.
    pub(super) fn lose_poll(&self, id: &str, poll: &ChannelName) {
        let mut visitors = self.present();
        if let Some(visitor) = visitors.get_mut(id).filter(|visitor| visitor.poll.as_ref() == Some(poll)) {
            (visitor.poll, visitor.seen) = (None, Instant::now());
        }
    }

    /// The visitors, without those who were away too long.
    fn present(&self) -> MutexGuard<'_, HashMap<String, Visitor>> {
        let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        visitors.retain(|_, visitor| visitor.poll.is_some() || visitor.seen.elapsed() < self.away);
        visitors
    }
}

impl Mail {
    fn put(&mut self, said: Arc<Said>) {
        if self.messages.len() == CAPACITY {
            self.messages.pop_front();
            self.missed += 1;
        }
        self.messages.push_back(said);
    }
}
