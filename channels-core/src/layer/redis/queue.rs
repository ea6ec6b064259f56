//! Channels' own layer: mailboxes in sorted sets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use super::{
    RedisOptions, RedisOptionsError,
    base::{Base, Mode, come_back, probe, push_one, renew},
    body::{Codec, To, non_local},
    driver::{DriverError, Popped},
    io::Io,
    mailbox::now,
    readers,
    retries::Retries,
};
use crate::{
    event::{Envelope, IntoEvent, raw_event},
    layer::{Audience, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, SendError},
};

/// How long one question for mail lasts: as in channels_redis.
const WAIT: Duration = Duration::from_secs(5);

/// How many messages are taken out of this process's mailbox at once.
const BATCH: usize = 128;

/// The counterpart of `channels_redis.core.RedisChannelLayer`, byte for byte: its processes and these share channels and groups.
///
/// Every process has one mailbox on each broker, a group is a sorted set of channel names, and a group message is one message for
/// each *process* that has members. Where channels_redis loses messages this layer does not: what goes to one channel is sent to
/// the broker whose mailbox its process reads, and this process reads its mailbox on all of them.
///
/// Members in the sender's own process get the event without the broker. The [`GroupReport`] counts them exactly; a member
/// elsewhere counts as delivered when its process's mailbox had room.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layers, layer::redis::{RedisChannelLayer, RedisOptions}};
///
/// // As in Django's settings: "CONFIG": {"hosts": ["redis://127.0.0.1:6379"], "prefix": "shop"}
/// let options = RedisOptions::hosts(["redis://127.0.0.1:6379"]).prefix("shop");
/// let layers = Layers::from(RedisChannelLayer::new(options)?);
/// # Ok::<(), channels::layer::redis::RedisOptionsError>(())
/// ```
pub struct RedisChannelLayer {
    queue: Arc<Queue>,
    io: Io,
}

struct Queue {
    base: Arc<Base>,
    /// The channel to which this process sends its probes.
    probe: String,
}

impl RedisChannelLayer {
    /// A layer with these options. It connects by itself, now and whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// [`RedisOptionsError`] when an address is none or a cluster's. That a broker does not answer is no error here.
    pub fn new(options: impl Into<RedisOptions>) -> Result<Self, RedisOptionsError> {
        let options = options.into();
        options.refuse_cluster()?;
        let codec = Codec {
            format: options.serializer_format,
            crypt: options.crypt.clone(),
            random_prefix: options.random_prefix_length,
            // What channels_redis allows: clocks differ.
            ttl: Some(options.limits.expiry + Duration::from_secs(10)),
            limit: options.max_message_size,
        };
        let hub = Hub::new(options.limits.clone());
        let probed = format!("{}probe", hub.head());
        let queue = Arc::new(Queue { base: Arc::new(Base::new(options, hub, codec)?), probe: probed });
        let io = Io::start().map_err(RedisOptionsError::Thread)?;
        for broker in 0..queue.base.shards.all().len() {
            io.spawn(read_mailbox(queue.clone(), broker));
        }
        io.spawn(probe(queue.clone()));
        io.spawn(renew(queue.clone()));
        Ok(Self { queue, io })
    }
}

impl Queue {
    /// The key of a channel's mailbox: what comes behind the `!` is the process's own business.
    fn mailbox(&self, channel: &str) -> String {
        format!("{}{}", self.base.options.prefix, non_local(channel))
    }

    fn group_key(&self, group: &str) -> String {
        format!("{}:group:{group}", self.base.options.prefix)
    }

    async fn send(&self, channel: &ChannelName, event: Arc<Envelope>) -> Result<(), SendError> {
        if self.base.is_own(channel) {
            return self.base.hub.send(channel, event).await;
        }
        if !channel.contains('!') {
            return self.base.send_to_queue(channel, &event).await;
        }
        let body = self.base.encode(&event, To::One(channel))?;
        let message = self.base.message(self.mailbox(channel), channel, body);
        self.base.push(self.base.shards.of(non_local(channel)), channel, message).await
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let (key, broker) = (self.group_key(group), self.base.shards.index_of(group));
        let (driver, expiry) = (&self.base.shards.all()[broker], self.base.hub.limits().group_expiry);
        self.base.departed.forget(broker, &key, channel);
        let joined = driver.join(&key, vec![channel.to_string()], now(), expiry).await;
        if let Err(DriverError::Lost(_)) = joined
            && self.base.is_own(channel)
        {
            // It may be in the set for all that.
            self.base.departed.note(broker, key.clone(), channel.to_string());
        }
        self.base.judge(driver, &key, joined)?;
        if self.base.is_own(channel) {
            self.base.hub.group_add(group, channel).await;
        }
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        self.base.hub.group_discard(group, channel).await;
        self.base.take_out(self.base.shards.index_of(group), self.group_key(group), channel).await
    }

    /// Everybody in a group, as the broker knows them, and how many were in it for too long.
    async fn members(&self, group: &GroupName) -> Result<(usize, Vec<String>), LayerError> {
        let (key, driver) = (self.group_key(group), self.base.shards.of(group));
        let oldest = now().floor() - self.base.hub.limits().group_expiry.as_secs_f64();
        self.base.judge(driver, &key, driver.members(&key, oldest).await)
    }

    /// The members of an audience, each once, and how many were in their groups for too long.
    async fn listeners(&self, audience: &Audience) -> Result<(usize, BTreeSet<String>), LayerError> {
        let (mut expired, mut listeners) = (0, BTreeSet::new());
        for group in audience.groups() {
            let (gone, members) = self.members(group).await?;
            expired += gone;
            listeners.extend(members);
        }
        for name in audience.except() {
            listeners.remove(name.as_str());
        }
        Ok((expired, listeners))
    }

    async fn group_send(&self, audience: &Audience, event: Arc<Envelope>) -> Result<GroupReport, LayerError> {
        let groups: Vec<_> = audience.groups().map(|group| self.group_key(group)).collect();
        let key = groups.join(", ");
        let (expired, members) = self.listeners(audience).await?;
        let (own, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|name| self.base.is_own(name));
        let mut report = GroupReport { expired, ..GroupReport::default() };
        // One message for each mailbox, whatever the number of members behind it.
        let mut mailboxes: HashMap<String, Vec<String>> = HashMap::new();
        for channel in others {
            mailboxes.entry(non_local(&channel).to_owned()).or_default().push(channel);
        }
        let mut by_broker: HashMap<usize, Vec<(usize, _)>> = HashMap::new();
        for (mailbox, channels) in mailboxes {
            let body = self.base.encode(&event, To::Each(&channels))?;
            let message = self.base.message(self.mailbox(&mailbox), &channels[0], body);
            report.processes += usize::from(mailbox.contains('!'));
            by_broker.entry(self.base.shards.index_of(&mailbox)).or_default().push((channels.len(), message));
        }
        let mut refused = None;
        for (broker, messages) in by_broker {
            let driver = &self.base.shards.all()[broker];
            let (sent, messages): (Vec<_>, Vec<_>) =
                messages.into_iter().map(|(count, message)| ((count, message.key.clone()), message)).unzip();
            let taken = self.base.judge(driver, &key, driver.push(messages).await)?;
            for ((count, mailbox), taken) in sent.into_iter().zip(taken) {
                match self.base.judge(driver, &mailbox, taken) {
                    Ok(true) => report.delivered += count,
                    Ok(false) => {
                        report.full += count;
                        self.base.hub.count_full(count);
                    }
                    Err(error) => refused = Some(error),
                }
            }
        }
        let own = self.base.names(&key, &own);
        report += self.base.hub.send_to_each(&own, event).await;
        // All others have got it.
        refused.map_or(Ok(report), Err)
    }

    /// Delivers what was in this process's mailbox.
    async fn deliver(&self, broker: usize, key: &str, popped: Popped) {
        if popped.sent + self.base.hub.limits().expiry.as_secs_f64() < now() {
            return self.base.hub.count_expired(1);
        }
        let Some(mail) = self.base.decode(key, &popped.body) else { return };
        if mail.to == [self.probe.as_str()] {
            if let Some(number) = mail.event.decode::<crate::RawEvent>().ok().and_then(|event| event.get("n")) {
                self.base.health.probe_came(broker, number);
            }
            return;
        }
        self.base.deliver(key, mail).await;
    }
}

impl Mode for Queue {
    fn base(&self) -> &Base {
        &self.base
    }

    fn own_channel(&self) -> String {
        self.mailbox(self.base.hub.head())
    }

    async fn receive(&self, broker: usize, key: &str, body: &[u8]) {
        self.deliver(broker, key, Popped { body: body.to_vec(), sent: now() }).await;
    }

    async fn rejoin(&self, broker: usize) -> Result<(), DriverError> {
        self.base.put_all(broker, |group| self.group_key(group)).await
    }

    async fn probe(&self, broker: usize, number: u64) -> Result<(), DriverError> {
        let event = raw_event("probe", serde_json::json!({ "n": number })).into_event();
        let Ok(Ok(body)) = event.map(|event| self.base.encode(&event, To::One(&self.probe))) else { return Ok(()) };
        let mut message = self.base.message(self.own_channel(), &self.probe, body);
        message.capacity = usize::MAX;
        push_one(&self.base.shards.all()[broker], message).await.map(drop)
    }
}

/// Reads this process's mailbox at one broker, for as long as the layer lives.
async fn read_mailbox(queue: Arc<Queue>, broker: usize) {
    let (base, key) = (&queue.base, queue.own_channel());
    let driver = &base.shards.all()[broker];
    let mut retries = Retries::default();
    loop {
        // What has waited is taken before this process says that it is back: as long as its mailbox is full, what is sent to it
        // from then on would be refused.
        let back = match driver.pop(&key, Duration::ZERO, BATCH).await {
            Ok(waited) => {
                for popped in waited {
                    queue.deliver(broker, &key, popped).await;
                }
                come_back(&*queue, broker).await
            }
            Err(error) => Err(error),
        };
        let error = match back {
            Err(error) => error,
            Ok(()) => loop {
                match driver.pop(&key, WAIT, BATCH).await {
                    Ok(popped) => {
                        retries.succeeded();
                        for popped in popped {
                            queue.deliver(broker, &key, popped).await;
                        }
                        // It was given up because nothing came back, and it answers.
                        if !base.health.is_up(broker)
                            && let Err(error) = come_back(&*queue, broker).await
                        {
                            break error;
                        }
                    }
                    Err(error) => break error,
                }
            },
        };
        match error {
            DriverError::Lost(_) => {
                retries.tell(driver.name(), &error);
                base.set_up(broker, false).await;
            }
            DriverError::Refused(_) => base.bad.refused(&key, &error),
        }
        sleep(retries.wait()).await;
    }
}

impl ChannelLayer for RedisChannelLayer {
    fn hub(&self) -> &Hub {
        &self.queue.base.hub
    }

    fn is_ready(&self) -> bool {
        self.queue.base.health.is_ready()
    }

    fn lag(&self) -> Option<Duration> {
        self.queue.base.health.lag()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        let (queue, channel) = (self.queue.clone(), channel.clone());
        Box::pin(self.io.run(async move { queue.base.sent(queue.send(&channel, event).await) }))
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        Box::pin(readers::receive(&self.queue.base, &self.io, channel))
    }

    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>> {
        Box::pin(async { Ok(self.hub().new_channel()) })
    }

    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (queue, group, channel) = (self.queue.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { queue.group_add(&group, &channel).await }))
    }

    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (queue, group, channel) = (self.queue.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { queue.group_discard(&group, &channel).await }))
    }

    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>> {
        let queue = self.queue.clone();
        Box::pin(self.io.run(async move {
            queue.group_send(&audience, event).await.inspect_err(|error| queue.base.note_lost(error))
        }))
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        let (queue, group) = (self.queue.clone(), group.clone());
        Box::pin(self.io.run(async move {
            let (_, members) = queue.members(&group).await?;
            Ok(queue.base.names(&queue.group_key(&group), &members))
        }))
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        let (queue, group) = (self.queue.clone(), group.clone());
        Box::pin(self.io.run(async move { Ok(queue.members(&group).await?.1.len()) }))
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        let queue = self.queue.clone();
        Box::pin(self.io.run(async move {
            queue.base.hub.flush().await;
            let prefix = &queue.base.options.prefix;
            for driver in queue.base.shards.all() {
                queue.base.judge(driver, prefix, driver.flush(prefix).await)?;
            }
            Ok(())
        }))
    }
}
