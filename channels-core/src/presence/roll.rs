//! Who is present in one group, as one process knows it.

use std::{collections::HashMap, sync::Arc};

use super::{Change, Entry, PresenceDiff};
use crate::layer::{ChannelName, GroupName};

/// Changes that one event tells at most.
const MOST: usize = 100;

/// Who is present in one group.
#[derive(Default)]
pub(crate) struct Roll {
    entries: HashMap<ChannelName, Arc<Entry>>,
    /// How many entries each person has.
    people: HashMap<String, usize>,
}

impl Roll {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn people(&self) -> usize {
        self.people.len()
    }

    pub(crate) fn has(&self, channel: &ChannelName) -> bool {
        self.entries.contains_key(channel)
    }

    #[cfg(feature = "redis")]
    pub(crate) fn channels(&self) -> impl Iterator<Item = &ChannelName> {
        self.entries.keys()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Entry>> {
        self.entries.values().cloned().collect()
    }

    /// A connection is present as this; what changes so is told.
    pub(crate) fn set(&mut self, entry: Arc<Entry>, diffs: &mut Diffs) {
        match self.entries.get(&entry.channel) {
            Some(known) if *known == entry => return,
            Some(known) if known.who != entry.who => {
                let channel = known.channel.clone();
                self.unset(&channel, diffs);
            }
            Some(_) => {
                diffs.next().updates.push(change(&entry, self.people.get(&entry.who).copied().unwrap_or_default()));
                self.entries.insert(entry.channel.clone(), entry);
                return;
            }
            None => {}
        }
        let count = self.people.entry(entry.who.clone()).or_default();
        *count += 1;
        diffs.next().joins.push(change(&entry, *count));
        self.entries.insert(entry.channel.clone(), entry);
    }

    /// A connection is present no longer; if it was, that is told.
    pub(crate) fn unset(&mut self, channel: &ChannelName, diffs: &mut Diffs) {
        let Some(entry) = self.entries.remove(channel) else { return };
        let left = match self.people.get_mut(&entry.who) {
            Some(count) if *count > 1 => {
                *count -= 1;
                *count
            }
            _ => {
                self.people.remove(&entry.who);
                0
            }
        };
        diffs.next().leaves.push(change(&entry, left));
    }

    /// These are present, and nobody else. Who comes is counted before who goes: a person who is here on another device now did
    /// not leave.
    #[cfg(feature = "redis")]
    pub(crate) fn replace(&mut self, entries: Vec<Arc<Entry>>, diffs: &mut Diffs) {
        let present: std::collections::HashSet<ChannelName> =
            entries.iter().map(|entry| entry.channel.clone()).collect();
        entries.into_iter().for_each(|entry| self.set(entry, diffs));
        let gone: Vec<ChannelName> = self.channels().filter(|channel| !present.contains(channel)).cloned().collect();
        gone.iter().for_each(|channel| self.unset(channel, diffs));
    }
}

fn change(entry: &Entry, entries: usize) -> Change {
    Change { who: entry.who.clone(), channel: entry.channel.clone(), meta: entry.meta.clone(), entries }
}

/// What is to be told to a group.
pub(crate) struct Diffs {
    group: GroupName,
    diffs: Vec<PresenceDiff>,
}

impl Diffs {
    pub(crate) fn new(group: &GroupName) -> Self {
        Self { group: group.clone(), diffs: Vec::new() }
    }

    /// The event that has room for one more change.
    fn next(&mut self) -> &mut PresenceDiff {
        let is_full = |diff: &PresenceDiff| diff.joins.len() + diff.updates.len() + diff.leaves.len() >= MOST;
        if self.diffs.last().is_none_or(is_full) {
            let group = self.group.clone();
            self.diffs.push(PresenceDiff { group, joins: Vec::new(), updates: Vec::new(), leaves: Vec::new() });
        }
        self.diffs.last_mut().expect("one was just added")
    }
}

impl IntoIterator for Diffs {
    type Item = PresenceDiff;
    type IntoIter = std::vec::IntoIter<PresenceDiff>;

    fn into_iter(self) -> Self::IntoIter {
        self.diffs.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(who: &str, channel: &str, meta: u8) -> Arc<Entry> {
        Arc::new(Entry::new(who.to_owned(), channel.try_into().unwrap(), &meta).unwrap())
    }

    /// What changed, in short: `+ada(1)` for a join after which Ada has one entry.
    fn told(tell: impl FnOnce(&mut Diffs)) -> Vec<String> {
        let mut diffs = Diffs::new(&GroupName::new("room").unwrap());
        tell(&mut diffs);
        let short = |sign: &str, changes: Vec<Change>| {
            changes.into_iter().map(|change| format!("{sign}{}({})", change.who, change.entries)).collect::<Vec<_>>()
        };
        let short = |diff: PresenceDiff| {
            [short("+", diff.joins), short("~", diff.updates), short("-", diff.leaves)].into_iter().flatten()
        };
        diffs.into_iter().flat_map(short).collect()
    }

    #[test]
    fn a_person_on_two_devices_is_one_person_with_two_entries() {
        let mut roll = Roll::default();
        assert_eq!(told(|diffs| roll.set(entry("ada", "a", 1), diffs)), ["+ada(1)"]);
        assert_eq!(told(|diffs| roll.set(entry("ada", "b", 1), diffs)), ["+ada(2)"]);
        assert_eq!((roll.people(), roll.len()), (1, 2));
        assert_eq!(told(|diffs| roll.set(entry("ada", "b", 2), diffs)), ["~ada(2)"]);
        assert!(told(|diffs| roll.set(entry("ada", "b", 2), diffs)).is_empty(), "nothing has changed");
        let [a, b, c] = ["a", "b", "c"].map(|name| ChannelName::new(name).unwrap());
        assert_eq!(told(|diffs| roll.unset(&a, diffs)), ["-ada(1)"]);
        assert_eq!(told(|diffs| roll.unset(&b, diffs)), ["-ada(0)"]);
        assert!(told(|diffs| roll.unset(&c, diffs)).is_empty());
        assert!(roll.is_empty() && roll.people() == 0);
    }

    #[test]
    fn who_is_somebody_else_now_has_left_as_who_they_were() {
        let mut roll = Roll::default();
        told(|diffs| roll.set(entry("ada", "a", 1), diffs));
        assert_eq!(told(|diffs| roll.set(entry("bob", "a", 1), diffs)), ["+bob(1)", "-ada(0)"]);
        assert_eq!(roll.list()[0].meta, json!(1));
    }

    #[cfg(feature = "redis")]
    #[test]
    fn who_changed_the_device_while_nobody_looked_did_not_leave() {
        let mut roll = Roll::default();
        told(|diffs| roll.replace(vec![entry("ada", "a", 1), entry("bob", "b", 1)], diffs));
        let told = told(|diffs| roll.replace(vec![entry("ada", "c", 1), entry("bob", "b", 1)], diffs));
        assert_eq!(told, ["+ada(2)", "-ada(1)"]);
    }

    #[cfg(feature = "redis")]
    #[test]
    fn many_changes_are_several_events_of_at_most_a_hundred() {
        let mut diffs = Diffs::new(&GroupName::new("room").unwrap());
        let crowd = (0..250).map(|n| entry(&format!("{n}"), &format!("c{n}"), 0)).collect();
        Roll::default().replace(crowd, &mut diffs);
        assert_eq!(diffs.into_iter().map(|diff| diff.joins.len()).collect::<Vec<_>>(), [100, 100, 50]);
    }
}
