//! Our own layer: one message of the broker for each process and group message.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::sleep;

use super::{
    RedisOptions, RedisOptionsError,
    base::{Base, Mode, hears, listen, probe, renew},
    body::{Codec, To},
    driver::DriverError,
    groups::Groups,
    io::Io,
    mailbox::now,
    readers,
};
use crate::{
    event::Envelope,
    layer::{Audience, ChannelLayer, ChannelName, GroupName, GroupReport, Hub, LayerError, LayerFuture, SendError},
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
    groups: Groups,
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
            random_prefix: 0,
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
        io.spawn(keep_lease(own.clone()));
        Ok(Self { own, io })
    }
}

impl Own {
    fn is_own(&self, channel: &str) -> bool {
        channel.starts_with(self.base.hub.head())
    }

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

    /// A body behind the name of this process, which knows its own messages by it. So nothing else need be read of them.
    fn frame(&self, body: &[u8]) -> Vec<u8> {
        [self.base.hub.node().as_bytes(), body].concat()
    }

    async fn send(&self, channel: &ChannelName, event: Arc<Envelope>) -> Result<(), SendError> {
        if self.is_own(channel) {
            return self.base.hub.send(channel, event).await;
        }
        let Some(node) = node_of(channel) else { return self.base.send_to_queue(channel, &event).await };
        let channel_of_node = self.node_channel(node);
        let body = self.frame(&self.base.encode(&event, To::One(channel))?);
        let driver = self.base.shards.of(node);
        let heard = self.base.judge_sent(driver, &channel_of_node, driver.publish(&channel_of_node, body).await)?;
        self.base.hub.count_gone(usize::from(heard == 0));
        Ok(())
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let (driver, expiry) = (self.base.shards.of(group), self.base.hub.limits().group_expiry);
        let key = if channel.contains('!') { self.members_key(group) } else { self.queues_key(group) };
        if self.is_own(channel) {
            self.groups.add(&self.base, driver, group, channel, &self.group_channel(group)).await?;
            self.base.departed.forget(&key, channel);
        } else if channel.contains('!') {
            // Only its own process can subscribe for it.
            return Err(LayerError::Foreign { channel: channel.clone() });
        }
        let joined = driver.join(&key, vec![channel.to_string()], now(), expiry).await;
        if joined.is_err() {
            self.groups.discard(&self.base, driver, group, channel, &self.group_channel(group)).await;
        }
        self.base.judge(driver, &key, joined)
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let broker = self.base.shards.index_of(group);
        let driver = &self.base.shards.all()[broker];
        if self.is_own(channel) {
            self.groups.discard(&self.base, driver, group, channel, &self.group_channel(group)).await;
        }
        let key = if channel.contains('!') { self.members_key(group) } else { self.queues_key(group) };
        if self.base.health.is_up(broker) {
            match driver.leave(&key, vec![channel.to_string()]).await {
                Err(DriverError::Lost(_)) => {}
                answer => return self.base.judge(driver, &key, answer),
            }
        }
        self.base.departed.note(broker, key, channel.to_string());
        Ok(())
    }

    async fn group_send(&self, group: &GroupName, event: Arc<Envelope>) -> Result<GroupReport, LayerError> {
        let (channel, key) = (self.group_channel(group), self.queues_key(group));
        let body = self.frame(&self.base.encode(&event, To::Reader)?);
        let driver = self.base.shards.of(group);
        let oldest = now() - self.base.hub.limits().group_expiry.as_secs_f64();
        let (heard, queues) = tokio::join!(driver.publish(&channel, body), driver.members(&key, oldest));
        let heard = self.base.judge_sent(driver, &channel, heard)?;
        let (expired, queues) = self.base.judge(driver, &key, queues)?;
        let mut report = self.base.hub.group_send(group, event.clone()).await;
        report.expired += expired;
        report.processes = heard.saturating_sub(usize::from(self.groups.contains(group).await));
        for queue in self.base.names(&key, &queues) {
            match self.base.send_to_queue(&queue, &event).await {
                Ok(()) => report.delivered += 1,
                Err(SendError::ChannelFull { .. }) => report.full += 1,
                Err(SendError::Layer(error)) => return Err(error),
                Err(other) => tracing::debug!(%queue, error = %other, "a member of a group got nothing"),
            }
        }
        Ok(report)
    }

    /// A message for each member: one for a group cannot leave anybody out, nor count who is in two groups once.
    async fn send_to_each(&self, audience: &Audience, event: Arc<Envelope>) -> Result<GroupReport, LayerError> {
        let mut listeners = BTreeSet::new();
        for group in audience.groups() {
            listeners.extend(self.members(group).await?);
        }
        let mut report = GroupReport::default();
        for channel in listeners.iter().filter(|name| !audience.except().contains(name)) {
            match self.send(channel, event.clone()).await {
                Ok(()) => report.delivered += 1,
                Err(SendError::Layer(error)) => return Err(error),
                Err(_) => report.full += 1,
            }
        }
        Ok(report)
    }

    /// Everybody in a group whose process lives. Those of dead processes are taken out.
    async fn members(&self, group: &GroupName) -> Result<Vec<ChannelName>, LayerError> {
        let driver = self.base.shards.of(group);
        let (members, queues) = (self.members_key(group), self.queues_key(group));
        let oldest = now() - self.base.hub.limits().group_expiry.as_secs_f64();
        let (_, connections) = self.base.judge(driver, &members, driver.members(&members, oldest).await)?;
        let (_, named) = self.base.judge(driver, &queues, driver.members(&queues, oldest).await)?;

        let mut by_node: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for channel in connections {
            let node = node_of(&channel).unwrap_or_default().to_owned();
            by_node.entry(node).or_default().push(channel);
        }
        let mut living = named;
        living.extend(by_node.remove(self.base.hub.node()).unwrap_or_default());
        // A lease is on the broker that its node's name is on.
        let mut leases: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for node in by_node.keys() {
            leases.entry(self.base.shards.index_of(node)).or_default().push(node.clone());
        }
        let mut dead = Vec::new();
        for (broker, nodes) in leases {
            let keeper = &self.base.shards.all()[broker];
            let keys: Vec<_> = nodes.iter().map(|node| self.lease_key(node)).collect();
            let alive = self.base.judge(keeper, &self.lease_key(&nodes[0]), keeper.alive(keys).await)?;
            for (node, alive) in nodes.into_iter().zip(alive) {
                let channels = by_node.remove(&node).unwrap_or_default();
                if alive { living.extend(channels) } else { dead.extend(channels) }
            }
        }
        if !dead.is_empty() {
            self.base.judge(driver, &members, driver.leave(&members, dead).await)?;
        }
        Ok(self.base.names(&members, &living))
    }

    async fn renew_lease(&self) -> Result<(), DriverError> {
        let node = self.base.hub.node();
        self.base.shards.of(node).lease(&self.lease_key(node), self.base.options.lease).await
    }

    /// Has the broker know who of this process is in which group: takes those out that ended without leaving, and puts
    /// those in that it has lost.
    async fn sweep(&self) -> Result<(), LayerError> {
        for group in self.groups.all().await {
            let driver = self.base.shards.of(&group);
            let channel = self.group_channel(&group);
            if !self.base.hub.has_members(&group) {
                self.groups.leave_if_empty(&self.base, driver, &group, &channel).await;
            }
            let key = self.members_key(&group);
            let (_, listed) = self.base.judge(driver, &key, driver.members(&key, 0.0).await)?;
            // Asked after the broker: who joins meanwhile is here, or is not there yet.
            let here: BTreeSet<String> = self.base.own_members(&group).await.into_iter().collect();
            let listed: BTreeSet<String> = listed.into_iter().filter(|name| self.is_own(name)).collect();
            let gone: Vec<_> = listed.difference(&here).cloned().collect();
            if !gone.is_empty() {
                self.base.judge(driver, &key, driver.leave(&key, gone).await)?;
            }
            let missing: Vec<_> = here.difference(&listed).cloned().collect();
            if !missing.is_empty() {
                let expiry = self.base.hub.limits().group_expiry;
                self.base.judge(driver, &key, driver.join(&key, missing, now(), expiry).await)?;
            }
        }
        Ok(())
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
            return self.base.note_bad_body(channel, &super::body::BodyError::TooShort);
        };
        if node == self.base.hub.node().as_bytes() {
            // Its own: a probe, or what its members have had already.
            if let Some(number) = body.strip_prefix(b"\0").and_then(|number| number.try_into().ok()) {
                self.base.health.probe_came(broker, u64::from_be_bytes(number));
            }
            return;
        }
        let Some(mail) = self.base.decode(channel, body) else { return };
        let start = self.base.options.prefix.len() + 2;
        let group = channel.get(start..channel.len() - 1).filter(|_| channel.ends_with('}'));
        match group.map(GroupName::new) {
            Some(Ok(group)) => {
                self.base.hub.group_post(&group, Arc::new(mail.event)).await;
            }
            _ => {
                self.base.deliver(channel, mail).await;
            }
        }
    }

    async fn rejoin(&self, broker: usize) -> Result<(), DriverError> {
        if self.base.shards.index_of(self.base.hub.node()) == broker {
            self.renew_lease().await?;
        }
        for group in self.groups.all().await {
            let members = self.base.own_members(&group).await;
            if self.base.shards.index_of(&group) == broker && !members.is_empty() {
                let expiry = self.base.hub.limits().group_expiry;
                self.base.shards.all()[broker].join(&self.members_key(&group), members, now(), expiry).await?;
            }
        }
        Ok(())
    }

    async fn probe(&self, broker: usize, number: u64) -> Result<(), DriverError> {
        let body = self.frame(&[&[0], number.to_be_bytes().as_slice()].concat());
        self.base.shards.all()[broker].publish(&self.own_channel(), body).await.map(drop)
    }
}

/// Says that this process lives, three times in the time that others believe it.
async fn keep_lease(own: Arc<Own>) {
    loop {
        if let Err(error) = own.renew_lease().await {
            tracing::debug!(%error, "the lease could not be renewed");
        }
        sleep(own.base.options.lease / 3).await;
        if let Err(error) = own.sweep().await {
            tracing::debug!(%error, "groups could not be looked through");
        }
    }
}

impl ChannelLayer for RedisLayer {
    fn hub(&self) -> &Hub {
        &self.own.base.hub
    }

    fn is_ready(&self) -> bool {
        self.own.base.health.is_ready()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        let (own, channel) = (self.own.clone(), channel.clone());
        Box::pin(self.io.run(async move { own.send(&channel, event).await }))
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        Box::pin(async move {
            if self.own.is_own(channel) {
                Ok(self.hub().receive(channel).await)
            } else if channel.contains('!') {
                Err(LayerError::Foreign { channel: channel.clone() })
            } else {
                Ok(readers::receive(&self.own.base, &self.io, channel).await)
            }
        })
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
        Box::pin(self.io.run(async move {
            match audience.whole_group() {
                Some(group) => own.group_send(group, event).await,
                None => own.send_to_each(&audience, event).await,
            }
        }))
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { own.members(&group).await }))
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        let (own, group) = (self.own.clone(), group.clone());
        Box::pin(self.io.run(async move { Ok(own.members(&group).await?.len()) }))
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        let own = self.own.clone();
        Box::pin(self.io.run(async move {
            own.base.hub.flush().await;
            for group in own.groups.all().await {
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
