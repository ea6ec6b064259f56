//! What an operator sees of a hub, a page at a time: however many groups and queues there are, a page is small.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use super::{Address, Hub};
use crate::layer::{ChannelName, GroupName};

/// Members of a group, or groups of a connection, that are named in its row.
pub(crate) const NAMED: usize = 10;

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// Rows before it.
    pub(crate) offset: usize,
    /// Rows in it, at most.
    pub(crate) limit: usize,
}

impl Page {
    /// What is left of it for the next of several lists, when this one has `total` rows and gave so many.
    pub(crate) fn after(self, total: usize, given: usize) -> Self {
        Self { offset: self.offset.saturating_sub(total), limit: self.limit - given }
    }

    /// How many rows there are, and those of this page, sorted.
    pub(super) fn of<T: Ord>(self, rows: impl Iterator<Item = T>) -> (usize, Vec<T>) {
        let mut rows: Vec<T> = rows.collect();
        let (total, end) = (rows.len(), self.offset.saturating_add(self.limit));
        if end < total {
            rows.select_nth_unstable(end);
            rows.truncate(end);
        }
        rows.sort_unstable();
        rows.drain(..self.offset.min(rows.len()));
        (total, rows)
    }
}

/// A group, as far as it is in this process.
#[derive(Serialize)]
pub(crate) struct GroupRow {
    group: GroupName,
    members: usize,
    /// The first of them.
    channels: Vec<ChannelName>,
}

/// A named channel of this process.
#[derive(Serialize)]
pub(crate) struct QueueRow {
    pub(super) channel: ChannelName,
    /// Events in it.
    pub(super) waiting: usize,
    /// For how many seconds the first of them has waited.
    pub(super) oldest_seconds: f64,
    /// Who waits for events.
    pub(super) readers: usize,
}

impl Hub {
    /// How many groups have members in this process, and a page of them by name.
    pub(crate) async fn group_rows(&self, page: Page) -> (usize, Vec<GroupRow>) {
        let (total, groups) = {
            let groups = self.0.groups.read();
            let groups = groups.pin();
            let (total, page) = page.of(groups.keys());
            (total, page.into_iter().cloned().collect::<Arc<[GroupName]>>())
        };
        let mut rows: Vec<_> = groups.iter().map(|group| self.queues_in(group)).collect();
        let threads: Vec<u32> = self.0.threads.pin().keys().copied().collect();
        let listed = threads.into_iter().map(|thread| {
            let groups = groups.clone();
            let list = move |group: &GroupName, local: &super::Local| (local.size(group), local.members(group, NAMED));
            self.on(thread, move |local| groups.iter().map(|group| list(group, local)).collect::<Vec<_>>())
        });
        for listed in join_all(listed).await.into_iter().flatten() {
            for (row, (members, channels)) in rows.iter_mut().zip(listed) {
                row.members += members;
                row.channels.extend(channels);
                row.channels.truncate(NAMED);
            }
        }
        (total, rows)
    }

    /// A group's row with its named channels only.
    fn queues_in(&self, group: &GroupName) -> GroupRow {
        let mut channels: Vec<_> = self.unlapsed(self.reach(group).queues).collect();
        let members = channels.len();
        channels.truncate(NAMED);
        GroupRow { group: group.clone(), members, channels }
    }

    /// How many named channels there are in this process, in which something waits or for which somebody does, and a page of
    /// them by name.
    pub(crate) fn queue_rows(&self, page: Page) -> (usize, Vec<QueueRow>) {
        self.0.queues.rows(page)
    }

    /// The groups of a connection of this thread, some of them by name, and their number.
    pub(crate) fn groups_of(&self, channel: &ChannelName) -> (usize, Vec<GroupName>) {
        self.with_groups_of(channel, |groups| (groups.len(), groups.iter().take(NAMED).cloned().collect()))
            .unwrap_or_default()
    }

    /// Whether a connection of this thread is in a group.
    pub(crate) fn is_in(&self, channel: &ChannelName, group: &GroupName) -> bool {
        self.with_groups_of(channel, |groups| groups.contains(group)).unwrap_or_default()
    }

    fn with_groups_of<R>(&self, channel: &ChannelName, tell: impl FnOnce(&[GroupName]) -> R) -> Option<R> {
        match Address::parse(channel, &self.0.head) {
            Address::Session(seat) => self.local(seat.thread)?.with_groups_of(seat, tell),
            Address::Queue => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_one_list_follow_each_other_in_order() {
        let numbers = || [5, 3, 1, 4, 2].into_iter();
        let page = |offset, limit| Page { offset, limit }.of(numbers());
        assert_eq!(page(0, 2), (5, vec![1, 2]));
        assert_eq!(page(2, 2), (5, vec![3, 4]));
        assert_eq!(page(4, 2), (5, vec![5]));
        assert_eq!(page(6, 2), (5, vec![]));
        assert_eq!(page(0, 0), (5, vec![]));
        assert_eq!(page(usize::MAX, usize::MAX), (5, vec![]));
        assert_eq!(page(0, 9), (5, vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_page_goes_on_in_the_next_list() {
        let page = Page { offset: 4, limit: 5 }.after(7, 3);
        assert_eq!((page.offset, page.limit), (0, 2));
        let page = Page { offset: 8, limit: 5 }.after(7, 0);
        assert_eq!((page.offset, page.limit), (1, 5));
    }
}
