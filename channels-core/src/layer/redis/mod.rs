//! Channel layers over Redis: groups whose members are in many processes, Django's among them.
//!
//! | layer | when |
//! |---|---|
//! | [`RedisLayer`] | all members are this crate's: one message of the broker for each process and group message |
//! | [`RedisChannelLayer`] | Django processes use `channels_redis.core.RedisChannelLayer` |
//! | [`RedisPubSubChannelLayer`] | Django processes use `channels_redis.pubsub.RedisPubSubChannelLayer` |
//!
//! All are made of [`RedisOptions`], which has Channels' names. A layer has a thread of its own, which talks to the broker: its
//! handles work on any other thread, as those of every layer do.
//!
//! # Untrusted input
//!
//! Whoever may write to the broker may send events to consumers: give it a password. A body that is not one of an event is
//! logged, once for each key and kind of mistake, and dropped.

mod bad;
mod base;
mod body;
mod crypt;
mod departed;
pub(crate) mod driver;
mod groups;
mod health;
mod host;
mod io;
mod mailbox;
mod named;
mod options;
mod own;
mod pubsub;
mod queue;
mod readers;
mod retries;
mod shards;
mod subscribed;

pub use self::driver::{Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState, RollStep};
pub use self::{
    body::SerializerFormat,
    host::{Host, Tls},
    options::{RedisOptions, RedisOptionsError},
    own::RedisLayer,
    pubsub::RedisPubSubChannelLayer,
    queue::RedisChannelLayer,
};
