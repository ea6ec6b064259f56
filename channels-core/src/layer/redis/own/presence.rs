//! Presence over the broker: a hash for each group, whose changes are numbered and published.
//!
//! Each process with members of a group mirrors the hash. A change is written and published by one script, with the number that the
//! hash then has; a process that has seen the number before applies it to its mirror, and tells its members what that changed. One
//! that misses a number reads the whole hash, and tells the difference. So all tell the same, once, and in one order; and a list is
//! answered from the mirror.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Own,
    mirror::{Mirror, Repair, State},
    node_of,
};
use crate::{
    event::{Event, IntoEvent},
    layer::{
        ChannelName, GroupName, LayerError,
        redis::{
            body::{BodyError, To},
            driver::{DriverError, RollChange, RollState, RollStep},
        },
    },
    presence::{Diffs, Entry, PresenceError},
};

/// What stands in a message of presence where others have the name of their process.
pub(super) const MARK: [u8; 32] = *b"presence........................";

/// The digits of a version, which follow the mark.
const DIGITS: usize = 20;

/// Connections that one message says the end of, at most.
const BATCH: usize = 100;

/// After this time leases are looked at again when they could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// Repairs that are under way at once.
const AT_ONCE: usize = 64;

/// What is published of a change; with an entry it is also what the hash has.
#[derive(Default, Serialize, Deserialize)]
struct Said {
    set: Option<Entry>,
    unset: Vec<ChannelName>,
}

impl Event for Said {
    const NAME: &'static str = "presence.said";
}

impl Own {
    pub(super) fn roll_key(&self, group: &GroupName) -> String {
        format!("{}:{{{group}}}:presence", self.base.options.prefix)
    }

    pub(super) async fn set_present(&self, group: &GroupName, entry: Entry) -> Result<(), PresenceError> {
        let Some(mirror) = self.groups.get(group) else {
            return Err(PresenceError::NotPresent { group: group.clone() });
        };
        let entry = Arc::new(entry);
        let before = mirror.state.lock().await.own.insert(entry.channel.clone(), entry.clone());
        let failure = match self.say_set(group, &entry).await {
            Ok(Some(version)) => {
                // A connection that ended meanwhile has left already.
                if !mirror.state.lock().await.own.contains_key(&entry.channel) {
                    self.say_unset(group, vec![entry.channel.clone()]).await?;
                }
                self.until(group, &mirror, version).await;
                return Ok(());
            }
            Ok(None) => {
                let capacity = self.base.hub.limits().presence_capacity;
                PresenceError::Full { group: group.clone(), capacity }
            }
            // What the broker made of it the next look at its roll tells.
            Err(error) => error.into(),
        };
        let own = &mut mirror.state.lock().await.own;
        match before {
            Some(before) => own.insert(entry.channel.clone(), before),
            None => own.remove(&entry.channel),
        };
        Err(failure)
    }

    pub(super) async fn unset_present(&self, group: &GroupName, channel: &ChannelName) -> Result<(), LayerError> {
        let Some(mirror) = self.groups.get(group) else { return Ok(()) };
        if mirror.state.lock().await.own.remove(channel).is_none() {
            return Ok(());
        }
        if self.base.health.is_up(self.base.shards.index_of(group)) {
            match self.say_unset(group, vec![channel.clone()]).await {
                Ok(version) => {
                    self.until(group, &mirror, version).await;
                    return Ok(());
                }
                Err(LayerError::Broker { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        // Those of other processes hear of it when the broker is back.
        let mut diffs = Diffs::new(group);
        let mut state = mirror.state.lock().await;
        state.unset(channel, &mut diffs);
        self.tell(group, diffs).await
    }

    pub(super) async fn present(&self, group: &GroupName) -> Result<Vec<Arc<Entry>>, LayerError> {
        if let Some(mirror) = self.groups.get(group) {
            let state = mirror.state.lock().await;
            if state.loaded {
                return Ok(state.roll.list());
            }
        }
        let (key, driver) = (self.roll_key(group), self.base.shards.of(group));
        let roll = self
            .base
            .judge(driver, &key, driver.roll(&key, 0, self.base.hub.limits().group_expiry).await)?
            .unwrap_or_default();
        let mut entries = self.entries(&key, roll);
        let nodes = entries.iter().filter_map(|entry| node_of(&entry.channel)).map(ToOwned::to_owned).collect();
        let leases = self.leases(nodes).await?;
        let lives = |entry: &Arc<Entry>| node_of(&entry.channel).is_some_and(|node| leases.contains_key(node));
        entries.retain(lives);
        Ok(entries)
    }

    pub(super) async fn count_present(&self, group: &GroupName) -> Result<usize, LayerError> {
        if let Some(mirror) = self.groups.get(group) {
            let state = mirror.state.lock().await;
            if state.loaded {
                return Ok(state.roll.people());
            }
        }
        let entries = self.present(group).await?;
        Ok(entries.iter().map(|entry| entry.who.as_str()).collect::<BTreeSet<_>>().len())
    }

    /// Reads who is present, before the first member of this process has joined.
    pub(super) async fn load(&self, group: &GroupName, mirror: &Mirror) -> Result<(), LayerError> {
        let mut state = mirror.state.lock().await;
        if state.loaded {
            return Ok(());
        }
        let read = self.read(group, mirror, &mut state, 0).await;
        drop(state);
        let repairs = self.base.judge(self.base.shards.of(group), &self.roll_key(group), read)?;
        self.repair(group, repairs).await;
        Ok(())
    }

    /// A message of presence came to a group: its version, and what changed.
    pub(super) async fn heard(&self, group: &GroupName, message: &[u8]) {
        let Some(mirror) = self.groups.get(group) else { return };
        let parts = message.split_at_checked(DIGITS);
        let parts = parts.and_then(|(digits, body)| Some((std::str::from_utf8(digits).ok()?.parse().ok()?, body)));
        let Some((version, body)) = parts else {
            return self.base.note_bad_body(group, &BodyError::TooShort);
        };
        let mut state = mirror.state.lock().await;
        let at = *mirror.version.borrow();
        if state.loaded && version <= at {
            return;
        }
        let repairs = if state.loaded && version == at + 1 {
            let mut diffs = Diffs::new(group);
            let repairs = self.apply(group, body, &mut state, &mut diffs);
            self.told(group, diffs).await;
            mirror.version.send_replace(version);
            repairs
        } else {
            match self.read(group, &mirror, &mut state, 0).await {
                Ok(repairs) => repairs,
                Err(error) => return tracing::debug!(%group, %error, "who is present could not be read"),
            }
        };
        drop(state);
        self.repair(group, repairs).await;
    }

    fn apply(&self, group: &GroupName, body: &[u8], state: &mut State, diffs: &mut Diffs) -> Vec<Repair> {
        let Some(said) = self.said(group, body) else { return Vec::new() };
        if let Some(entry) = said.set {
            state.set(Arc::new(entry), diffs);
        }
        let mut repairs = Vec::new();
        for channel in said.unset {
            // Others took this process for dead.
            repairs.extend(state.own.get(&channel).cloned().map(Repair::Set));
            state.unset(&channel, diffs);
        }
        repairs
    }

    /// Looks whether the broker's roll is as this process has it, and tells and repairs what is not.
    pub(super) async fn check(&self, group: &GroupName, mirror: &Mirror) -> Result<(), DriverError> {
        let mut state = mirror.state.lock().await;
        let repairs = self.read(group, mirror, &mut state, 0).await?;
        drop(state);
        self.repair(group, repairs).await;
        Ok(())
    }

    /// The same where something may have changed. Who is not here any more, and has not left, leaves.
    pub(super) async fn sweep_roll(&self, group: &GroupName, mirror: &Mirror) -> Result<(), DriverError> {
        let mut state = mirror.state.lock().await;
        // Asked while nobody's presence can begin: who is a member by now, and no other, may be present.
        let here: BTreeSet<String> = self.base.own_members(group).await.into_iter().collect();
        let before = state.own.len();
        state.own.retain(|channel, _| here.contains(channel.as_str()));
        let known = if state.own.len() < before { 0 } else { *mirror.version.borrow() };
        let repairs = self.read(group, mirror, &mut state, known).await?;
        drop(state);
        self.repair(group, repairs).await;
        Ok(())
    }

    /// Becomes as the broker's roll is, unless that has still the version that is known already.
    async fn read(
        &self,
        group: &GroupName,
        mirror: &Mirror,
        state: &mut State,
        known: u64,
    ) -> Result<Vec<Repair>, DriverError> {
        let key = self.roll_key(group);
        let expiry = self.base.hub.limits().group_expiry;
        let roll = self.base.shards.of(group).roll(&key, known, expiry).await?;
        let Some(roll) = roll else { return Ok(Vec::new()) };
        let (epoch, version) = (roll.epoch, roll.version);
        let mut diffs = Diffs::new(group);
        let is_own = |channel: &str| self.base.is_own(channel);
        let repairs = state.take_over(epoch, self.entries(&key, roll), is_own, self.base.options.lease, &mut diffs);
        // At first there is nobody here who knows less.
        if std::mem::replace(&mut state.loaded, true) {
            self.told(group, diffs).await;
        }
        mirror.version.send_replace(version);
        Ok(repairs)
    }

    fn entries(&self, key: &str, roll: RollState) -> Vec<Arc<Entry>> {
        let read = |(field, body): (String, Vec<u8>)| {
            let entry = self.said(key, &body)?.set?;
            (*entry.channel == *field).then(|| Arc::new(entry))
        };
        roll.entries.into_iter().filter_map(read).collect()
    }

    fn said(&self, key: &str, body: &[u8]) -> Option<Said> {
        let mail = self.base.decode(key, body)?;
        match mail.event.decode::<Said>() {
            Ok(Said { set, unset }) => Some(Said { set: set.clone(), unset: unset.clone() }),
            Err(error) => {
                self.base.bad.dropped(key, "presence", &error);
                None
            }
        }
    }

    async fn repair(&self, group: &GroupName, repairs: Vec<Repair>) {
        let (mut sets, mut unsets) = (Vec::new(), Vec::new());
        for repair in repairs {
            match repair {
                Repair::Set(entry) => sets.push(entry),
                Repair::Unset(channel) => unsets.push(channel),
            }
        }
        for batch in unsets.chunks(BATCH) {
            if let Err(error) = self.say_unset(group, batch.to_vec()).await {
                tracing::debug!(%group, %error, "who has left could not be told");
            }
        }
        // Who is said to be here by a process that has no lease would be taken for dead.
        if !sets.is_empty()
            && let Err(error) = self.renew_lease().await
        {
            return tracing::debug!(%group, %error, "the lease could not be renewed");
        }
        let set = |entry: Arc<Entry>| async move {
            match self.say_set(group, &entry).await {
                Ok(Some(_)) => {}
                Ok(None) => tracing::warn!(%group, who = entry.who, "a full group has no room for who was present"),
                Err(error) => tracing::debug!(%group, %error, "who is present could not be told"),
            }
        };
        stream::iter(sets).map(set).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// The roll's version then; `None` when it is full.
    async fn say_set(&self, group: &GroupName, entry: &Arc<Entry>) -> Result<Option<u64>, LayerError> {
        let capacity = self.base.hub.limits().presence_capacity;
        let step = RollStep::Set { entry: entry.channel.to_string(), capacity };
        self.say(group, step, Said { set: Some((**entry).clone()), ..Said::default() }).await
    }

    async fn say_unset(&self, group: &GroupName, channels: Vec<ChannelName>) -> Result<u64, LayerError> {
        let entries = channels.iter().map(ToString::to_string).collect();
        let said = Said { unset: channels, ..Said::default() };
        Ok(self.say(group, RollStep::Unset { entries }, said).await?.unwrap_or_default())
    }

    async fn say(&self, group: &GroupName, step: RollStep, said: Said) -> Result<Option<u64>, LayerError> {
        let (key, driver) = (self.roll_key(group), self.base.shards.of(group));
        let change = RollChange {
            key: key.clone(),
            channel: self.group_channel(group),
            step,
            mark: MARK.to_vec(),
            body: self.base.encode(&said.into_event()?, To::Reader)?,
            expiry: self.base.hub.limits().group_expiry,
        };
        self.base.judge(driver, &key, driver.change_roll(change).await)
    }

    /// Waits until this process has seen a change: what it caused itself comes to it as to all others, in the same order.
    async fn until(&self, group: &GroupName, mirror: &Mirror, version: u64) {
        let mut at = mirror.version.subscribe();
        if timeout(self.base.options.timeout, at.wait_for(|at| *at >= version)).await.is_err()
            && let Err(error) = self.check(group, mirror).await
        {
            tracing::debug!(%group, %error, "who is present could not be read");
        }
    }

    async fn tell(&self, group: &GroupName, diffs: Diffs) -> Result<(), LayerError> {
        for diff in diffs {
            self.base.hub.group_post(group, Arc::new(diff.into_event()?)).await;
        }
        Ok(())
    }

    async fn told(&self, group: &GroupName, diffs: Diffs) {
        if let Err(error) = self.tell(group, diffs).await {
            tracing::warn!(%group, %error, "members could not be told who is present");
        }
    }

    /// Takes those out of every group whose process has died. Gives the time until one may have died that lives now.
    async fn bury(&self) -> Result<Duration, LayerError> {
        let mut wait = self.base.options.lease / 3;
        let mut nodes: BTreeMap<String, Vec<(GroupName, ChannelName)>> = BTreeMap::new();
        for (group, mirror) in self.groups.all() {
            let mut state = mirror.state.lock().await;
            let mut diffs = Diffs::new(&group);
            state.give_up(&mut diffs);
            self.told(&group, diffs).await;
            wait = wait.min(state.gives_up_at().map_or(wait, |at| at.saturating_duration_since(Instant::now())));
            for channel in state.roll.channels().filter(|channel| !self.base.is_own(channel)) {
                let node = node_of(channel).unwrap_or_default().to_owned();
                nodes.entry(node).or_default().push((group.clone(), channel.clone()));
            }
        }
        let leases = self.leases(nodes.keys().cloned().collect()).await?;
        for (node, present) in nodes {
            match leases.get(&node) {
                Some(left) => wait = wait.min(*left),
                None => match self.base.health.settles_in(self.base.shards.index_of(&node), self.base.options.lease) {
                    // After a broker's return every process has to have the time to say that it lives.
                    Some(left) => wait = wait.min(left),
                    None => self.bury_node(present).await?,
                },
            }
        }
        // A lease of which nothing is left has ended a moment later.
        Ok(wait + Duration::from_millis(2))
    }

    async fn bury_node(&self, present: Vec<(GroupName, ChannelName)>) -> Result<(), LayerError> {
        for batch in present.chunk_by(|(one, _), (other, _)| one == other).flat_map(|group| group.chunks(BATCH)) {
            let group = &batch[0].0;
            self.say_unset(group, batch.iter().map(|(_, channel)| channel.clone()).collect()).await?;
        }
        Ok(())
    }
}

/// Looks for processes that have died, at the moment when their leases end. All do, and whoever is first tells everybody.
pub(super) async fn watch(own: Arc<Own>) {
    loop {
        let wait = own.bury().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "leases could not be looked at");
            AGAIN.min(own.base.options.lease / 3)
        });
        sleep(wait).await;
    }
}
