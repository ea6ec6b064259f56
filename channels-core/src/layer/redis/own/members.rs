//! Who is in a group, of all processes: what the brokers keep of it, and which processes live.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::{Own, mirror::Mirror, node_of};
use crate::layer::{
    ChannelName, GroupName, LayerError,
    redis::{base::AT_ONCE, driver::DriverError, mailbox::now},
};

impl Own {
    /// Everybody in a group whose process lives. Those of dead processes are taken out.
    pub(super) async fn members(&self, group: &GroupName) -> Result<Vec<ChannelName>, LayerError> {
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
        let leases = self.leases(by_node.keys().cloned().collect()).await?;
        let mut dead = Vec::new();
        for (node, channels) in by_node {
            if leases.contains_key(&node) { living.extend(channels) } else { dead.extend(channels) }
        }
        if !dead.is_empty() {
            self.base.judge(driver, &members, driver.leave(&members, dead).await)?;
        }
        Ok(self.base.names(&members, &living))
    }

    /// Which of these processes live, and for how long that is believed without another sign of them.
    pub(super) async fn leases(&self, nodes: BTreeSet<String>) -> Result<HashMap<String, Duration>, LayerError> {
        // A lease is on the broker that its node's name is on.
        let mut brokers: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for node in nodes {
            brokers.entry(self.base.shards.index_of(&node)).or_default().push(node);
        }
        let mut leases = HashMap::new();
        for (broker, nodes) in brokers {
            let keeper = &self.base.shards.all()[broker];
            let keys: Vec<_> = nodes.iter().map(|node| self.lease_key(node)).collect();
            let left = self.base.judge(keeper, &self.lease_key(&nodes[0]), keeper.leases(keys).await)?;
            leases.extend(nodes.into_iter().zip(left).filter_map(|(node, left)| Some((node, left?))));
        }
        Ok(leases)
    }

    pub(super) async fn renew_lease(&self) -> Result<(), DriverError> {
        let node = self.base.hub.node();
        self.base.shards.of(node).lease(&self.lease_key(node), self.base.options.lease).await
    }

    /// Has the brokers know who of this process is in which group: takes those out that ended without leaving, and puts
    /// those in that they have lost.
    async fn sweep(&self) -> Result<(), DriverError> {
        let swept = stream::iter(self.groups.all()).map(|(group, mirror)| async move {
            let key = self.members_key(&group);
            let swept = self.sweep_group(&group, &mirror, &key).await;
            self.base.pass_over(&key, swept)
        });
        swept.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn sweep_group(&self, group: &GroupName, mirror: &Mirror, key: &str) -> Result<(), DriverError> {
        let driver = self.base.shards.of(group);
        self.groups.leave_if_empty(&self.base, driver, group, &self.group_channel(group)).await;
        let (_, listed) = driver.members(key, 0.0).await?;
        // Asked after the broker: who joins meanwhile is here, or is not there yet.
        let here: BTreeSet<String> = self.base.own_members(group).await.into_iter().collect();
        self.sweep_roll(group, mirror).await?;
        let listed: BTreeSet<String> = listed.into_iter().filter(|name| self.base.is_own(name)).collect();
        let gone: Vec<_> = listed.difference(&here).cloned().collect();
        if !gone.is_empty() {
            driver.leave(key, gone).await?;
        }
        self.base.put(driver, group, key, here.difference(&listed).cloned().collect()).await
    }
}

/// Says that this process lives, three times in the time that others believe it.
pub(super) async fn keep_lease(own: Arc<Own>) {
    loop {
        if let Err(error) = own.renew_lease().await {
            tracing::debug!(%error, "the lease could not be renewed");
        }
        sleep(own.base.options.lease / 3).await;
    }
}

/// Looks through the groups as often, beside it: with many of them that takes its time.
pub(super) async fn keep_groups(own: Arc<Own>) {
    loop {
        sleep(own.base.options.lease / 3).await;
        if let Err(error) = own.sweep().await {
            tracing::debug!(%error, "groups could not be looked through");
        }
    }
}
