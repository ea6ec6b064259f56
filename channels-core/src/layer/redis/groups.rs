//! The groups that this process is subscribed to, because it has members of them.

use std::{collections::HashSet, sync::Arc};

use tokio::{sync::Mutex, time::timeout};

use super::{
    base::Base,
    driver::{Driver, DriverError},
};
use crate::layer::{ChannelName, GroupName, LayerError};

/// The groups that this process is subscribed to: each once, however many members it has.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashSet<GroupName>>);

impl Groups {
    /// Adds a member of this process to a group. When it resolves, nothing that is published to the group is missed.
    pub(super) async fn add(
        &self,
        base: &Base,
        driver: &Arc<dyn Driver>,
        group: &GroupName,
        channel: &ChannelName,
        subscription: &str,
    ) -> Result<(), LayerError> {
        let late = |error| LayerError::Broker { broker: driver.name().to_owned(), source: Box::new(error) };
        let mut subscribed = timeout(base.options.timeout, self.0.lock()).await.map_err(late)?;
        if !subscribed.contains(group) {
            base.judge(driver, subscription, driver.subscribe(subscription).await)?;
            subscribed.insert(group.clone());
        }
        base.hub.group_add(group, channel).await;
        Ok(())
    }

    /// Takes a member of this process out of a group.
    pub(super) async fn discard(
        &self,
        base: &Base,
        driver: &Arc<dyn Driver>,
        group: &GroupName,
        channel: &ChannelName,
        subscription: &str,
    ) {
        base.hub.group_discard(group, channel).await;
        self.leave_if_empty(base, driver, group, subscription).await;
    }

    /// Ends the subscription to a group that has no members here. A broker that is away has forgotten it.
    pub(super) async fn leave_if_empty(&self, base: &Base, driver: &Arc<dyn Driver>, group: &GroupName, name: &str) {
        let mut subscribed = self.0.lock().await;
        if base.hub.has_members(group) || !subscribed.remove(group) {
            return;
        }
        if let Err(error @ DriverError::Refused(_)) = driver.unsubscribe(name).await {
            tracing::debug!(%group, %error, "a subscription could not be ended");
        }
    }

    /// The groups that this process is subscribed to.
    pub(super) async fn all(&self) -> Vec<GroupName> {
        self.0.lock().await.iter().cloned().collect()
    }

    pub(super) async fn contains(&self, group: &GroupName) -> bool {
        self.0.lock().await.contains(group)
    }
}
