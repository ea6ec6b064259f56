//! What the Redis layers have in common.

use std::{collections::HashSet, future::Future, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::mpsc, time::sleep};

use super::{
    RedisOptions, RedisOptionsError,
    bad::Bad,
    body::{BodyError, Codec, Mail, To, names},
    departed::Departed,
    driver::{Driver, DriverError, Notice, Push},
    health::{Change, Health},
    mailbox::now,
    readers::Readers,
    retries::Retries,
    shards::Shards,
};
use crate::{
    event::{Envelope, EventError, IntoEvent, RawEvent},
    layer::{ChannelName, GroupName, GroupReport, Hub, LayerError, NameError, SendError},
};

/// Messages of subscriptions that wait to be delivered; what comes when so many wait is dropped and counted as full.
const NOTICES: usize = 16_384;

/// How many sets of members are looked after at once.
pub(super) const AT_ONCE: usize = 64;

/// What a layer keeps of the brokers, and of this process.
pub(super) struct Base {
    pub(super) hub: Hub,
    pub(super) codec: Codec,
    pub(super) options: RedisOptions,
    pub(super) shards: Shards,
    pub(super) health: Health,
    pub(super) bad: Bad,
    pub(super) readers: Readers,
    pub(super) departed: Departed,
}

/// One of the layers, as the tasks see it that keep it going.
pub(super) trait Mode: Send + Sync + Sized + 'static {
    fn base(&self) -> &Base;

    /// What a process is subscribed to all the time.
    fn own_channel(&self) -> String;

    /// A message came on a channel that this process is subscribed to.
    fn receive(&self, broker: usize, channel: &str, body: &[u8]) -> impl Future<Output = ()> + Send;

    /// Says to a broker again who of this process is in which group.
    fn rejoin(&self, broker: usize) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Sends this process a message by way of a broker.
    fn probe(&self, broker: usize, number: u64) -> impl Future<Output = Result<(), DriverError>> + Send;
}

impl Base {
    pub(super) fn new(options: RedisOptions, hub: Hub, codec: Codec) -> Result<Self, RedisOptionsError> {
        for event in [&options.on_disconnect, &options.on_reconnect].into_iter().flatten() {
            named(event)?;
        }
        let drivers = options.connect()?;
        Ok(Self {
            hub,
            codec,
            health: Health::new(drivers.len()),
            shards: Shards::new(drivers),
            options,
            bad: Bad::default(),
            readers: Readers::default(),
            departed: Departed::default(),
        })
    }

    /// Whether a channel is one of this process's connections.
    pub(super) fn is_own(&self, channel: &str) -> bool {
        channel.starts_with(self.hub.head())
    }

    /// The event for this process, as one that came from elsewhere.
    pub(super) fn decode(&self, key: &str, body: &[u8]) -> Option<Mail> {
        match self.codec.decode(body) {
            Ok(mail) => Some(mail),
            Err(error) => {
                self.note_bad_body(key, &error);
                None
            }
        }
    }

    pub(super) fn note_bad_body(&self, key: &str, error: &BodyError) {
        self.bad.dropped(key, error.kind(), error);
    }

    /// The names in `texts` that are channels'; others are logged.
    pub(super) fn names(&self, key: &str, texts: &[String]) -> Vec<ChannelName> {
        let (names, wrong) = names(texts);
        if let Some(Err(error)) = wrong.map(ChannelName::new) {
            self.bad.dropped(key, "name", &error as &NameError);
        }
        names
    }

    pub(super) fn encode(&self, event: &Envelope, to: To<'_>) -> Result<Vec<u8>, LayerError> {
        Ok(self.codec.encode(event, to)?)
    }

    /// A message for a mailbox.
    pub(super) fn message(&self, key: String, channel: &str, body: Vec<u8>) -> Push {
        let limits = self.hub.limits();
        Push { key, body, sent: now(), capacity: limits.capacity_of(channel), expiry: limits.expiry }
    }

    /// Puts an event into a named channel, for whoever reads it.
    pub(super) async fn send_to_queue(&self, channel: &ChannelName, event: &Envelope) -> Result<(), SendError> {
        let body = self.encode(event, To::Reader)?;
        let message = self.message(format!("{}{channel}", self.options.prefix), channel, body);
        self.push(self.shards.next(), channel, message).await
    }

    /// Puts a message for one channel into a mailbox.
    pub(super) async fn push(
        &self,
        driver: &Arc<dyn Driver>,
        channel: &ChannelName,
        message: Push,
    ) -> Result<(), SendError> {
        let (key, capacity) = (message.key.clone(), message.capacity);
        if self.judge(driver, &key, push_one(driver, message).await)? {
            return Ok(());
        }
        self.hub.count_full(1);
        Err(SendError::ChannelFull { channel: channel.clone(), capacity })
    }

    /// A broker's answer as the layer's; a key of another type is logged.
    pub(super) fn judge<T>(
        &self,
        driver: &Arc<dyn Driver>,
        key: &str,
        answer: Result<T, DriverError>,
    ) -> Result<T, LayerError> {
        answer.map_err(|error| {
            if let DriverError::Refused(_) = error {
                self.bad.refused(key, &error);
            }
            LayerError::Broker { broker: driver.name().to_owned(), source: Box::new(error) }
        })
    }

    /// A message whose sender gets this error: counts it when a broker did not take it.
    pub(super) fn note_lost(&self, error: &LayerError) {
        if is_lost(error) {
            self.hub.count_lost(1);
        }
    }

    /// The outcome of a send, with its message counted if that is lost.
    pub(super) fn sent(&self, sent: Result<(), SendError>) -> Result<(), SendError> {
        sent.inspect_err(|error| {
            if let SendError::Layer(error) = error {
                self.note_lost(error);
            }
        })
    }

    /// The members of a group that are of this process.
    pub(super) async fn own_members(&self, group: &GroupName) -> Vec<String> {
        let members = self.hub.group_channels(group).await;
        members.into_iter().filter(|name| self.is_own(name)).map(|name| name.to_string()).collect()
    }

    /// Puts members of this process into the set of their group, and takes out again who has left meanwhile.
    pub(super) async fn put(
        &self,
        driver: &Arc<dyn Driver>,
        group: &GroupName,
        key: &str,
        members: Vec<String>,
    ) -> Result<(), DriverError> {
        if members.is_empty() {
            return Ok(());
        }
        driver.join(key, members.clone(), now(), self.hub.limits().group_expiry).await?;
        let here: HashSet<String> = self.own_members(group).await.into_iter().collect();
        let left: Vec<_> = members.into_iter().filter(|name| !here.contains(name)).collect();
        if left.is_empty() { Ok(()) } else { driver.leave(key, left).await }
    }

    /// Takes a member out of a set: when the broker is away, once it is back.
    pub(super) async fn take_out(&self, broker: usize, key: String, channel: &ChannelName) -> Result<(), LayerError> {
        let driver = &self.shards.all()[broker];
        if self.health.is_up(broker) {
            match driver.leave(&key, vec![channel.to_string()]).await {
                Err(DriverError::Lost(_)) => {}
                answer => return self.judge(driver, &key, answer),
            }
        }
        self.departed.note(broker, key, channel.to_string());
        Ok(())
    }

    /// Puts the members of this process into the sets of all their groups at a broker. A set that is none is passed over.
    pub(super) async fn put_all(
        &self,
        broker: usize,
        key_of: impl Fn(&GroupName) -> String,
    ) -> Result<(), DriverError> {
        let (driver, key_of) = (&self.shards.all()[broker], &key_of);
        let groups = self.hub.group_names().into_iter().filter(|group| self.shards.index_of(group) == broker);
        let put = stream::iter(groups).map(|group| async move {
            let (key, members) = (key_of(&group), self.own_members(&group).await);
            self.pass_over(&key, self.put(driver, &group, &key, members).await)
        });
        put.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// What a broker refuses of one set concerns no other: it is logged.
    pub(super) fn pass_over(&self, key: &str, answer: Result<(), DriverError>) -> Result<(), DriverError> {
        match answer {
            Err(error @ DriverError::Refused(_)) => {
                self.bad.refused(key, &error);
                Ok(())
            }
            answer => answer,
        }
    }

    /// A broker is up, or down: tells the connections that want to know.
    pub(super) async fn set_up(&self, broker: usize, is_up: bool) {
        let Some(change) = self.health.set(broker, is_up) else { return };
        let name = self.shards.all()[broker].name();
        let event = match change {
            Change::Lost => {
                tracing::warn!(broker = name, "the broker is lost; connecting again");
                &self.options.on_disconnect
            }
            Change::Back => {
                tracing::info!(broker = name, "the broker is back");
                &self.options.on_reconnect
            }
        };
        if let Some(Ok(event)) = event.as_deref().map(named) {
            self.hub.send_to_all(Arc::new(event)).await;
        }
    }

    /// Delivers what came to members in this process.
    pub(super) async fn deliver(&self, key: &str, mail: Mail) -> GroupReport {
        let names = self.names(key, &mail.to);
        self.hub.send_to_each(&names, Arc::new(mail.event)).await
    }
}

/// Whether the broker is away, and does not refuse.
pub(super) fn is_lost(error: &LayerError) -> bool {
    matches!(error, LayerError::Broker { source, .. } if matches!(source.downcast_ref(), Some(DriverError::Lost(_))))
}

/// Puts one message into its mailbox; whether that had room.
pub(super) async fn push_one(driver: &Arc<dyn Driver>, message: Push) -> Result<bool, DriverError> {
    driver.push(vec![message]).await?.pop().unwrap_or(Ok(false))
}

fn named(event: &str) -> Result<Envelope, EventError> {
    RawEvent::new(event, serde_json::Map::new())?.into_event()
}

/// Waits until this process hears what is sent to it, when it has only begun or a broker is away.
pub(super) async fn hears<M: Mode>(mode: &M) -> Result<(), LayerError> {
    let (base, own) = (mode.base(), mode.own_channel());
    for (broker, driver) in base.shards.all().iter().enumerate() {
        if !base.health.is_up(broker) {
            base.judge(driver, &own, driver.subscribe(&own).await)?;
        }
    }
    Ok(())
}

/// Says that a broker is back: what this process left meanwhile is left, where it stayed it is joined again.
pub(super) async fn come_back<M: Mode>(mode: &M, broker: usize) -> Result<(), DriverError> {
    let base = mode.base();
    let driver = &base.shards.all()[broker];
    base.departed.leave(broker, driver).await?;
    mode.rejoin(broker).await?;
    base.set_up(broker, true).await;
    // Who left during that: whoever leaves from now on tells the broker.
    base.departed.leave(broker, driver).await
}

/// Keeps the subscriptions at one broker, and delivers what comes.
pub(super) async fn listen<M: Mode>(mode: Arc<M>, broker: usize) {
    let driver = mode.base().shards.all()[broker].clone();
    let (notices, mut came) = mpsc::channel(NOTICES);
    let hub = mode.base().hub.clone();
    let listening = tokio::spawn({
        let driver = driver.clone();
        async move { driver.listen(notices, Arc::new(move || hub.count_full(1))).await }
    });
    let mut retries = Retries::default();
    while let Some(notice) = came.recv().await {
        match notice {
            Notice::Message { channel, body } => mode.receive(broker, &channel, &body).await,
            Notice::Lost => mode.base().set_up(broker, false).await,
            Notice::Back => {
                let subscribed = driver.subscribe(&mode.own_channel()).await;
                let back = match subscribed {
                    Ok(()) => come_back(&*mode, broker).await,
                    Err(error) => Err(error),
                };
                let Err(error) = back else {
                    retries.succeeded();
                    continue;
                };
                if let DriverError::Refused(_) = error {
                    mode.base().bad.refused(&mode.own_channel(), &error);
                }
                tracing::debug!(broker = driver.name(), %error, "lost again before it was joined");
                // Not to be lost twice: what is there now is as good as nothing.
                sleep(retries.wait()).await;
                driver.reset();
            }
        }
    }
    listening.abort();
}

/// Sends messages to itself, and sees whether they come back.
pub(super) async fn probe<M: Mode>(mode: Arc<M>) {
    let base = mode.base();
    loop {
        let number = base.health.next_probe();
        // What is sent while a connection is being made cannot come back, and says nothing of it.
        let were_up: Vec<bool> = (0..base.shards.all().len()).map(|broker| base.health.is_up(broker)).collect();
        for (broker, driver) in base.shards.all().iter().enumerate() {
            base.health.probe_leaves(broker, number);
            if let Err(error) = mode.probe(broker, number).await {
                tracing::debug!(broker = driver.name(), %error, "a probe could not be sent");
            }
        }
        sleep(base.options.probe_interval).await;
        for (broker, driver) in base.shards.all().iter().enumerate() {
            // Those of whom it was not in time to hear.
            if base.health.is_up(broker)
                && let Err(error) = base.departed.leave(broker, driver).await
            {
                tracing::debug!(broker = driver.name(), %error, "who has left is in its sets still");
            }
            if were_up[broker] && base.health.is_up(broker) && !base.health.has_probe(broker, number) {
                tracing::warn!(broker = driver.name(), "what this process sends itself does not come back");
                base.set_up(broker, false).await;
                driver.reset();
            }
        }
    }
}

/// Renews the memberships of this process before they expire.
pub(super) async fn renew<M: Mode>(mode: Arc<M>) {
    let base = mode.base();
    loop {
        sleep(base.hub.limits().group_expiry / 3).await;
        for (broker, driver) in base.shards.all().iter().enumerate() {
            if let Err(error) = mode.rejoin(broker).await {
                tracing::debug!(broker = driver.name(), %error, "memberships could not be renewed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::layer::redis::{SerializerFormat, driver::StubBroker};

    /// Receives as many messages as it is let.
    struct Slow {
        base: Base,
        began: Semaphore,
        let_in: Semaphore,
    }

    impl Mode for Slow {
        fn base(&self) -> &Base {
            &self.base
        }

        fn own_channel(&self) -> String {
            "here".to_owned()
        }

        async fn receive(&self, _: usize, _: &str, _: &[u8]) {
            self.began.add_permits(1);
            self.let_in.acquire().await.unwrap().forget();
        }

        async fn rejoin(&self, _: usize) -> Result<(), DriverError> {
            Ok(())
        }

        async fn probe(&self, _: usize, _: u64) -> Result<(), DriverError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_comes_when_16_384_messages_wait_is_dropped_and_counted() {
        let (broker, format) = (StubBroker::default(), SerializerFormat::default());
        let mut options = RedisOptions::default();
        options.drivers = Some(vec![broker.driver()]);
        let codec = Codec { format, crypt: None, random_prefix: 0, ttl: None, limit: 1 << 20 };
        let hub = Hub::new(options.limits.clone());
        let base = Base::new(options, hub.clone(), codec).unwrap();
        let slow = Arc::new(Slow { base, began: Semaphore::new(0), let_in: Semaphore::new(0) });
        let listening = tokio::spawn(listen(slow.clone(), 0));
        slow.base.shards.all()[0].subscribe("here").await.unwrap();
        let sender = broker.driver();
        sender.publish("here", Vec::new()).await.unwrap();
        // One is being received, and none waits.
        slow.began.acquire().await.unwrap().forget();
        for _ in 0..NOTICES + 7 {
            sender.publish("here", Vec::new()).await.unwrap();
        }
        assert_eq!(hub.dropped().full, 7);
        slow.let_in.add_permits(1 + NOTICES);
        slow.began.acquire_many(NOTICES as u32).await.unwrap().forget();
        assert_eq!(hub.dropped().full, 7, "the others are received");
        listening.abort();
    }
}
