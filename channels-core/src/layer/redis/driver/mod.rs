//! What a layer asks of one broker.

mod calls;
mod cluster;
mod link;
mod roll;
#[cfg(any(test, feature = "testing"))]
mod stub;
mod wanted;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::sync::mpsc;

#[cfg(any(test, feature = "testing"))]
pub use self::stub::StubBroker;
pub(super) use self::{
    cluster::Cluster,
    link::{Link, escape},
};

/// What a driver answers, some time.
pub type DriverFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// A broker that cannot be asked, or that refuses.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The broker cannot be reached: the connection is lost, or there never was one.
    #[error("the broker cannot be reached")]
    Lost(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The broker refuses the command: the key is of another type, the user may not, it is out of memory.
    #[error("the broker refuses the command")]
    Refused(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// One message for one mailbox.
#[derive(Clone, Debug)]
pub struct Push {
    /// The mailbox's key: a sorted set.
    pub key: String,
    /// The body.
    pub body: Vec<u8>,
    /// When it was sent, in seconds since 1970: what the set is sorted by.
    pub sent: f64,
    /// How many messages the mailbox may hold.
    pub capacity: usize,
    /// How long a message may wait, and the mailbox be kept after the last one: whole seconds.
    pub expiry: Duration,
}

/// A message that was in a mailbox.
#[derive(Clone, PartialEq, Debug)]
pub struct Popped {
    /// The body.
    pub body: Vec<u8>,
    /// When it was sent, in seconds since 1970.
    pub sent: f64,
}

/// A change of who is present in a group.
#[derive(Clone, Debug)]
pub struct RollChange {
    /// The roll's key: a hash of its entries, its `epoch` and its `version`.
    pub key: String,
    /// The channel that is told, in the same slot of a cluster.
    pub channel: String,
    /// What becomes of the roll.
    pub step: RollStep,
    /// What a message of presence begins with.
    pub mark: Vec<u8>,
    /// What the channel is told, behind the mark and the roll's new version in 20 digits; and what an entry is set to.
    pub body: Vec<u8>,
    /// How long the roll is kept after its last change or look: whole seconds.
    pub expiry: Duration,
}

/// What becomes of a roll.
#[derive(Clone, Debug)]
pub enum RollStep {
    /// An entry is what the body says, unless there are so many already that it is not one of.
    Set {
        /// The entry.
        entry: String,
        /// How many there may be.
        capacity: usize,
    },
    /// These entries are gone.
    Unset {
        /// The entries.
        entries: Vec<String>,
    },
}

/// A roll, whole. Of one that is not there all is zero.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RollState {
    /// When the roll was begun: another one was begun at another time.
    pub epoch: u64,
    /// What its last change was numbered; a younger roll's numbers are larger than an older one's.
    pub version: u64,
    /// Its entries.
    pub entries: Vec<(String, Vec<u8>)>,
}

/// What a driver tells by itself.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A message came on a channel that is subscribed.
    Message {
        /// The channel.
        channel: String,
        /// The body.
        body: Vec<u8>,
    },
    /// The connection that carries subscriptions is lost.
    Lost,
    /// It is there, for the first time or again, with every subscription.
    Back,
}

/// One broker, as a Redis layer needs it: mailboxes, sets of members, subscriptions.
///
/// The layers are written against this, and tested with the `StubBroker` of [`testing`](crate::testing). All methods may be called
/// from any task of one runtime; a call fails within the time that its driver was made with.
pub trait Driver: Send + Sync + 'static {
    /// The broker's address, for the log: without a password.
    fn name(&self) -> &str;

    /// Adds each message to its mailbox unless that is full; for each whether it was added, or why the broker refuses that mailbox.
    /// Messages that are older than they may be are removed from these mailboxes.
    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<Result<bool, DriverError>>>;

    /// Takes the oldest messages out of a mailbox, at most `most`; waits for the first at most `wait`, in whole seconds, and not at
    /// all when that is zero.
    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>>;

    /// Adds members to a set, as of now, and keeps the set for `expiry` (whole seconds).
    fn join<'a>(&'a self, key: &'a str, members: Vec<String>, now: f64, expiry: Duration) -> DriverFuture<'a, ()>;

    /// Takes members out of a set.
    fn leave<'a>(&'a self, key: &'a str, members: Vec<String>) -> DriverFuture<'a, ()>;

    /// Takes those who joined before `oldest` out of a set, and returns their number and who is left.
    fn members<'a>(&'a self, key: &'a str, oldest: f64) -> DriverFuture<'a, (usize, Vec<String>)>;

    /// Says that each of these keys is in use for so long.
    fn lease<'a>(&'a self, key: &'a str, time: Duration) -> DriverFuture<'a, ()>;

    /// How much time these leases have left; `None` for one that has ended.
    fn leases(&self, keys: Vec<String>) -> DriverFuture<'_, Vec<Option<Duration>>>;

    /// Changes a roll, numbers the change, and publishes it, all at once; what changes nothing is neither numbered nor
    /// published. The roll's version, or `None` when it is full. It may be done twice.
    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>>;

    /// A roll, or `None` when it has still the version that is known. One with entries is kept for `expiry` (whole seconds) from
    /// then on.
    fn roll<'a>(&'a self, key: &'a str, known: u64, expiry: Duration) -> DriverFuture<'a, Option<RollState>>;

    /// Sends a message to the subscribers of a channel; how many connections those are.
    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize>;

    /// Subscribes to a channel, or with a `*` at the end to all that begin so; when it resolves, nothing that is published is
    /// missed. The subscription is renewed whenever the connection is.
    fn subscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()>;

    /// Ends a subscription.
    fn unsubscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()>;

    /// Keeps the connection for subscriptions, and tells what happens, until the receiver is dropped. It is called once.
    ///
    /// What is not taken in time is dropped and counted in `overflow`.
    fn listen(
        &self,
        notices: mpsc::Sender<Notice>,
        overflow: Arc<dyn Fn() + Send + Sync>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Makes the connection for subscriptions anew: it looks open and carries nothing.
    fn reset(&self);

    /// Deletes every key that begins so.
    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()>;
}
