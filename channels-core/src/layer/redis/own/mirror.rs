//! Who is present in a group, as this process has it from the broker.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::{
    layer::ChannelName,
    presence::{Diffs, Entry, Roll},
};

/// What a process knows of who is present in a group that it has members of.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) state: Mutex<State>,
    /// The version of the broker's roll that this is like.
    pub(super) version: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) loaded: bool,
    pub(super) roll: Roll,
    /// Who of this process is present, or is about to be: the broker has it from here.
    pub(super) own: HashMap<ChannelName, Arc<Entry>>,
    /// Which of the rolls that the broker may have had one after the other.
    epoch: u64,
    /// Who was present when the broker forgot everything, and has not been put back yet; until when that is waited for.
    missing: HashMap<ChannelName, Instant>,
}

/// What the broker has wrong of this process.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Repair {
    Set(Arc<Entry>),
    Unset(ChannelName),
}

impl State {
    /// Becomes as the broker's roll is. What that has of this process's own is not believed but repaired.
    ///
    /// A broker that has forgotten everything is told it again by every process, each at its time: until `patience` is over, those
    /// of others are not gone.
    pub(super) fn take_over(
        &mut self,
        epoch: u64,
        entries: Vec<Arc<Entry>>,
        is_own: impl Fn(&str) -> bool,
        patience: Duration,
        diffs: &mut Diffs,
    ) -> Vec<Repair> {
        let has_forgotten = self.epoch != 0 && self.epoch != epoch;
        self.epoch = epoch;
        let mut repairs = Vec::new();
        let mut present: HashMap<ChannelName, Arc<Entry>> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if is_own(&entry.channel) && !self.own.contains_key(&entry.channel) {
                repairs.push(Repair::Unset(entry.channel.clone()));
            } else {
                present.insert(entry.channel.clone(), entry);
            }
        }
        for (channel, entry) in &self.own {
            if present.get(channel) != Some(entry) {
                repairs.push(Repair::Set(entry.clone()));
                if self.roll.has(channel) {
                    present.insert(channel.clone(), entry.clone());
                }
            }
        }
        let now = Instant::now();
        let known = std::mem::take(&mut self.missing);
        for entry in self.roll.list() {
            if present.contains_key(&entry.channel) || is_own(&entry.channel) {
                continue;
            }
            let until = known.get(&entry.channel).copied().or(has_forgotten.then_some(now + patience));
            if let Some(until) = until.filter(|until| now < *until) {
                self.missing.insert(entry.channel.clone(), until);
                present.insert(entry.channel.clone(), entry);
            }
        }
        self.roll.replace(present.into_values().collect(), diffs);
        repairs
    }

    pub(super) fn set(&mut self, entry: Arc<Entry>, diffs: &mut Diffs) {
        self.missing.remove(&entry.channel);
        self.roll.set(entry, diffs);
    }

    pub(super) fn unset(&mut self, channel: &ChannelName, diffs: &mut Diffs) {
        self.missing.remove(channel);
        self.roll.unset(channel, diffs);
    }

    /// Takes out those who were waited for in vain.
    pub(super) fn give_up(&mut self, diffs: &mut Diffs) {
        let now = Instant::now();
        let late: BTreeSet<ChannelName> =
            self.missing.iter().filter(|(_, until)| **until <= now).map(|(channel, _)| channel.clone()).collect();
        late.iter().for_each(|channel| self.unset(channel, diffs));
    }

    /// When that is to be done next.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.missing.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::GroupName;

    const PATIENCE: Duration = Duration::from_secs(45);

    fn entry(channel: &str) -> Arc<Entry> {
        let entry = serde_json::json!({"who": channel, "channel": channel, "meta": null});
        Arc::new(serde_json::from_value(entry).unwrap())
    }

    fn entries(channels: &[&str]) -> Vec<Arc<Entry>> {
        channels.iter().map(|channel| entry(channel)).collect()
    }

    /// Has a state take over a roll; gives what is told of it, as `+name` and `-name`, and what is to be repaired.
    fn take_over(state: &mut State, epoch: u64, channels: &[&str]) -> (Vec<String>, Vec<Repair>) {
        let mut diffs = Diffs::new(&GroupName::new("room").unwrap());
        let is_own = |channel: &str| channel.starts_with("own");
        let repairs = state.take_over(epoch, entries(channels), is_own, PATIENCE, &mut diffs);
        (told(diffs), repairs)
    }

    fn told(diffs: Diffs) -> Vec<String> {
        let mut told: Vec<String> = diffs
            .into_iter()
            .flat_map(|diff| {
                let joins = diff.joins.into_iter().map(|change| format!("+{}", change.who));
                let leaves = diff.leaves.into_iter().map(|change| format!("-{}", change.who));
                joins.chain(leaves).collect::<Vec<_>>()
            })
            .collect();
        told.sort();
        told
    }

    fn state(own: &[&str], others: &[&str]) -> State {
        let mut state = State { loaded: true, ..State::default() };
        state.own = own.iter().map(|channel| (ChannelName::new(*channel).unwrap(), entry(channel))).collect();
        take_over(&mut state, 1, &[own, others].concat());
        state
    }

    #[tokio::test]
    async fn what_changed_while_nobody_looked_is_told_once() {
        let mut state = state(&["own1"], &["ada", "bob"]);
        let (told, repairs) = take_over(&mut state, 1, &["own1", "bob", "cleo"]);
        assert_eq!(told, ["+cleo", "-ada"]);
        assert!(repairs.is_empty());
        assert!(take_over(&mut state, 1, &["own1", "bob", "cleo"]).0.is_empty());
    }

    #[tokio::test]
    async fn what_the_broker_has_wrong_of_this_process_is_repaired_and_not_believed() {
        let mut state = state(&["own1"], &[]);
        let (told, repairs) = take_over(&mut state, 1, &["own2"]);
        assert!(told.is_empty());
        assert_eq!(repairs, [Repair::Unset(ChannelName::new("own2").unwrap()), Repair::Set(entry("own1"))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_forgot_everything_ends_nobodys_presence_before_others_had_time_to_say_it_again() {
        let mut state = state(&["own1"], &["ada", "bob"]);
        let (told_now, repairs) = take_over(&mut state, 2, &[]);
        assert!(told_now.is_empty());
        assert_eq!(repairs, [Repair::Set(entry("own1"))]);
        assert!(take_over(&mut state, 2, &["own1", "ada"]).0.is_empty());
        assert!(state.gives_up_at().is_some());
        tokio::time::advance(PATIENCE).await;
        let mut diffs = Diffs::new(&GroupName::new("room").unwrap());
        state.give_up(&mut diffs);
        assert_eq!(told(diffs), ["-bob"], "who has said it again stays");
        assert!(state.gives_up_at().is_none());
    }
}
