//! Handles: one layer, and the layers of an application by alias.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::{
    ChannelLayer, ChannelName, Dropped, GroupName, GroupSend, InMemoryChannelLayer, LayerError, NameError, SendError,
};
use crate::{
    event::{Envelope, IntoEvent},
    presence::GroupPresence,
};

/// A handle to a channel layer.
///
/// It is cheap to clone and works from any thread, inside actix or outside of it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{InMemoryChannelLayer, Layer, event};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let layer = Layer::new(InMemoryChannelLayer::default());
/// layer.send("thumbnails", event!({"type": "make", "id": 7})).await.unwrap();
///
/// let event = layer.receive("thumbnails").await.unwrap();
/// assert_eq!(event.name(), "make");
/// # });
/// ```
#[derive(Clone)]
pub struct Layer(Arc<dyn ChannelLayer>);

impl Layer {
    /// A handle to this layer.
    pub fn new(layer: impl ChannelLayer) -> Self {
        Self(Arc::new(layer))
    }

    /// The layer behind the handle.
    #[must_use]
    pub fn get_ref(&self) -> &dyn ChannelLayer {
        &*self.0
    }

    /// Sends an event to one channel.
    ///
    /// # Errors
    ///
    /// [`SendError::ChannelFull`] when its capacity of events wait there already. A channel whose connection has ended
    /// is no error: the event is dropped and counted in [`dropped`](Self::dropped).
    pub async fn send<N>(&self, channel: N, event: impl IntoEvent) -> Result<(), SendError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let channel = channel.try_into().map_err(Into::into)?;
        self.0.send(&channel, Arc::new(event.into_event()?)).await
    }

    /// Waits for the next event on a named channel.
    ///
    /// Several may wait on one channel; each event goes to one of them. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] when the name is not a channel's.
    pub async fn receive<N>(&self, channel: N) -> Result<Arc<Envelope>, LayerError>
    where
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let channel = channel.try_into().map_err(Into::into)?;
        self.0.receive(&channel).await
    }

    /// A new channel name that nobody else has, to [`receive`](Self::receive) on.
    ///
    /// # Examples
    ///
    /// A member of a group that is no connection:
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Layers, RawEvent, event};
    /// # channels::run(async {
    /// # let layers = Layers::default();
    /// # let layer = layers.get("default")?;
    /// let mine = layer.new_channel().await?;
    /// layer.group_add("news", &mine).await?;
    ///
    /// layer.group_send("news", event!({"type": "news.flash", "text": "rain"})).await?;
    /// assert_eq!(layer.receive(&mine).await?.decode::<RawEvent>()?["text"], "rain");
    /// # Ok::<(), channels::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`LayerError`] when the layer cannot make one.
    pub async fn new_channel(&self) -> Result<ChannelName, LayerError> {
        self.0.new_channel().await
    }

    /// Adds a channel to a group; when it resolves, nothing that is sent to the group misses the channel.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] with the character that a name may not have.
    pub async fn group_add<G, N>(&self, group: G, channel: N) -> Result<(), LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let (group, channel) = (group.try_into().map_err(Into::into)?, channel.try_into().map_err(Into::into)?);
        self.0.group_add(&group, &channel).await
    }

    /// Takes a channel out of a group; not being in it is no error.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] with the character that a name may not have.
    pub async fn group_discard<G, N>(&self, group: G, channel: N) -> Result<(), LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
        N: TryInto<ChannelName, Error: Into<NameError>>,
    {
        let (group, channel) = (group.try_into().map_err(Into::into)?, channel.try_into().map_err(Into::into)?);
        self.0.group_discard(&group, &channel).await
    }

    /// Sends an event to every member of a group. What it returns is awaited; before that, [`to`](GroupSend::to) adds a
    /// group, [`except`](GroupSend::except) leaves a channel out, and [`report`](GroupSend::report) asks what became of it.
    ///
    /// # Examples
    ///
    /// From a thread that knows nothing of actix:
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::{Layers, event};
    ///
    /// let layers = Layers::default(); // a server has them as well: `Server::new(app).layers(layers.clone())`
    /// let layer = layers.get("default")?.clone();
    /// std::thread::spawn(move || {
    ///     channels::run(layer.group_send("news", event!({"type": "news.flash", "text": "rain"})))
    /// })
    /// .join()
    /// .unwrap()?;
    /// # Ok::<(), channels::LayerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LayerError`] when the name or the event is not one. A member without room is no error but a number in the
    /// report.
    pub fn group_send<G>(&self, group: G, event: impl IntoEvent) -> GroupSend<'_>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        GroupSend::new(self.get_ref(), group, event)
    }

    /// The channels of a group, in no order.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] when the name is not a group's.
    pub async fn group_channels<G>(&self, group: G) -> Result<Vec<ChannelName>, LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        self.0.group_channels(&group.try_into().map_err(Into::into)?).await
    }

    /// How many members a group has.
    ///
    /// # Errors
    ///
    /// [`LayerError::Name`] when the name is not a group's.
    pub async fn group_size<G>(&self, group: G) -> Result<usize, LayerError>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        self.0.group_size(&group.try_into().map_err(Into::into)?).await
    }

    /// Who is present in a group, to be asked from anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # async fn shown(layer: &channels::Layer) -> Result<String, channels::presence::PresenceError> {
    /// let count = layer.presence("room").count().await?;
    /// Ok(format!("{count} people are here"))
    /// # }
    /// ```
    pub fn presence<G>(&self, group: G) -> GroupPresence<'_>
    where
        G: TryInto<GroupName, Error: Into<NameError>>,
    {
        GroupPresence::new(self, group.try_into().map_err(Into::into))
    }

    /// Forgets all groups, who is present in them, and all events that wait. Connections stay open.
    ///
    /// # Errors
    ///
    /// [`LayerError`] when the layer cannot.
    pub async fn flush(&self) -> Result<(), LayerError> {
        self.0.flush().await
    }

    /// Whether events get through: `false` while the layer's broker is away.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// How long a message takes through the broker of this layer and back to this process. It is measured by one clock, with a
    /// message that the layer sends itself every `probe_interval` (10 s); an event from another
    /// process takes about as long. `None` for a layer without a broker, or before the first has come back; while
    /// one is on its way for longer than the last took, it is the time since it was sent.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.0.lag()
    }

    /// What this process has dropped on this layer, and why.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.0.hub().dropped()
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layer").field(&self.0.hub().node()).finish()
    }
}

impl<L: ChannelLayer> From<L> for Layer {
    fn from(layer: L) -> Self {
        Self::new(layer)
    }
}

/// The channel layers of an application, by alias: Channels' `CHANNEL_LAYERS`.
///
/// [`Layers::default`] is one in-memory layer under `default`, which works without any service as long as one process
/// is enough.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{InMemoryChannelLayer, Layers};
///
/// let layers = Layers::default().with("telemetry", InMemoryChannelLayer::default());
/// assert!(layers.get("telemetry").is_ok());
/// assert_eq!(
///     layers.get("billing").unwrap_err().to_string(),
///     "no channel layer has the alias `billing` (there are: default, telemetry)"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Layers(Arc<BTreeMap<String, Layer>>);

impl Layers {
    /// The alias of the layer that consumers use unless they say otherwise.
    pub const DEFAULT: &'static str = "default";

    /// The same layers and one more, or another one under an alias that is taken.
    #[must_use]
    pub fn with(mut self, alias: impl Into<String>, layer: impl Into<Layer>) -> Self {
        Arc::make_mut(&mut self.0).insert(alias.into(), layer.into());
        self
    }

    /// The layer of this alias.
    ///
    /// # Errors
    ///
    /// [`LayerError::UnknownAlias`] with the aliases there are.
    pub fn get(&self, alias: &str) -> Result<&Layer, LayerError> {
        self.0.get(alias).ok_or_else(|| LayerError::UnknownAlias {
            alias: alias.to_owned(),
            known: self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// The layers with their aliases, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Layer)> {
        self.0.iter().map(|(alias, layer)| (alias.as_str(), layer))
    }

    /// The aliases, sorted.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self(Arc::default()).with(Self::DEFAULT, InMemoryChannelLayer::default())
    }
}

impl<L: Into<Layer>> From<L> for Layers {
    /// This layer under `default`.
    fn from(layer: L) -> Self {
        Self(Arc::default()).with(Self::DEFAULT, layer)
    }
}
