//! How many connections each address has, for the limit on them.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::room;

/// The connections of each address, over all threads of a server.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// Counts one more connection of this address; `None` when it has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr, limit: usize) -> Option<Guest> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Guest { addresses: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted until this is dropped.
pub(crate) struct Guest {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if let Some(room) = room::to_keep(counts.len(), counts.capacity()) {
            counts.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_with_its_last_connection() {
        let addresses = Addresses::default();
        let address = IpAddr::from([127, 0, 0, 1]);
        let (first, second) = (addresses.enter(address, 2), addresses.enter(address, 2));
        assert!(first.is_some() && second.is_some() && addresses.enter(address, 2).is_none());
        drop(first);
        let third = addresses.enter(address, 2);
        assert!(third.is_some());
        drop((second, third));
        assert!(addresses.counts().is_empty());
    }
}
