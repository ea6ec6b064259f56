//! Channels' layer over publish and subscribe.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    RedisOptions, RedisOptionsError,
    base::{Base, Mode, hears, listen, probe},
    body::{Codec, To},
    driver::DriverError,
    groups::Groups,
    io::Io,
    named::Named,
};
use crate::{
    event::Envelope,
    layer::{Audience, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, SendError},
};

/// How often subscriptions are looked for that nobody needs: of connections that ended without leaving their groups, of named
/// channels that nobody reads any more.
const SWEEP: Duration = Duration::from_secs(10);

/// The counterpart of `channels_redis.pubsub.RedisPubSubChannelLayer`, byte for byte.
///
/// Nothing is kept on the broker: a message reaches whoever is subscribed at that moment. A group message is published once and
/// comes to each process that has members, the sender's too. Its semantics are those of channels_redis:
///
/// - a named channel is heard by all who [`receive`](crate::Layer::receive) on it, not by one of them;
/// - [`send`](crate::Layer::send) never finds a channel full, and a [`GroupReport`] knows processes but no members;
/// - [`group_channels`](crate::Layer::group_channels) and [`group_size`](crate::Layer::group_size) know this process's members
///   only, and a process puts only channels of its own into groups.
///
/// The names of its channels begin with the prefix, as Channels' do; behind the `!` they name the connection, so that one pattern
/// is all that a process subscribes to for its connections.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layers, layer::redis::RedisPubSubChannelLayer};
///
/// let layers = Layers::from(RedisPubSubChannelLayer::new("redis://127.0.0.1:6379")?);
/// # Ok::<(), channels::layer::redis::RedisOptionsError>(())
/// ```
pub struct RedisPubSubChannelLayer {
    pubsub: Arc<PubSub>,
    io: Io,
}

struct PubSub {
    base: Arc<Base>,
    groups: Groups,
    named: Named,
}

impl RedisPubSubChannelLayer {
    /// A layer with these options. It connects by itself, now and whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// [`RedisOptionsError`] when an address is none or a cluster's, or the prefix cannot begin a channel's name. That a broker does not answer is
    /// no error here.
    pub fn new(options: impl Into<RedisOptions>) -> Result<Self, RedisOptionsError> {
        let options = options.into();
        options.refuse_cluster()?;
        let codec = Codec {
            format: options.serializer_format,
            crypt: options.crypt.clone(),
            random_prefix: 0,
            ttl: None,
            limit: options.max_message_size,
        };
        if options.prefix.len() > 16
            || ChannelName::new(format!("{}x", options.prefix)).is_err()
            || options.prefix.contains('!')
        {
            return Err(RedisOptionsError::Prefix { prefix: options.prefix });
        }
        let hub = Hub::with_prefix(options.limits.clone(), &options.prefix);
        let base = Arc::new(Base::new(options, hub, codec)?);
        let pubsub = Arc::new(PubSub { base, groups: Groups::default(), named: Named::default() });
        let io = Io::start().map_err(RedisOptionsError::Thread)?;
        for broker in 0..pubsub.base.shards.all().len() {
            io.spawn(listen(pubsub.clone(), broker));
        }
        io.spawn(probe(pubsub.clone()));
        io.spawn(sweep(pubsub.clone()));
        Ok(Self { pubsub, io })
    }
}

impl PubSub {
    fn group_channel(&self, group: &str) -> String {
        format!("{}__group__{group}", self.base.options.prefix)
    }

    fn probe_channel(&self) -> String {
        format!("{}probe", self.base.hub.head())
    }

    async fn publish(&self, channel: &str, event: &Envelope) -> Result<usize, LayerError> {
        let body = self.base.encode(event, To::Reader)?;
        let driver = self.base.shards.of(channel);
        let heard = self.base.judge(driver, channel, driver.publish(channel, body).await);
        heard.inspect_err(|error| self.base.note_lost(error))
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        if !self.base.is_own(channel) && !self.named.contains(channel) {
            return Err(LayerError::Foreign { channel: channel.clone() });
        }
        let subscription = self.group_channel(group);
        let driver = self.base.shards.of(&subscription);
        self.groups.add(&self.base, driver, group, channel, &subscription).await.map(drop)
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) {
        let subscription = self.group_channel(group);
        let driver = self.base.shards.of(&subscription);
        self.groups.discard(&self.base, driver, group, channel, &subscription).await;
    }

    async fn leave_empty_groups(&self) {
        for (group, _) in self.groups.all() {
            let subscription = self.group_channel(&group);
            let driver = self.base.shards.of(&subscription);
            self.groups.leave_if_empty(&self.base, driver, &group, &subscription).await;
        }
    }
}

impl Mode for PubSub {
    fn base(&self) -> &Base {
        &self.base
    }

    fn own_channel(&self) -> String {
        format!("{}*", super::driver::escape(self.base.hub.head()))
    }

    async fn receive(&self, broker: usize, channel: &str, body: &[u8]) {
        if channel == self.probe_channel() {
            if let Some(number) = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok()) {
                self.base.health.probe_came(broker, number);
            }
            return;
        }
        let Some(mail) = self.base.decode(channel, body) else { return };
        let event = Arc::new(mail.event);
        let group =
            channel.strip_prefix(self.base.options.prefix.as_str()).and_then(|rest| rest.strip_prefix("__group__"));
        match group.map(GroupName::new) {
            Some(Ok(group)) if self.groups.get(&group).is_some() => {
                self.base.hub.group_post(&group, event).await;
            }
            _ => {
                let names = self.base.names(channel, &[channel.to_owned()]);
                self.base.hub.send_to_each(&names, event).await;
            }
        }
    }

    async fn rejoin(&self, _: usize) -> Result<(), DriverError> {
        Ok(()) // subscriptions are all there is, and the driver renews them
    }

    async fn probe(&self, broker: usize, number: u64) -> Result<(), DriverError> {
        let driver = &self.base.shards.all()[broker];
        driver.publish(&self.probe_channel(), number.to_string().into_bytes()).await.map(drop)
    }
}

async fn sweep(pubsub: Arc<PubSub>) {
    loop {
        sleep(SWEEP).await;
        pubsub.leave_empty_groups().await;
        pubsub.named.sweep(&pubsub.base).await;
    }
}

impl ChannelLayer for RedisPubSubChannelLayer {
    fn hub(&self) -> &Hub {
        &self.pubsub.base.hub
    }

    fn is_ready(&self) -> bool {
        self.pubsub.base.health.is_ready()
    }

    fn lag(&self) -> Option<Duration> {
        self.pubsub.base.health.lag()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        let (pubsub, channel) = (self.pubsub.clone(), channel.clone());
        Box::pin(self.io.run(async move {
            let heard = pubsub.publish(&channel, &event).await?;
            pubsub.base.hub.count_gone(usize::from(heard == 0));
            Ok(())
        }))
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        Box::pin(async move {
            if !self.pubsub.base.is_own(channel) {
                let (pubsub, name) = (self.pubsub.clone(), channel.clone());
                self.io.run(async move { pubsub.named.listen_to(&pubsub.base, &name).await }).await?;
            }
            Ok(self.hub().receive(channel).await)
        })
    }

    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>> {
        let pubsub = self.pubsub.clone();
        Box::pin(self.io.run(async move {
            hears(&*pubsub).await?;
            Ok(pubsub.base.hub.new_channel())
        }))
    }

    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (pubsub, group, channel) = (self.pubsub.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { pubsub.group_add(&group, &channel).await }))
    }

    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (pubsub, group, channel) = (self.pubsub.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move {
            pubsub.group_discard(&group, &channel).await;
            Ok(())
        }))
    }

    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>> {
        let pubsub = self.pubsub.clone();
        Box::pin(self.io.run(async move {
            let group = audience.whole_group().ok_or(LayerError::WholeGroupsOnly)?;
            let processes = pubsub.publish(&pubsub.group_channel(group), &event).await?;
            Ok(GroupReport { processes, ..GroupReport::default() })
        }))
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        Box::pin(async { Ok(self.hub().group_channels(group).await) })
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        Box::pin(async { Ok(self.hub().group_size(group).await) })
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        let pubsub = self.pubsub.clone();
        Box::pin(self.io.run(async move {
            pubsub.base.hub.flush().await;
            pubsub.leave_empty_groups().await;
            Ok(())
        }))
    }
}
