//! Channels that somebody in this process waits on; what named ones have is fetched from the brokers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    base::{Base, push_one},
    driver::{Driver, DriverError, Popped, Push},
    io::Io,
    mailbox::now,
    retries::Retries,
};
use crate::{
    event::Envelope,
    layer::{ChannelName, LayerError},
};

/// How long one question for a message lasts. When nobody waits any more, it is asked no further.
const WAIT: Duration = Duration::from_secs(1);

/// How long a channel is kept in mind that nobody waits on.
const IDLE: Duration = Duration::from_secs(60);

/// How many wait on each channel.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<ChannelName, watch::Sender<usize>>>);

impl Readers {
    /// One more waits. When the channel is new, also how many do, for the tasks that fetch.
    fn wait(&self, channel: &ChannelName) -> Option<watch::Receiver<usize>> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = channels.get(channel) {
            count.send_modify(|count| *count += 1);
            return None;
        }
        let (count, waiting) = watch::channel(1);
        channels.insert(channel.clone(), count);
        Some(waiting)
    }

    fn give_up(&self, channel: &ChannelName) {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = channels.get(channel) {
            count.send_modify(|count| *count -= 1);
        }
    }

    /// Forgets a channel unless somebody waits again.
    fn forget(&self, channel: &ChannelName) -> bool {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = channels.get(channel).is_none_or(|count| *count.borrow() == 0);
        if idle {
            channels.remove(channel);
        }
        idle
    }
}

/// One who waits on a channel; it is counted until this is dropped.
struct Waiting<'a> {
    readers: &'a Readers,
    channel: &'a ChannelName,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.readers.give_up(self.channel);
    }
}

/// Waits for the next event of a channel of this process, or of a named one, which any broker may have.
///
/// What a named one has, tasks of the layer fetch, as many as somebody waits for: when a caller gives up, what was fetched for it
/// goes to the next who waits here, or back to the broker.
pub(super) async fn receive(base: &Arc<Base>, io: &Io, channel: &ChannelName) -> Result<Arc<Envelope>, LayerError> {
    if base.is_own(channel) {
        return Ok(base.hub.receive(channel).await);
    }
    if channel.contains('!') {
        return Err(LayerError::Foreign { channel: channel.clone() });
    }
    if let Some(waiting) = base.readers.wait(channel) {
        for driver in base.shards.all() {
            io.spawn(fetch(base.clone(), driver.clone(), channel.clone(), waiting.clone()));
        }
    }
    let _waiting = Waiting { readers: &base.readers, channel };
    Ok(base.hub.receive(channel).await)
}

/// Fetches what one broker has for a channel, while somebody waits for it.
async fn fetch(base: Arc<Base>, driver: Arc<dyn Driver>, channel: ChannelName, mut waiting: watch::Receiver<usize>) {
    let key = format!("{}{channel}", base.options.prefix);
    let mut retries = Retries::default();
    loop {
        let wanted = waiting.wait_for(|count| *count > base.hub.queued(&channel));
        match timeout(IDLE, wanted).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            Err(_) if base.readers.forget(&channel) => return,
            Err(_) => continue,
        }
        match driver.pop(&key, WAIT, 1).await {
            Ok(popped) => {
                retries.succeeded();
                for popped in popped {
                    let is_wanted = *waiting.borrow() > base.hub.queued(&channel);
                    take(&base, &driver, &key, &channel, popped, is_wanted).await;
                }
            }
            Err(error) => {
                if let DriverError::Refused(_) = error {
                    base.bad.refused(&key, &error);
                }
                sleep(retries.wait()).await;
            }
        }
    }
}

async fn take(
    base: &Base,
    driver: &Arc<dyn Driver>,
    key: &str,
    channel: &ChannelName,
    popped: Popped,
    is_wanted: bool,
) {
    if popped.sent + base.hub.limits().expiry.as_secs_f64() < now() {
        return base.hub.count_expired(1);
    }
    if !is_wanted {
        let back =
            Push { sent: popped.sent, capacity: usize::MAX, ..base.message(key.to_owned(), channel, popped.body) };
        if let Err(error) = push_one(driver, back).await {
            tracing::warn!(%channel, %error, "an event that was fetched for somebody who gave up is lost");
            base.hub.count_gone(1);
        }
    } else if let Some(mail) = base.decode(key, &popped.body) {
        base.hub.send_to_each(std::slice::from_ref(channel), Arc::new(mail.event)).await;
    }
}
