//! Routing by the name of a channel, for workers.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use futures_util::future::LocalBoxFuture;

use super::{Application, IntoApplication, Outcome, RouteList};
use crate::{ChannelName, NameError, Scope, scope::Protocol};

/// Chooses by the name of the channel that a worker reads. Channels' `ChannelNameRouter`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ThumbnailConsumer;
/// # impl Consumer for ThumbnailConsumer { type Input = Message; }
/// use channels::ChannelNameRouter;
///
/// let router = ChannelNameRouter::new([("thumbnails", ThumbnailConsumer::default)])?;
/// assert_eq!(router.channels().collect::<Vec<_>>(), ["thumbnails"]);
/// # Ok::<(), channels::NameError>(())
/// ```
pub struct ChannelNameRouter(BTreeMap<ChannelName, Reader>);

struct Reader {
    application: Arc<dyn Application>,
    /// How many consumers read the channel.
    at_once: usize,
}

impl ChannelNameRouter {
    /// A router of channels and what reads them.
    ///
    /// # Errors
    ///
    /// [`NameError`] when a name is not a channel's, or is there twice.
    pub fn new<Kind, N, A>(channels: impl IntoIterator<Item = (N, A)>) -> Result<Self, NameError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
        A: IntoApplication<Kind>,
    {
        let mut router = Self(BTreeMap::new());
        for (name, to) in channels {
            router = router.with(name, to)?;
        }
        Ok(router)
    }

    /// The same router and one channel more: for consumers of several types.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name is not a channel's, or is there already.
    pub fn with<Kind, N>(mut self, name: N, to: impl IntoApplication<Kind>) -> Result<Self, NameError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let reader = Reader { application: to.into_application(), at_once: 1 };
        match self.0.entry(name.try_into().map_err(Into::into)?) {
            Entry::Vacant(place) => place.insert(reader),
            Entry::Occupied(taken) => return Err(NameError::Taken { name: taken.key().to_string() }),
        };
        Ok(self)
    }

    /// The same router, with so many consumers for a channel: as many of its events are handled at once, at most, and no
    /// longer in order. One, unless it is said.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ChannelNameRouter, Consumer, Message};
    /// # #[derive(Default)] struct ThumbnailConsumer;
    /// # impl Consumer for ThumbnailConsumer { type Input = Message; }
    /// let router = ChannelNameRouter::new([("thumbnails", ThumbnailConsumer::default)])?.at_once("thumbnails", 4);
    /// # Ok::<(), channels::NameError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the router has no channel of this name, or when `consumers` is 0.
    #[must_use]
    #[track_caller]
    pub fn at_once(mut self, name: &str, consumers: usize) -> Self {
        assert!(consumers > 0, "channel `{name}` needs at least one consumer");
        let known = self.channels().collect::<Vec<_>>().join(", ");
        match ChannelName::new(name).ok().and_then(|name| self.0.get_mut(&name)) {
            Some(reader) => reader.at_once = consumers,
            None => panic!("the router has no channel `{name}` (it has: {known})"),
        }
        self
    }

    /// The channels, sorted.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(ChannelName::as_str)
    }

    /// Who reads the channel whose name is the scope's path.
    fn reader(&self, scope: &Scope) -> Option<&Reader> {
        let name = (scope.protocol() == Protocol::Channel).then(|| ChannelName::new(scope.path()).ok());
        self.0.get(&name.flatten()?)
    }
}

impl Application for ChannelNameRouter {
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.reader(&scope) {
                Some(reader) => reader.application.call(scope).await,
                None => Outcome::NoRoute(scope),
            }
        })
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        self.reader(scope).is_some_and(|reader| reader.application.serves(scope))
    }

    fn routes(&self, list: &mut RouteList) {
        for (name, Reader { application, at_once }) in &self.0 {
            let before = list.routes.len();
            list.within(name, |list| application.routes(list));
            for route in &mut list.routes[before..] {
                route.at_once = *at_once;
            }
        }
    }
}

impl std::fmt::Debug for ChannelNameRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.channels()).finish()
    }
}
