//! Where the members of each group are: one table of the process, read without a lock.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use papaya::{Guard as _, Operation, ResizeMode};
use tokio::time::Instant;

use crate::{
    layer::{ChannelName, GroupName},
    room,
};

type Table = papaya::HashMap<GroupName, Reach>;

/// Where the members of a group are.
#[derive(Clone, Default)]
pub(super) struct Reach {
    pub(super) threads: Vec<u32>,
    pub(super) queues: Vec<(ChannelName, Instant)>,
}

impl Reach {
    fn is_empty(&self) -> bool {
        self.threads.is_empty() && self.queues.is_empty()
    }
}

/// The groups that have members.
pub(super) struct Index {
    table: ArcSwap<Table>,
    /// Who changes an entry holds it with others; who puts a smaller table into the place of this one, alone.
    changes: RwLock<()>,
    /// The most groups that the table had at once, which it keeps room for.
    most: AtomicUsize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { table: ArcSwap::from_pointee(table(0)), changes: RwLock::default(), most: AtomicUsize::new(0) }
    }

    /// The table as it is now, to be read at once: when most groups are gone another one takes its place.
    pub(super) fn read(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Changes where a group's members are; a group without any is forgotten.
    pub(super) fn change(&self, group: &GroupName, change: impl Fn(&mut Reach)) {
        let (groups, most) = {
            let _with_others = self.changes.read().unwrap_or_else(PoisonError::into_inner);
            let table = self.table.load();
            let table = table.pin();
            table.compute(group.clone(), |entry| {
                let mut reach = entry.map(|(_, reach)| reach.clone()).unwrap_or_default();
                change(&mut reach);
                match (reach.is_empty(), entry) {
                    (false, _) => Operation::Insert(reach),
                    (true, Some(_)) => Operation::Remove,
                    (true, None) => Operation::Abort(()),
                }
            });
            let groups = table.len();
            (groups, self.most.fetch_max(groups, Ordering::Relaxed))
        };
        if room::to_keep(groups, most).is_some() {
            self.shrink();
        }
    }

    /// Moves what there still is to a table with room for little more.
    fn shrink(&self) {
        let _alone = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let old = self.table.load();
        let old = old.pin();
        let groups = old.len();
        let Some(room) = room::to_keep(groups, self.most.load(Ordering::Relaxed)) else { return };
        let new = table(room);
        for (group, reach) in &old {
            new.pin().insert(group.clone(), reach.clone());
        }
        self.most.store(groups, Ordering::Relaxed);
        self.table.store(Arc::new(new));
    }

    /// Frees what the table had of the groups that this thread has removed; otherwise they wait until they are some dozens.
    pub(super) fn flush(&self) {
        self.table.load().guard().flush();
    }
}

fn table(room: usize) -> Table {
    // Where writers copy a grown table bit by bit, readers search all that there were.
    papaya::HashMap::builder().capacity(room).resize_mode(ResizeMode::Blocking).build()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    fn group(of: usize, number: usize) -> GroupName {
        GroupName::new(format!("{of}.{number}")).unwrap()
    }

    fn add(index: &Index, group: &GroupName) {
        index.change(group, |reach| reach.threads.push(1));
    }

    fn remove(index: &Index, group: &GroupName) {
        index.change(group, |reach| reach.threads.clear());
    }

    fn groups(index: &Index) -> BTreeSet<GroupName> {
        index.read().pin().keys().cloned().collect()
    }

    #[test]
    fn the_room_of_many_groups_is_given_back_when_few_are_left() {
        let index = Index::new();
        let all: Vec<_> = (0..1_000).map(|number| group(0, number)).collect();
        all.iter().for_each(|group| add(&index, group));
        assert_eq!(index.most.load(Ordering::Relaxed), 1_000);
        let large = Arc::downgrade(&index.read());
        all[3..].iter().for_each(|group| remove(&index, group));
        assert!(index.most.load(Ordering::Relaxed) <= 64);
        assert!(large.upgrade().is_none(), "the table that had room for all is freed");
        assert_eq!(groups(&index), all[..3].iter().cloned().collect());
    }

    #[test]
    fn no_change_is_lost_while_tables_take_each_others_place() {
        let index = Index::new();
        let crowd: Vec<_> = (0..200).map(|number| group(0, number)).collect();
        thread::scope(|threads| {
            for of in 1..4 {
                let index = &index;
                threads.spawn(move || {
                    for group in (0..50_000).map(|number| group(of, number % 9)) {
                        add(index, &group);
                        assert!(index.read().pin().contains_key(&group), "{group} was added");
                        remove(index, &group);
                        assert!(!index.read().pin().contains_key(&group), "{group} was removed");
                    }
                });
            }
            for _ in 0..200 {
                crowd.iter().for_each(|group| add(&index, group));
                crowd.iter().for_each(|group| remove(&index, group));
            }
        });
        assert_eq!(groups(&index), BTreeSet::new());
    }
}
