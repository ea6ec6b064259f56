//! Who has left while a broker was away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    base::AT_ONCE,
    driver::{Driver, DriverError},
};

/// How many departures are remembered. What is forgotten ends with the group's expiry, or with the process.
const MOST: usize = 65_536;

/// Members that left sets of a broker that was away.
#[derive(Default)]
pub(super) struct Departed(Mutex<State>);

#[derive(Default)]
struct State {
    /// By broker and key.
    sets: HashMap<(usize, String), BTreeSet<String>>,
    count: usize,
}

impl Departed {
    pub(super) fn note(&self, broker: usize, key: String, member: String) {
        let mut state = self.state();
        if state.count < MOST && state.sets.entry((broker, key)).or_default().insert(member) {
            state.count += 1;
        }
    }

    /// Who joins again has not left.
    pub(super) fn forget(&self, broker: usize, key: &str, member: &str) {
        let (mut state, at) = (self.state(), (broker, key.to_owned()));
        let Some(set) = state.sets.get_mut(&at) else { return };
        let was_there = set.remove(member);
        if set.is_empty() {
            state.sets.remove(&at);
        }
        state.count -= usize::from(was_there);
    }

    /// Takes them out of the sets, now that the broker is back.
    pub(super) async fn leave(&self, broker: usize, driver: &Arc<dyn Driver>) -> Result<(), DriverError> {
        let keys: Vec<_> =
            self.state().sets.keys().filter(|(at, _)| *at == broker).map(|(_, key)| key.clone()).collect();
        let left = stream::iter(keys).map(|key| async move {
            // Looked up at this moment: who joins from now on asks the broker behind this.
            let members: Vec<String> =
                self.state().sets.get(&(broker, key.clone())).into_iter().flatten().cloned().collect();
            match driver.leave(&key, members.clone()).await {
                Ok(()) | Err(DriverError::Refused(_)) => {
                    members.iter().for_each(|member| self.forget(broker, &key, member));
                    Ok(())
                }
                Err(lost) => Err(lost),
            }
        });
        left.buffer_unordered(AT_ONCE).try_collect().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
