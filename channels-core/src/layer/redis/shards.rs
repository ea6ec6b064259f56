//! Which of several hosts a name is on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::driver::Driver;

/// The hosts of a layer.
pub(super) struct Shards {
    drivers: Vec<Arc<dyn Driver>>,
    next: AtomicUsize,
}

impl Shards {
    pub(super) fn new(drivers: Vec<Arc<dyn Driver>>) -> Self {
        Self { drivers, next: AtomicUsize::new(0) }
    }

    pub(super) fn all(&self) -> &[Arc<dyn Driver>] {
        &self.drivers
    }

    pub(super) fn index_of(&self, name: &str) -> usize {
        consistent_hash(name, self.drivers.len())
    }

    /// The host that a name is on.
    pub(super) fn of(&self, name: &str) -> &Arc<dyn Driver> {
        &self.drivers[self.index_of(name)]
    }

    /// One host after the other, for what any of them may have.
    pub(super) fn next(&self) -> &Arc<dyn Driver> {
        &self.drivers[self.next.fetch_add(1, Ordering::Relaxed) % self.drivers.len()]
    }
}

/// The low twelve bits of a name's CRC-32, spread over the hosts (channels_redis/utils.py).
fn consistent_hash(name: &str, hosts: usize) -> usize {
    if hosts == 1 {
        return 0;
    }
    let value = crc32fast::hash(name.as_bytes()) & 0xfff;
    (f64::from(value) / (4_096.0 / hosts as f64)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    // channels_redis test_utils: consistent_hash_result
    #[test]
    fn names_are_on_the_hosts_that_channels_redis_looks_at() {
        for (name, hosts, expected) in [("key_one", 1, 0), ("key_two", 1, 0), ("key_one", 2, 1), ("key_two", 2, 0)] {
            assert_eq!(consistent_hash(name, hosts), expected, "{name} of {hosts}");
        }
        assert_eq!((consistent_hash("key_one", 10), consistent_hash("key_two", 10)), (6, 4));
    }
}
