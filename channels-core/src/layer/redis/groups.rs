//! The groups that this process is subscribed to, because it has members of them.

use std::sync::Arc;

use super::{base::Base, driver::Driver, subscribed::Subscribed};
use crate::layer::{ChannelName, GroupName, LayerError};

/// The groups that this process is subscribed to: each once, however many members it has, with what is kept of it meanwhile.
#[derive(Default)]
pub(super) struct Groups<T = ()>(Subscribed<GroupName, T>);

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
        let entered = self.0.enter(group, driver, subscription, base.options.timeout).await;
        // Held until the group has its member: it may not be left as an empty one meanwhile.
        let (_turn, kept) = base.judge(driver, subscription, entered)?;
        base.hub.group_add(group, channel).await;
        Ok(kept)
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

    /// Ends the subscription to a group that has no members here.
    pub(super) async fn leave_if_empty(&self, base: &Base, driver: &Arc<dyn Driver>, group: &GroupName, name: &str) {
        self.0.leave_unless(group, driver, name, || base.hub.has_members(group)).await;
    }

    /// The groups that this process is subscribed to, and what is kept of them.
    pub(super) fn all(&self) -> Vec<(GroupName, Arc<T>)> {
        self.0.all()
    }

    /// What is kept of a group, if this process is subscribed to it.
    pub(super) fn get(&self, group: &GroupName) -> Option<Arc<T>> {
        self.0.get(group)
    }
}
