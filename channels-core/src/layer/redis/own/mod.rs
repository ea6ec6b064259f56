//! Our own layer: one message of the broker for each process and group message.

mod members;
mod mirror;
mod presence;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};

use self::mirror::Mirror;
use super::{
    RedisOptions, RedisOptionsError,
    base::{AT_ONCE, Base, Mode, hears, is_lost, listen, probe, renew},
    body::{BodyError, Codec, Except, To},
    driver::DriverError,
    groups::Groups,
    io::Io,
    mailbox::now,
    readers,
};
use crate::{
    event::Envelope,
    layer::{Audience, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, SendError},
    presence::{Entry, PresenceError},
};

/// The length of a process's name, which every message begins with.
const NODE: usize = 32;

/// The layer for many processes of this crate: recommended when no Django listens.
///
/// - A group message is published once, and comes once to each process that has members, whatever their number; there it is
///   decoded once. What it costs the broker does not grow with the group.
/// - The sender's own members get it without the broker, as the value that it is.
/// - Who is in a group is known across processes, and leased: what a process had joined is gone at most
///   [`lease`](RedisOptions::lease) (45 s) after it was killed.
/// - Named channels are queues on the broker, for one reader each message.
///
/// A [`GroupReport`] counts this process's members and named channels exactly, and the other processes that were handed the event.
/// What is sent to one connection of another process is dropped and counted there when that is full; it is
/// [`ChannelFull`](SendError::ChannelFull) for one of this process, and for a named channel.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layers, layer::redis::RedisLayer};
///
/// let layers = Layers::from(RedisLayer::new("redis://127.0.0.1:6379")?);
/// # Ok::<(), channels::layer::redis::RedisOptionsError>(())
/// ```
pub struct RedisLayer {
    own: Arc<Own>,
    io: Io,
}

struct Own {
    base: Arc<Base>,
    groups: Groups<Mirror>,
}

impl RedisLayer {
    /// A layer with these options. It connects by itself, now and whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// [`RedisOptionsError`] when an address is none. That a broker does not answer is no error here.
    pub fn new(options: impl Into<RedisOptions>) -> Result<Self, RedisOptionsError> {
        let options = options.into();
        let codec = Codec {
            format: options.serializer_format,
            crypt: options.crypt.clone(),
            random_prefix: options.random_prefix_length,
            ttl: None,
            limit: options.max_message_size,
        };
        let hub = Hub::new(options.limits.clone());
        let base = Arc::new(Base::new(options, hub, codec)?);
        let own = Arc::new(Own { base, groups: Groups::default() });
        let io = Io::start().map_err(RedisOptionsError::Thread)?;
        for broker in 0..own.base.shards.all().len() {
            io.spawn(listen(own.clone(), broker));
        }
        io.spawn(probe(own.clone()));
        io.spawn(renew(own.clone()));
        io.spawn(members::keep_lease(own.clone()));
        io.spawn(members::keep_groups(own.clone()));
        io.spawn(presence::watch(own.clone()));
        Ok(Self { own, io })
    }
}

impl Own {
    fn node_channel(&self, node: &str) -> String {
        format!("{}:node:{node}", self.base.options.prefix)
    }

    fn lease_key(&self, node: &str) -> String {
        format!("{}:lease:{node}", self.base.options.prefix)
    }

    /// Where messages to a group are published. The braces keep all that is a group's on one node of a cluster.
    fn group_channel(&self, group: &str) -> String {
        format!("{}:{{{group}}}", self.base.options.prefix)
    }

    /// The connections in a group, of all processes.
    fn members_key(&self, group: &str) -> String {
        format!("{}:{{{group}}}:members", self.base.options.prefix)
    }

    /// The named channels in a group.
    fn queues_key(&self, group: &str) -> String {
        format!("{}:{{{group}}}:queues", self.base.options.prefix)
    }

    /// The set that a channel is in.
    fn set_key(&self, group: &str, channel: &str) -> String {
        if channel.contains('!') { self.members_key(group) } else { self.queues_key(group) }
    }

    /// A body behind the name of this process, which knows its own messages by it. So nothing else need be read of them.
    fn frame(&self, body: &[u8]) -> Vec<u8> {
        [self.base.hub.node().as_bytes(), body].concat()
    }

    async fn send(&self, channel: &ChannelName, event: Arc<Envelope>) -> Result<(), SendError> {
        if self.base.is_own(channel) {
            return self.base.hub.send(channel, event).await;
        }
        let Some(node) = node_of(channel) else { return self.base.send_to_queue(channel, &event).await };
        let channel_of_node = self.node_channel(node);
        let body = self.frame(&self.base.encode(&event, To::One(channel))?);
        let driver = self.base.shards.of(node);
        let heard = self.base.judge(driver, &channel_of_node, driver.publish(&channel_of_node, body).await)?;
        self.base.hub.count_gone(usize::from(heard == 0));
        Ok(())
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let broker = self.base.shards.index_of(group);
        let (driver, expiry) = (&self.base.shards.all()[broker], self.base.hub.limits().group_expiry);
        let key = self.set_key(group, channel);
        let mut mirror = None;
        if self.base.is_own(channel) {
            mirror = Some(self.groups.add(&self.base, driver, group, channel, &self.group_channel(group)).await?);
            self.base.departed.forget(broker, &key, channel);
        } else if channel.contains('!') {
            // Only its own process can subscribe for it.
            return Err(LayerError::Foreign { channel: channel.clone() });
        }
        let load = async {
            match &mirror {
                Some(mirror) => self.load(group, mirror).await,
                None => Ok(()),
            }
        };
        let (joined, loaded) = tokio::join!(driver.join(&key, vec![channel.to_string()], now(), expiry), load);
        let joined = self.base.judge(driver, &key, joined).and(loaded);
        if joined.is_err() {
            self.groups.discard(&self.base, driver, group, channel, &self.group_channel(group)).await;
            if self.base.is_own(channel) {
                // It may be in the set for all that.
                self.base.departed.note(broker, key.clone(), channel.to_string());
            }
        }
        joined
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let broker = self.base.shards.index_of(group);
        if self.base.is_own(channel) {
            self.unset_present(group, channel).await?;
            let driver = &self.base.shards.all()[broker];
            self.groups.discard(&self.base, driver, group, channel, &self.group_channel(group)).await;
        }
        self.base.take_out(broker, self.set_key(group, channel), channel).await
    }

    /// One message for each group. Who is in several of them gets the first one's: the others' leave the members of those before
    /// out.
    async fn group_send(&self, audience: &Audience, event: Arc<Envelope>) -> Result<GroupReport, LayerError> {
        let groups: Vec<GroupName> = audience.groups().cloned().collect();
        let oldest = now() - self.base.hub.limits().group_expiry.as_secs_f64();
        let (mut report, mut named) = (GroupReport::default(), BTreeSet::new());
        let sent = groups.iter().enumerate().map(|(at, group)| {
            let to = match audience.whole_group() {
                Some(_) => To::Reader,
                None => To::Part { without: &groups[..at], except: audience.except() },
            };
            let body = self.base.encode(&event, to).map(|body| self.frame(&body));
            async move {
                let (channel, key, driver) =
                    (self.group_channel(group), self.queues_key(group), self.base.shards.of(group));
                let (heard, queues) = tokio::join!(driver.publish(&channel, body?), driver.members(&key, oldest));
                let heard = self.base.judge(driver, &channel, heard)?;
                let others = heard.saturating_sub(usize::from(self.groups.get(group).is_some()));
                match self.base.judge(driver, &key, queues) {
                    Ok((expired, queues)) => Ok((others, expired, self.base.names(&key, &queues), None)),
                    // The connections get it for all that.
                    Err(error) if !is_lost(&error) => Ok((others, 0, Vec::new(), Some(error))),
                    Err(error) => Err(error),
                }
            }
        });
        let mut refused = None;
        for sent in join_all(sent.collect::<Vec<_>>()).await {
            let (others, expired, queues, error) = sent?;
            refused = refused.or(error);
            // A process that has members of several groups is one.
            report.processes = report.processes.max(others);
            report.expired += expired;
            named.extend(queues.into_iter().filter(|name| !audience.except().contains(name)));
        }
        report += self.base.hub.group_send(audience.clone(), event.clone()).await;
        for queue in named {
            match self.base.send_to_queue(&queue, &event).await {
                Ok(()) => report.delivered += 1,
                Err(SendError::ChannelFull { .. }) => report.full += 1,
                Err(SendError::Layer(error)) if is_lost(&error) => return Err(error),
                Err(SendError::Layer(error)) => refused = Some(error),
                Err(other) => tracing::debug!(%queue, error = %other, "a member of a group got nothing"),
            }
        }
        refused.map_or(Ok(report), Err)
    }

    /// The members of a group that a message of another process is for.
    fn part(&self, key: &str, group: GroupName, (without, except): &Except) -> Audience {
        let without = without.iter().filter_map(|name| GroupName::new(name.as_str()).ok()).collect();
        Audience::part(group, without, self.base.names(key, except))
    }
}

/// The process in whose name a channel is: `specific.<node>!…`.
fn node_of(channel: &str) -> Option<&str> {
    channel.strip_prefix("specific.")?.split_once('!').map(|(node, _)| node)
}

impl Mode for Own {
    fn base(&self) -> &Base {
        &self.base
    }

    fn own_channel(&self) -> String {
        self.node_channel(self.base.hub.node())
    }

    async fn receive(&self, broker: usize, channel: &str, body: &[u8]) {
        let Some((node, body)) = body.split_at_checked(NODE) else {
            return self.base.note_bad_body(channel, &BodyError::TooShort);
        };
        if node == self.base.hub.node().as_bytes() {
            // Its own: a probe, or what its members have had already.
            if let Some(number) = body.strip_prefix(b"\0").and_then(|number| number.try_into().ok()) {
                self.base.health.probe_came(broker, u64::from_be_bytes(number));
            }
            return;
        }
        let start = self.base.options.prefix.len() + 2;
        let group = channel.get(start..channel.len() - 1).filter(|_| channel.ends_with('}'));
        let group = group.and_then(|group| GroupName::new(group).ok());
        if let Some(group) = group.as_ref().filter(|_| node == presence::MARK) {
            return self.heard(group, body).await;
        }
        let Some(mail) = self.base.decode(channel, body) else { return };
        match group {
            Some(group) => {
                let audience = self.part(channel, group, &mail.except);
                self.base.hub.group_post(audience, Arc::new(mail.event)).await;
            }
            None => {
                self.base.deliver(channel, mail).await;
            }
        }
    }

    async fn rejoin(&self, broker: usize) -> Result<(), DriverError> {
        if self.base.shards.index_of(self.base.hub.node()) == broker {
            self.renew_lease().await?;
        }
        self.base.put_all(broker, |group| self.members_key(group)).await?;
        let here = self.groups.all().into_iter().filter(|(group, _)| self.base.shards.index_of(group) == broker);
        let checked = stream::iter(here).map(|(group, mirror)| async move {
            let checked = self.check(&group, &mirror).await;
            self.base.pass_over(&self.roll_key(&group), checked)
        });
        checked.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn probe(&self, broker: usize, number: u64) -> Result<(), DriverError> {
        let body = self.frame(&[&[0], number.to_be_bytes().as_slice()].concat());
        self.base.shards.all()[broker].publish(&self.own_channel(), body).await.map(drop)
    }
}

impl ChannelLayer for RedisLayer {
    fn hub(&self) -> &Hub {
        &self.own.base.hub
    }

    fn is_ready(&self) -> bool {
        self.own.base.health.is_ready()
    }

    fn lag(&self) -> Option<Duration> {
        self.own.base.health.lag()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        let (own, channel) = (self.own.clone(), channel.clone());
        Box::pin(self.io.run(async move { own.base.sent(own.send(&channel, event).await) }))
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        Box::pin(readers::receive(&self.own.base, &self.io, channel))
    }

    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>> {
        let own = self.own.clone();
        Box::pin(self.io.run(async move {
            hears(&*own).await?;
            Ok(own.base.hub.new_channel())
        }))
    }

    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (own, group, channel) = (self.own.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { own.group_add(&group, &channel).await }))
    }

    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (own, group, channel) = (self.own.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { own.group_discard(&group, &channel).await }))
    }

    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>> {
        let own = self.own.clone();
        Box::pin(
            self.io.run(async move {
                own.group_send(&audience, event).await.inspect_err(|error| own.base.note_lost(error))
            }),
        )
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { own.members(&group).await }))
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { Ok(own.members(&group).await?.len()) }))
    }

    fn presence_set<'a>(&'a self, group: &'a GroupName, entry: Entry) -> LayerFuture<'a, Result<(), PresenceError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { own.set_present(&group, entry).await }))
    }

    fn presence_unset<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        let (own, group, channel) = (self.own.clone(), group.clone(), channel.clone());
        Box::pin(self.io.run(async move { own.unset_present(&group, &channel).await }))
    }

    fn presence_list<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<Arc<Entry>>, PresenceError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { Ok(own.present(&group).await?) }))
    }

    fn presence_count<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, PresenceError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { Ok(own.count_present(&group).await?) }))
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        let own = self.own.clone();
        Box::pin(self.io.run(async move {
            own.base.hub.flush().await;
            for (group, _) in own.groups.all() {
                let driver = own.base.shards.of(&group);
                own.groups.leave_if_empty(&own.base, driver, &group, &own.group_channel(&group)).await;
            }
            let prefix = &own.base.options.prefix;
            for driver in own.base.shards.all() {
                own.base.judge(driver, prefix, driver.flush(prefix).await)?;
            }
            let renewed = own.renew_lease().await;
            own.base.judge(own.base.shards.of(own.base.hub.node()), prefix, renewed)
        }))
    }
}
