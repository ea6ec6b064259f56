//! The settings of a Redis layer, under Channels' names.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::{
    SerializerFormat,
    crypt::Crypt,
    driver::{Cluster, Driver, Link},
    host::Host,
};
use crate::layer::{CapacityPattern, Limits};

/// The settings of a Redis layer, under the names that channels_redis has for them.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::layer::redis::{RedisChannelLayer, RedisOptions};
///
/// let options = RedisOptions::hosts(["redis://127.0.0.1:6379/1", "redis://127.0.0.1:6380/1"])
///     .prefix("shop")
///     .capacity(1_000)
///     .symmetric_encryption_keys(["a new secret", "an old secret"]);
/// let layer = RedisChannelLayer::new(options)?;
/// # Ok::<(), channels::layer::redis::RedisOptionsError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisOptions {
    hosts: Vec<Host>,
    pub(super) drivers: Option<Vec<Arc<dyn Driver>>>,
    pub(super) prefix: String,
    pub(super) limits: Limits,
    pub(super) crypt: Option<Crypt>,
    pub(super) random_prefix_length: usize,
    pub(super) serializer_format: SerializerFormat,
    pub(super) on_disconnect: Option<String>,
    pub(super) on_reconnect: Option<String>,
    pub(super) max_message_size: usize,
    pub(super) timeout: Duration,
    pub(super) probe_interval: Duration,
    pub(super) lease: Duration,
}

/// Settings that are wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RedisOptionsError {
    /// Name one host at least.
    #[error("a redis layer needs a host, as redis://127.0.0.1:6379")]
    NoHost,
    /// Correct the address: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, `rediss+cluster://`.
    #[error("`{host}` is not the address of a redis host, as redis://127.0.0.1:6379 is")]
    Host {
        /// The address, without its password.
        host: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Take [`RedisLayer`](super::RedisLayer), or name single brokers: channels_redis's layers know no cluster.
    #[error("`{host}` is a cluster, which only `RedisLayer` can use; name single brokers for this layer")]
    Cluster {
        /// The address, without its password.
        host: String,
    },
    /// Choose a shorter one, of letters, digits, `-`, `_` and `.`.
    #[error("prefix `{prefix}` cannot begin a channel's name: at most 16 ASCII letters, digits, `-`, `_`, `.`")]
    Prefix {
        /// The prefix.
        prefix: String,
    },
    /// A name of an event that no handler may have.
    #[error(transparent)]
    Event(#[from] crate::EventError),
    /// The layer's thread could not be started.
    #[error("the thread of a redis layer could not be started")]
    Thread(#[source] std::io::Error),
}

impl Default for RedisOptions {
    /// One broker at `redis://localhost:6379`, as in Channels.
    fn default() -> Self {
        Self::hosts(["redis://localhost:6379"])
    }
}

impl<H: Into<Host>> From<H> for RedisOptions {
    fn from(host: H) -> Self {
        Self::hosts([host])
    }
}

impl RedisOptions {
    /// The brokers. Channels and groups are spread over several by their names; every process, Django's too, must name the
    /// same ones in the same order.
    pub fn hosts<H: Into<Host>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            drivers: None,
            prefix: "asgi".to_owned(),
            limits: Limits::default(),
            crypt: None,
            random_prefix_length: 12,
            serializer_format: SerializerFormat::default(),
            on_disconnect: None,
            on_reconnect: None,
            max_message_size: 1 << 20,
            timeout: Duration::from_secs(2),
            probe_interval: Duration::from_secs(10),
            lease: Duration::from_secs(45),
        }
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Drivers of your own instead of those for the hosts: the stub of [`testing`](crate::testing).
    #[cfg(feature = "testing")]
    pub fn drivers(drivers: impl IntoIterator<Item = Arc<dyn Driver>>) -> Self {
        Self { drivers: Some(drivers.into_iter().collect()), ..Self::default() }
    }

    /// What the names of keys begin with: `asgi` unless said otherwise.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a message may wait before it is dropped; 60 s unless said otherwise. At least 1 s, in whole seconds.
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.limits.expiry = expiry;
        self
    }

    /// How long a channel stays in a group whose process is gone; 86,400 s unless said otherwise. At least 1 s, in whole
    /// seconds. Channels of a living process are renewed.
    pub fn group_expiry(mut self, expiry: Duration) -> Self {
        self.limits.group_expiry = expiry;
        self
    }

    /// How many messages may wait in a channel; 100 unless said otherwise.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.limits.capacity = messages;
        self
    }

    /// Another capacity for the channels that fit a pattern; the first pattern that fits counts.
    pub fn channel_capacity(mut self, pattern: impl Into<CapacityPattern>, messages: usize) -> Self {
        self.limits.channel_capacity.push((pattern.into(), messages));
        self
    }

    /// How many connections may be [present](crate::presence) in one group; 10,000 unless said otherwise. Only
    /// [`RedisLayer`](super::RedisLayer) knows who is present.
    pub fn presence_capacity(mut self, connections: usize) -> Self {
        self.limits.presence_capacity = connections;
        self
    }

    /// Encrypts what the broker sees. The first passphrase encrypts, each may decrypt: to change it, put a new one in front
    /// everywhere, and take the old one away [`expiry`](Self::expiry) later.
    pub fn symmetric_encryption_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.crypt = Crypt::new(&keys.into_iter().map(Into::into).collect::<Vec<_>>());
        self
    }

    /// How many random bytes tell equal messages apart, 12 unless said otherwise: equal ones that wait in one queue of the
    /// broker would be one. [`RedisPubSubChannelLayer`](super::RedisPubSubChannelLayer) has no queues there, and does without.
    pub fn random_prefix_length(mut self, bytes: usize) -> Self {
        self.random_prefix_length = bytes;
        self
    }

    /// How messages are written: MessagePack unless said otherwise.
    pub fn serializer_format(mut self, format: SerializerFormat) -> Self {
        self.serializer_format = format;
        self
    }

    /// The name of an event that every connection gets when a broker is lost. Nobody gets one unless it is named here; a
    /// consumer without a handler for it drops it.
    pub fn on_disconnect(mut self, event: impl Into<String>) -> Self {
        self.on_disconnect = Some(event.into());
        self
    }

    /// The name of an event that every connection gets when the broker is there again and its groups are joined again: what
    /// was sent in between is lost, so this is the moment to ask for it elsewhere.
    pub fn on_reconnect(mut self, event: impl Into<String>) -> Self {
        self.on_reconnect = Some(event.into());
        self
    }

    /// Bytes that a message has on the broker, at most: 1 MiB unless said otherwise. Larger ones are refused when they are
    /// sent, and dropped and logged when they come.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// How long a call may wait for the broker before it is an error: 2 s unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often the layer sends itself a message, 10 s unless said otherwise. When it does not come back before the next
    /// one, the layer is not ready, and connections that look open but carry nothing are made anew.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// For how long [`RedisLayer`](super::RedisLayer) counts a process among the living after its last sign: 45 s unless said
    /// otherwise. A process renews it three times in that time.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    pub(super) fn connect(&self) -> Result<Vec<Arc<dyn Driver>>, RedisOptionsError> {
        if let Some(drivers) = &self.drivers {
            return Ok(drivers.clone());
        }
        if self.hosts.is_empty() {
            return Err(RedisOptionsError::NoHost);
        }
        let driver = |host: &Host| -> Result<Arc<dyn Driver>, redis::RedisError> {
            Ok(match host.cluster_nodes() {
                Some(nodes) => Arc::new(Cluster::new(host, nodes?, self.timeout)?),
                None => Arc::new(Link::new(host, self.timeout)?),
            })
        };
        let connect = |host: &Host| {
            driver(host).map_err(|source| RedisOptionsError::Host { host: host.to_string(), source: source.into() })
        };
        self.hosts.iter().map(connect).collect()
    }

    /// For the layers whose keys and channels are those of channels_redis.
    pub(super) fn refuse_cluster(&self) -> Result<(), RedisOptionsError> {
        match self.hosts.iter().find(|host| host.cluster_nodes().is_some()) {
            Some(host) => Err(RedisOptionsError::Cluster { host: host.to_string() }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    /// Without passwords and keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions").field("hosts", &self.hosts).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
