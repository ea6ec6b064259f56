//! How often a client may send.

use std::{
    cell::Cell,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Admission, Gate};
use crate::{Close, CloseCode, Deny, Message, Middleware, Scope};

/// Buckets of users who sent nothing lately are thrown away after so many connections have ended.
const SWEEP_EVERY: u32 = 1_024;

/// Middleware that bounds how often a client may send: a bucket of tokens, of which every message takes one.
///
/// A client without a token is closed with 4429, or its message is dropped and it is [told](Self::tell). Its `receive` is
/// not called. Frames of the protocol itself, pings among them, cost nothing, and events are not counted: they are not
/// the client's.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message, Middleware, URLRouter, path};
/// # #[derive(Default)] struct Chat;
/// # impl Consumer for Chat { type Input = Message; }
/// use std::time::Duration;
///
/// use channels::middleware::RateLimit;
///
/// // 60 in a minute, of which ten at once:
/// let limit = RateLimit::per_connection(60, Duration::from_secs(60)).burst(10);
/// let routes = URLRouter::new([path("ws/", limit.wrap(Chat::default))])?;
/// # Ok::<(), channels::PatternError>(())
/// ```
///
/// # Untrusted input
///
/// It counts messages, not bytes, which [`Config::max_message_size`](crate::Config::max_message_size) bounds; and in this
/// process, not in others. How often somebody connects is not bounded by it.
pub struct RateLimit {
    quota: Quota,
    excess: Excess,
    #[cfg_attr(not(feature = "auth"), allow(dead_code))]
    users: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    ended: AtomicU32,
}

/// What becomes of a client without a token.
#[derive(Clone)]
enum Excess {
    Close,
    Tell(Message),
}

impl RateLimit {
    /// `messages` for each connection in this time. The bucket is full at first, and fills evenly.
    ///
    /// # Panics
    ///
    /// When `messages` or the time is zero.
    #[track_caller]
    pub fn per_connection(messages: u32, within: Duration) -> Self {
        let Some(messages) = NonZeroU32::new(messages) else { panic!("a limit of no messages lets nobody speak") };
        let Some(quota) = Quota::with_period(within / messages.get()) else { panic!("a limit needs a time") };
        Self { quota: quota.allow_burst(messages), excess: Excess::Close, users: None, ended: AtomicU32::new(0) }
    }

    /// `messages` for each user in this time, over all connections of this process. Strangers have one bucket for each
    /// connection. It goes inside of [`AuthMiddleware`](crate::auth::AuthMiddleware).
    ///
    /// # Panics
    ///
    /// When `messages` or the time is zero.
    #[cfg(feature = "auth")]
    #[track_caller]
    pub fn per_user(messages: u32, within: Duration) -> Self {
        let limit = Self::per_connection(messages, within);
        Self { users: Some(Arc::new(RateLimiter::keyed(limit.quota))), ..limit }
    }

    /// The same limit with a bucket of this size: so many messages may come at once. As many as in the whole time, unless
    /// it is set.
    ///
    /// # Panics
    ///
    /// When it is zero.
    #[track_caller]
    #[must_use]
    pub fn burst(mut self, messages: u32) -> Self {
        let Some(messages) = NonZeroU32::new(messages) else { panic!("a burst of no messages lets nobody speak") };
        self.quota = self.quota.allow_burst(messages);
        self.users = self.users.map(|_| Arc::new(RateLimiter::keyed(self.quota)));
        self
    }

    /// Drops what is too much instead of closing, and sends the client this message: once, until one of its own was let
    /// through again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use std::time::Duration;
    ///
    /// use channels::middleware::RateLimit;
    ///
    /// let limit = RateLimit::per_connection(5, Duration::from_secs(1)).tell(r#"{"error": "slow down"}"#);
    /// ```
    #[must_use]
    pub fn tell(mut self, message: impl Into<Message>) -> Self {
        self.excess = Excess::Tell(message.into());
        self
    }
}

impl Middleware for RateLimit {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        scope.demands.gates.push(Box::new(Bucket {
            own: RateLimiter::direct(self.quota),
            users: self.users.clone(),
            excess: self.excess.clone(),
            told: Cell::new(false),
        }));
        Ok(scope)
    }

    async fn after(&self, _: &mut Scope, _: &Close) {
        if let Some(users) = &self.users
            && self.ended.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1
        {
            users.retain_recent();
            users.shrink_to_fit();
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("quota", &self.quota).finish_non_exhaustive()
    }
}

/// The bucket of one connection.
struct Bucket {
    own: DefaultDirectRateLimiter,
    users: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    excess: Excess,
    told: Cell<bool>,
}

impl Bucket {
    fn take(&self, scope: &Scope) -> bool {
        #[cfg(feature = "auth")]
        if let (Some(users), Some(id)) = (&self.users, scope.user_id()) {
            return users.check_key(&id.to_owned()).is_ok();
        }
        let _ = (scope, &self.users);
        self.own.check().is_ok()
    }
}

impl Gate for Bucket {
    fn admit(&self, scope: &Scope) -> Admission {
        if self.take(scope) {
            self.told.set(false);
            return Admission::Granted;
        }
        match &self.excess {
            Excess::Close => {
                Admission::Close(Close::new(CloseCode::TOO_SLOW, "more messages than the rate limit allows"))
            }
            Excess::Tell(message) => Admission::Drop((!self.told.replace(true)).then(|| message.clone())),
        }
    }
}
