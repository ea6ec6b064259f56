//! Presence: who is here, with what they say of themselves, and who comes and goes.
//!
//! A connection says [`cx.presence(group).join(who, meta)`](crate::Context::presence): it is *present* in the group then, as
//! somebody. One person on two devices is one [`Person`] with two [`Entry`]s. Whoever is in the group is told of each change by an
//! event, the [`PresenceDiff`]. What ends a connection ends its presence.

mod diff;
mod error;
mod handle;
mod person;
mod roll;

pub(crate) use self::roll::{Diffs, Roll};
pub use self::{
    diff::{Change, PresenceDiff},
    error::PresenceError,
    handle::{GroupPresence, Presence},
    person::{Entry, META_LIMIT, Person, WHO_LIMIT},
};
