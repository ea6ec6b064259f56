//! The groups that this process is subscribed to, because it has members of them.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::Mutex, time::timeout};

use super::{
    base::Base,
    driver::{Driver, DriverError},
};
use crate::layer::{ChannelName, GroupName, LayerError};

/// The groups that this process is subscribed to: each once, however many members it has, with what is kept of it meanwhile.
#[derive(Default)]
pub(super) struct Groups<T = ()>(Mutex<HashMap<GroupName, Arc<T>>>);

impl<T: Default> Groups<T> {
    /// Adds a member of this process to a group. When it resolves, nothing that is published to the group is missed.
    pub(super) async fn add(
        &self,
        base: &Base,
        driver: &Arc<dyn Driver>,
        group: &GroupName,
        channel: &ChannelName,
        subscription: &str,
    ) -> Result<Arc<T>, LayerError> {
        let late = |error| LayerError::Broker { broker: driver.name().to_owned(), source: Box::new(error) };
        let mut subscribed = timeout(base.options.timeout, self.0.lock()).await.map_err(late)?;
        if !subscribed.contains_key(group) {
            base.judge(driver, subscription, driver.subscribe(subscription).await)?;
        }
        base.hub.group_add(group, channel).await;
        Ok(subscribed.entry(group.clone()).or_default().clone())
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
        if base.hub.has_members(group) || subscribed.remove(group).is_none() {
            return;
        }
        if let Err(error @ DriverError::Refused(_)) = driver.unsubscribe(name).await {
            tracing::debug!(%group, %error, "a subscription could not be ended");
        }
    }

    /// The groups that this process is subscribed to, and what is kept of them.
    pub(super) async fn all(&self) -> Vec<(GroupName, Arc<T>)> {
        self.0.lock().await.iter().map(|(group, kept)| (group.clone(), kept.clone())).collect()
    }

    /// What is kept of a group, if this process is subscribed to it.
    pub(super) async fn get(&self, group: &GroupName) -> Option<Arc<T>> {
        self.0.lock().await.get(group).cloned()
    }

    pub(super) async fn contains(&self, group: &GroupName) -> bool {
        self.0.lock().await.contains_key(group)
    }
}
