//! Who has left while a broker was away.

use std::sync::{Arc, Mutex, PoisonError};

use super::driver::{Driver, DriverError};

/// How many departures are remembered. What is forgotten ends with the group's expiry, or with the process.
const MOST: usize = 65_536;

/// Members that left sets of a broker that was away.
#[derive(Default)]
pub(super) struct Departed(Mutex<Vec<(usize, String, String)>>);

impl Departed {
    pub(super) fn note(&self, broker: usize, key: String, member: String) {
        let mut departed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if departed.len() < MOST {
            departed.push((broker, key, member));
        }
    }

    /// Who joins again has not left.
    pub(super) fn forget(&self, key: &str, member: &str) {
        let mut departed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        departed.retain(|(_, at, who)| (at.as_str(), who.as_str()) != (key, member));
    }

    /// Takes them out of the sets, now that the broker is back.
    pub(super) async fn leave(&self, broker: usize, driver: &Arc<dyn Driver>) -> Result<(), DriverError> {
        loop {
            let next = {
                let departed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                departed.iter().find(|(at, _, _)| *at == broker).cloned()
            };
            let Some((_, key, member)) = next else { return Ok(()) };
            match driver.leave(&key, vec![member.clone()]).await {
                Ok(()) | Err(DriverError::Refused(_)) => self.forget(&key, &member),
                Err(lost) => return Err(lost),
            }
        }
    }
}
