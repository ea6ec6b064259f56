//! A broker in memory, for tests without a server.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, timeout},
};

use super::{Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState, RollStep};

/// A broker in memory: tests of a Redis layer need no server, and may take the broker away.
///
/// Each [`driver`](Self::driver) is the connection of another process.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layer, event, layer::redis::{RedisLayer, RedisOptions}, testing::StubBroker};
///
/// # channels::run(async {
/// let broker = StubBroker::default();
/// let options = RedisOptions::drivers([broker.driver()]);
/// let layer = Layer::new(RedisLayer::new(options)?);
/// layer.send("thumbnails", event!({"type": "make"})).await?;
///
/// broker.stop();
/// assert!(layer.send("thumbnails", event!({"type": "make"})).await.is_err());
/// # Ok::<(), channels::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct StubBroker(Arc<Shared>);

struct Shared {
    running: watch::Sender<bool>,
    muted: watch::Sender<bool>,
    published: AtomicU64,
    arrived: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sets: BTreeMap<String, Vec<(f64, Vec<u8>)>>,
    leases: HashMap<String, Instant>,
    rolls: HashMap<String, RollState>,
    listeners: Vec<Arc<Listener>>,
}

#[derive(Default)]
struct Listener {
    open: watch::Sender<bool>,
    reset: Notify,
    channels: Mutex<BTreeSet<String>>,
    notices: Mutex<Option<mpsc::Sender<Notice>>>,
    overflow: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Default for StubBroker {
    fn default() -> Self {
        let (running, _) = watch::channel(true);
        Self(Arc::new(Shared {
            running,
            muted: watch::Sender::new(false),
            published: AtomicU64::new(0),
            arrived: Notify::new(),
            state: Mutex::default(),
        }))
    }
}

impl StubBroker {
    /// A process's way to this broker.
    #[must_use]
    pub fn driver(&self) -> Arc<dyn Driver> {
        let listener = Arc::new(Listener::default());
        lock(&self.0.state).listeners.push(listener.clone());
        Arc::new(StubDriver { broker: self.clone(), listener })
    }

    /// Takes the broker away: connections are lost, and what it kept is forgotten.
    pub fn stop(&self) {
        {
            let mut state = lock(&self.0.state);
            state.sets.clear();
            state.leases.clear();
            state.rolls.clear();
        }
        self.0.running.send_replace(false);
        self.0.arrived.notify_waiters();
    }

    /// Brings it back.
    pub fn start(&self) {
        self.0.running.send_replace(true);
    }

    /// Has it swallow what is published, as a connection does that looks open and carries nothing; or no more.
    pub fn mute(&self, muted: bool) {
        self.0.muted.send_replace(muted);
    }

    /// How many messages were published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }

    /// What a set, or a mailbox, holds: sorted.
    #[must_use]
    pub fn set(&self, key: &str) -> Vec<(f64, Vec<u8>)> {
        lock(&self.0.state).sets.get(key).cloned().unwrap_or_default()
    }

    fn is_running(&self) -> bool {
        *self.0.running.borrow()
    }

    /// Hands a message to those who listen.
    fn publish(&self, state: &State, channel: &str, body: &[u8]) -> usize {
        if *self.0.muted.borrow() {
            return 0;
        }
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let hears = |listener: &&Arc<Listener>| {
            let fits = |name: &String| match name.strip_suffix('*') {
                Some(start) => channel.starts_with(&start.replace('\\', "")),
                None => name == channel,
            };
            *listener.open.borrow() && lock(&listener.channels).iter().any(fits)
        };
        let mut count = 0;
        for listener in state.listeners.iter().filter(hears) {
            count += 1;
            let notice = Notice::Message { channel: channel.to_owned(), body: body.to_vec() };
            let sent = lock(&listener.notices).as_ref().map(|notices| notices.try_send(notice));
            if let (Some(Err(_)), Some(overflow)) = (sent, &*lock(&listener.overflow)) {
                overflow();
            }
        }
        count
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, DriverError> {
        if self.is_running() { Ok(lock(&self.0.state)) } else { Err(DriverError::Lost(Arc::new(Stopped))) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the stub broker is stopped")]
struct Stopped;

impl State {
    fn add(&mut self, key: &str, score: f64, member: Vec<u8>) {
        let set = self.sets.entry(key.to_owned()).or_default();
        set.retain(|(_, there)| *there != member);
        set.push((score, member));
        set.sort_by(|(a, left), (b, right)| a.total_cmp(b).then_with(|| left.cmp(right)));
    }

    fn trim(&mut self, key: &str, oldest: f64) -> usize {
        let Some(set) = self.sets.get_mut(key) else { return 0 };
        let before = set.len();
        set.retain(|(score, _)| *score > oldest);
        before - set.len()
    }
}

struct StubDriver {
    broker: StubBroker,
    listener: Arc<Listener>,
}

impl Drop for StubDriver {
    fn drop(&mut self) {
        lock(&self.broker.0.state).listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
    }
}

impl Driver for StubDriver {
    fn name(&self) -> &str {
        "stub"
    }

    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<Result<bool, DriverError>>> {
        Box::pin(async move {
            let mut state = self.broker.state()?;
            let taken = messages.into_iter().map(|message| {
                state.trim(&message.key, message.sent.floor() - message.expiry.as_secs_f64());
                let full = state.sets.get(&message.key).is_some_and(|set| set.len() >= message.capacity);
                if !full && message.capacity > 0 {
                    state.add(&message.key, message.sent, message.body);
                }
                Ok(!full && message.capacity > 0)
            });
            let taken = taken.collect();
            drop(state);
            self.broker.0.arrived.notify_waiters();
            Ok(taken)
        })
    }

    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>> {
        Box::pin(async move {
            let take = async {
                loop {
                    let arrived = self.broker.0.arrived.notified();
                    tokio::pin!(arrived);
                    arrived.as_mut().enable();
                    if let Some(set) = self.broker.state()?.sets.get_mut(key).filter(|set| !set.is_empty()) {
                        let count = most.min(set.len());
                        return Ok(set.drain(..count).map(|(sent, body)| Popped { body, sent }).collect());
                    }
                    arrived.await;
                }
            };
            timeout(wait, take).await.unwrap_or_else(|_| Ok(Vec::new()))
        })
    }

    fn join<'a>(&'a self, key: &'a str, members: Vec<String>, now: f64, _: Duration) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.broker.state()?;
            members.into_iter().for_each(|member| state.add(key, now, member.into_bytes()));
            Ok(())
        })
    }

    fn leave<'a>(&'a self, key: &'a str, members: Vec<String>) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let gone = |member: &[u8]| members.iter().any(|name| name.as_bytes() == member);
            if let Some(set) = self.broker.state()?.sets.get_mut(key) {
                set.retain(|(_, member)| !gone(member));
            }
            Ok(())
        })
    }

    fn members<'a>(&'a self, key: &'a str, oldest: f64) -> DriverFuture<'a, (usize, Vec<String>)> {
        Box::pin(async move {
            let mut state = self.broker.state()?;
            let expired = state.trim(key, oldest);
            let left = state.sets.get(key).into_iter().flatten();
            Ok((expired, left.map(|(_, member)| String::from_utf8_lossy(member).into_owned()).collect()))
        })
    }

    fn lease<'a>(&'a self, key: &'a str, time: Duration) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            self.broker.state()?.leases.insert(key.to_owned(), Instant::now() + time);
            Ok(())
        })
    }

    fn leases(&self, keys: Vec<String>) -> DriverFuture<'_, Vec<Option<Duration>>> {
        Box::pin(async move {
            let state = self.broker.state()?;
            let left = |key| state.leases.get(key)?.checked_duration_since(Instant::now());
            Ok(keys.iter().map(left).collect())
        })
    }

    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>> {
        Box::pin(async move {
            let RollChange { key, channel, step, mark, body, .. } = change;
            let mut state = self.broker.state()?;
            let roll = state.rolls.entry(key).or_default();
            let before = roll.entries.len();
            match step {
                RollStep::Unset { entries } => {
                    roll.entries.retain(|(entry, _)| !entries.contains(entry));
                    if roll.entries.len() == before {
                        return Ok(Some(roll.version));
                    }
                }
                RollStep::Set { entry, capacity } => {
                    let known = roll.entries.iter_mut().find(|(known, _)| *known == entry);
                    match known {
                        Some((_, known)) => known.clone_from(&body),
                        None if before >= capacity => return Ok(None),
                        None => roll.entries.push((entry, body.clone())),
                    }
                }
            }
            if roll.version == 0 {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                roll.epoch = since.as_micros() as u64;
                roll.version = roll.epoch;
            }
            roll.version += 1;
            let version = roll.version;
            self.broker.publish(&state, &channel, &[&mark, format!("{version:020}").as_bytes(), &body].concat());
            Ok(Some(version))
        })
    }

    fn roll<'a>(&'a self, key: &'a str, known: u64, _: Duration) -> DriverFuture<'a, Option<RollState>> {
        Box::pin(async move {
            let roll = self.broker.state()?.rolls.get(key).cloned().unwrap_or_default();
            Ok((known == 0 || roll.version != known).then_some(roll))
        })
    }

    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize> {
        Box::pin(async move { Ok(self.broker.publish(&*self.broker.state()?, channel, &body)) })
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            drop(self.broker.state()?);
            let _ = self.listener.open.subscribe().wait_for(|open| *open).await;
            lock(&self.listener.channels).insert(channel.to_owned());
            Ok(())
        })
    }

    fn unsubscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            lock(&self.listener.channels).remove(channel);
            Ok(())
        })
    }

    fn listen(
        &self,
        notices: mpsc::Sender<Notice>,
        overflow: Arc<dyn Fn() + Send + Sync>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            *lock(&self.listener.notices) = Some(notices.clone());
            *lock(&self.listener.overflow) = Some(overflow);
            let mut running = self.broker.0.running.subscribe();
            let mut muted = self.broker.0.muted.subscribe();
            while running.wait_for(|running| *running).await.is_ok() {
                // Over a network that carries nothing there is no new connection either.
                let _ = muted.wait_for(|muted| !*muted).await;
                self.listener.open.send_replace(true);
                if notices.send(Notice::Back).await.is_err() {
                    return;
                }
                tokio::select! {
                    _ = running.wait_for(|running| !*running) => {}
                    () = self.listener.reset.notified() => {}
                }
                self.listener.open.send_replace(false);
                if notices.send(Notice::Lost).await.is_err() {
                    return;
                }
            }
        })
    }

    fn reset(&self) {
        self.listener.reset.notify_one();
    }

    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.broker.state()?;
            state.sets.retain(|key, _| !key.starts_with(prefix));
            state.rolls.retain(|key, _| !key.starts_with(prefix));
            Ok(())
        })
    }
}

/// The state is consistent between any two statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
