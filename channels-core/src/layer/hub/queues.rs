//! Named channels: queues that any thread may fill and read.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Page, QueueRow};
use crate::{after::after, event::Envelope, layer::ChannelName};

pub(super) struct Queues {
    expiry: Duration,
    expired: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: HashMap<ChannelName, Queue>,
    /// No queue has anything to expire before this moment.
    sweep_at: Option<Instant>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<(Instant, Arc<Envelope>)>,
    arrived: Arc<Notify>,
    /// Whether the log has that events of it expired.
    told: bool,
}

impl Queue {
    /// Nothing in it, and nobody waits for it.
    fn is_idle(&self) -> bool {
        self.events.is_empty() && Arc::strong_count(&self.arrived) == 1
    }
}

impl Queues {
    pub(super) fn new(expiry: Duration) -> Self {
        Self { expiry, expired: AtomicU64::new(0), state: Mutex::default() }
    }

    /// How many events nobody took in time.
    pub(super) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Adds an event, or fails when the channel holds `capacity` of them.
    pub(super) fn push(&self, channel: &ChannelName, event: Arc<Envelope>, capacity: usize) -> Result<(), ()> {
        self.swept(|state| {
            let deadline = after(Instant::now(), self.expiry);
            state.sweep_at.get_or_insert(deadline);
            let queue = state.queues.entry(channel.clone()).or_default();
            if queue.events.len() >= capacity {
                return Err(());
            }
            queue.events.push_back((deadline, event));
            queue.arrived.notify_one();
            Ok(())
        })
    }

    /// Takes the next event. Cancelling it loses nothing: a wake-up that was meant for it goes to the next who waits.
    pub(super) async fn pop(&self, channel: &ChannelName) -> Arc<Envelope> {
        loop {
            let next = self.swept(|state| {
                let queue = state.queues.entry(channel.clone()).or_default();
                let Some((_, event)) = queue.events.pop_front() else { return Err(queue.arrived.clone()) };
                if !queue.events.is_empty() {
                    queue.arrived.notify_one();
                } else if queue.is_idle() {
                    state.queues.remove(channel);
                }
                Ok(event)
            });
            let arrived = match next {
                Ok(event) => return event,
                Err(arrived) => arrived,
            };
            let _waiting = Waiting { queues: self, channel };
            arrived.notified().await;
        }
    }

    pub(super) fn len(&self, channel: &ChannelName) -> usize {
        self.state().queues.get(channel).map_or(0, |queue| queue.events.len())
    }

    /// Whether a channel holds something, or somebody waits for it.
    pub(super) fn contains(&self, channel: &ChannelName) -> bool {
        self.swept(|state| state.queues.contains_key(channel))
    }

    /// How many channels there are, and a page of them.
    pub(super) fn rows(&self, page: Page) -> (usize, Vec<QueueRow>) {
        self.swept(|state| {
            let (total, channels) = page.of(state.queues.keys());
            let row = |channel: &ChannelName| {
                let Queue { events, arrived, .. } = &state.queues[channel];
                let oldest = events.front().map_or(Duration::ZERO, |(_, event)| event.age());
                let readers = Arc::strong_count(arrived) - 1;
                QueueRow {
                    channel: channel.clone(),
                    waiting: events.len(),
                    oldest_seconds: oldest.as_secs_f64(),
                    readers,
                }
            };
            (total, channels.into_iter().map(row).collect())
        })
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        for queue in state.queues.values_mut() {
            queue.events.clear();
        }
        state.queues.retain(|_, queue| !queue.is_idle());
    }

    /// Works on the state from which old events are gone; the log is told when nobody holds the state any more.
    fn swept<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (done, expired) = {
            let mut state = self.state();
            let expired = self.sweep(&mut state);
            (work(&mut state), expired)
        };
        for (channel, events) in expired {
            tracing::warn!(%channel, events, "nobody took these events in time; does a worker read the channel?");
        }
        done
    }

    /// Drops what nobody took in time, in every channel: traffic on one cleans up the mail of another. Gives the channels
    /// of which the log is to be told, and how many events it were.
    fn sweep(&self, state: &mut State) -> Vec<(ChannelName, usize)> {
        let now = Instant::now();
        let mut tell = Vec::new();
        if state.sweep_at.is_none_or(|at| now < at) {
            return tell;
        }
        state.queues.retain(|channel, queue| {
            let expired = queue.events.iter().take_while(|(deadline, _)| *deadline <= now).count();
            queue.events.drain(..expired);
            self.expired.fetch_add(expired as u64, Ordering::Relaxed);
            if expired > 0 && !std::mem::replace(&mut queue.told, true) {
                tell.push((channel.clone(), expired));
            }
            !queue.is_idle()
        });
        state.sweep_at = state.queues.values().filter_map(|queue| queue.events.front()).map(|(at, _)| *at).min();
        tell
    }

    /// The state is consistent between any two statements, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the queue of one who waited and gave up, if nobody else needs it.
struct Waiting<'a> {
    queues: &'a Queues,
    channel: &'a ChannelName,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        // Besides the map, the one who waits still holds the queue's signal.
        let lonely = |queue: &Queue| queue.events.is_empty() && Arc::strong_count(&queue.arrived) <= 2;
        if state.queues.get(self.channel).is_some_and(lonely) {
            state.queues.remove(self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::event::{IntoEvent, raw_event};

    const EXPIRY: Duration = Duration::from_millis(1);

    fn event() -> Arc<Envelope> {
        Arc::new(raw_event("test.message", serde_json::json!({})).into_event().unwrap())
    }

    fn count(queues: &Queues) -> usize {
        queues.state().queues.len()
    }

    #[test]
    fn what_expires_never_is_kept() {
        let (queues, name) = (Queues::new(Duration::MAX), ChannelName::new("test-channel").unwrap());
        queues.push(&name, event(), 1).unwrap();
        assert!(queues.pop(&name).now_or_never().is_some());
    }

    #[test]
    fn a_queue_is_kept_only_while_it_holds_something_or_somebody_waits() {
        let queues = Queues::new(Duration::from_secs(60));
        let [first, second] = ["test-channel-1", "test-channel-2"].map(|name| ChannelName::new(name).unwrap());
        queues.push(&first, event(), 2).unwrap();
        queues.push(&first, event(), 2).unwrap();
        assert!(queues.pop(&first).now_or_never().is_some());
        assert_eq!(count(&queues), 1);
        assert!(queues.pop(&first).now_or_never().is_some());
        assert_eq!(count(&queues), 0);

        let mut waits = Box::pin(queues.pop(&second));
        assert!((&mut waits).now_or_never().is_none());
        assert!(queues.pop(&second).now_or_never().is_none());
        queues.clear();
        assert_eq!(count(&queues), 1, "somebody waits still");
        drop(waits);
        assert_eq!(count(&queues), 0);

        let mut waits = Box::pin(queues.pop(&second));
        assert!((&mut waits).now_or_never().is_none());
        queues.push(&second, event(), 1).unwrap();
        assert!(queues.pop(&second).now_or_never().is_some(), "who comes first is served first");
        assert!((&mut waits).now_or_never().is_none());
        queues.push(&second, event(), 1).unwrap();
        assert!((&mut waits).now_or_never().is_some());
        assert_eq!(count(&queues), 0);
    }

    #[tokio::test]
    async fn mail_that_nobody_reads_is_cleaned_up_with_its_queue_by_traffic_on_another() {
        let queues = Queues::new(EXPIRY);
        let [unread, busy] = ["test-channel-1", "test-channel-2"].map(|name| ChannelName::new(name).unwrap());
        queues.push(&unread, event(), 1).unwrap();
        tokio::time::sleep(EXPIRY).await;
        let mut waits = pin!(queues.pop(&busy));
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!((count(&queues), queues.expired()), (1, 1));
    }
}
