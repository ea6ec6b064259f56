//! Workers: consumers that read named channels instead of serving clients.

use std::{future::Future, pin::pin, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::{join_all, select};
use tokio::{sync::watch, time::timeout};

use crate::{
    ChannelName, Close, CloseCode, Config, Context, Layers, ProtocolTypeRouter, Scope,
    routing::{Application, Outcome, RouteInfo, RouteList},
    scope::Protocol,
    server::{ConfigError, check_layers, serving, signal, within_runtime},
    session::{Board, Line, Port, note_places},
    transport::channel::ChannelReader,
};

/// How long to wait before a consumer is made anew when the last one has taken no event.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the consumers of a [`ChannelNameRouter`](crate::ChannelNameRouter): Channels' `runworker`.
///
/// One consumer serves each channel, unless the router says [how many](crate::ChannelNameRouter::at_once). Events reach
/// its handlers one at a time, in order; the next one is taken from the layer when the last is done, so what waits stays in
/// the channel and within its capacity. A consumer that fails is replaced by a new one; the event at which it failed is
/// lost. One that has taken no event is replaced after a second.
///
/// A [`Server`](crate::Server) runs the workers of its application itself. A worker of its own is for another process:
/// with a layer that reaches it.
///
/// # Examples
///
/// ```no_run
/// # use channels_core as channels;
/// # use channels::{ChannelNameRouter, Consumer, Message, ProtocolTypeRouter, Worker};
/// # #[derive(Default)] struct ThumbnailConsumer;
/// # impl Consumer for ThumbnailConsumer { type Input = Message; }
/// let channels = ChannelNameRouter::new([("thumbnails", ThumbnailConsumer::default)])?;
/// channels::run(Worker::new(ProtocolTypeRouter::new().channel(channels)).run())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    app: ProtocolTypeRouter,
    layers: Layers,
    config: Arc<Config>,
    only: Option<Vec<String>>,
}

impl Worker {
    /// A worker for this application's channels, with the layers that the application has by default.
    pub fn new(app: ProtocolTypeRouter) -> Self {
        let layers = app.layers().clone();
        Self { app, layers, config: Arc::default(), only: None }
    }

    /// The same worker with these layers: [`Layers`], or one layer that becomes `default`.
    pub fn layers(mut self, layers: impl Into<Layers>) -> Self {
        self.layers = layers.into();
        self
    }

    /// The same worker with these settings.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// The same worker for these of the application's channels alone: the arguments of Channels' `runworker`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Worker};
    /// # let app = ProtocolTypeRouter::new();
    /// channels::run(Worker::new(app).only(["thumbnails"]).run())?;
    /// # Ok::<(), channels::ConfigError>(())
    /// ```
    pub fn only(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only = Some(channels.into_iter().map(Into::into).collect());
        self
    }

    /// Reads the channels until Ctrl-C or SIGTERM; see [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<(), ConfigError> {
        self.run_until(signal()).await
    }

    /// Reads the channels until `stop` resolves. Then no event is taken any more; handlers that run may go on for
    /// [`Config::hook_grace`]; each consumer's `disconnect` runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: a consumer names a layer that there is not; [`only`](Self::only) names a channel that no consumer
    /// reads; or it is awaited outside of a runtime.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        serving(&self.routes()?);
        self.work(stop).await
    }

    /// The same without a word in the log: the server has said it.
    pub(crate) async fn work(self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        within_runtime(self.read(stop)).await?
    }

    /// The channels that it reads.
    fn routes(&self) -> Result<Vec<RouteInfo>, ConfigError> {
        let routes = self.app.application(Protocol::Channel).map(|channels| RouteList::of(&**channels));
        let routes = routes.unwrap_or_default();
        check_layers(&routes, &self.layers)?;
        let mut routes = routes.routes().to_vec();
        if let Some(only) = &self.only {
            if let Some(channel) = only.iter().find(|name| routes.iter().all(|route| route.pattern != **name)) {
                let known = routes.iter().map(|route| route.pattern.as_str()).collect::<Vec<_>>().join(", ");
                return Err(ConfigError::Channel { channel: channel.clone(), known });
            }
            routes.retain(|route| only.contains(&route.pattern));
        }
        Ok(routes)
    }

    async fn read(self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        let routes = self.routes()?;
        note_places();
        let (stopping, stopped) = watch::channel(false);
        let board = Board::default();
        let readers = routes.iter().flat_map(|route| std::iter::repeat_n(&route.pattern, route.at_once));
        let serving = join_all(readers.map(|channel| self.serve(channel, &board, stopped.clone())));
        let stop = async {
            stop.await;
            let _ = stopping.send(true);
            std::future::pending::<()>().await;
        };
        #[cfg(feature = "metrics")]
        let serving = async {
            select(pin!(serving), pin!(crate::metrics::publish(&board, &self.layers))).await;
        };
        // The stop comes first: what is told at the same moment to take an event takes none.
        select(pin!(stop), pin!(serving)).await;
        Ok(())
    }

    /// Serves one channel, with one consumer after the other, until it is told to stop.
    async fn serve(&self, channel: &str, board: &Board, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            // Nobody sees a worker that cannot begin but in the log, which is not to be flooded.
            if !self.serve_once(channel, board, &mut stopped).await {
                let _ = timeout(RETRY, stopped.wait_for(|stopped| *stopped)).await;
            }
        }
    }

    /// Serves it with one consumer, and says whether that has taken an event.
    async fn serve_once(&self, channel: &str, board: &Board, stopped: &mut watch::Receiver<bool>) -> bool {
        let called = self.app.call(Scope::new(Protocol::Channel, channel)).await;
        let (Outcome::Run(scope, endpoint), Ok(name)) = (called, ChannelName::new(channel)) else {
            tracing::error!(channel, "no consumer takes this channel");
            return false;
        };
        let class = endpoint.class();
        let layer = match self.layers.get(endpoint.layer()) {
            Ok(layer) => layer.clone(),
            Err(error) => {
                tracing::error!(channel, consumer = class.name, %error, "a consumer could not be made");
                return false;
            }
        };
        let stats = board.of(class);
        let port = Port::new(self.config.changed(&scope.config_changes), &scope, stats.clone());
        let line = Line::new(Box::new(ChannelReader::new(layer.clone(), name)), port.clone());
        let cx = Context::new(port.clone(), scope, self.layers.clone(), layer);
        match endpoint.start(cx, line) {
            Ok(life) => end_when_stopped(life, &port, stopped).await,
            Err(panic) => {
                stats.count(|counts| counts.failures += 1);
                tracing::error!(channel, consumer = class.name, panic, "a consumer could not be made");
            }
        }
        port.took_event()
    }
}

async fn end_when_stopped(life: impl Future<Output = ()>, port: &Rc<Port>, stopped: &mut watch::Receiver<bool>) {
    let stop = async {
        // The sender lives as long as the worker runs.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        port.close(Close::new(CloseCode::GOING_AWAY, "the worker stops"));
        std::future::pending::<()>().await;
    };
    select(pin!(stop), pin!(life)).await;
}
