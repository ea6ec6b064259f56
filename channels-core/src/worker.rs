//! Workers: consumers that read named channels instead of serving clients.

use std::{future::Future, pin::pin, rc::Rc, sync::Arc};

use futures_util::future::{join_all, select};
use tokio::sync::watch;

use crate::{
    ChannelName, Close, CloseCode, Config, Context, Layers, ProtocolTypeRouter, Scope,
    routing::{Application, Outcome, RouteList},
    scope::Protocol,
    server::{ConfigError, check_layers, signal},
    session::{Line, Port, Stats},
    transport::channel::ChannelReader,
};

/// Runs the consumers of a [`ChannelNameRouter`](crate::ChannelNameRouter): Channels' `runworker`.
///
/// One consumer serves each channel. Events reach its handlers one at a time, in order; the next one is taken from the
/// layer when the last is done, so what waits stays in the channel and within its capacity. A consumer that fails is
/// replaced by a new one; the event at which it failed is lost.
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
}

impl Worker {
    /// A worker for this application's channels, with the layers that the application has by default.
    pub fn new(app: ProtocolTypeRouter) -> Self {
        let layers = app.layers().clone();
        Self { app, layers, config: Arc::default() }
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

    /// Reads the channels until Ctrl-C or SIGTERM; see [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Layer`] when a consumer names a layer that there is not.
    pub async fn run(self) -> Result<(), ConfigError> {
        self.run_until(signal()).await
    }

    /// Reads the channels until `stop` resolves. Handlers that run then may go on for
    /// [`Config::hook_grace`]; each consumer's `disconnect` runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Layer`] when a consumer names a layer that there is not.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        let Some(channels) = self.app.application(Protocol::Channel) else { return Ok(()) };
        let routes = RouteList::of(&**channels);
        check_layers(&routes, &self.layers)?;
        let (stopping, stopped) = watch::channel(false);
        let serving = join_all(routes.routes().iter().map(|route| self.serve(&route.pattern, stopped.clone())));
        let stop = async {
            stop.await;
            let _ = stopping.send(true);
            std::future::pending::<()>().await;
        };
        select(pin!(serving), pin!(stop)).await;
        Ok(())
    }

    /// Serves one channel, with one consumer after the other, until it is told to stop.
    async fn serve(&self, channel: &str, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let scope = Scope::new(Protocol::Channel, channel);
            let (scope, endpoint) = match self.app.call(scope).await {
                Outcome::Run(scope, endpoint) => (scope, endpoint),
                Outcome::Refuse(_) | Outcome::NoRoute(_) => {
                    tracing::error!(channel, "no consumer takes this channel");
                    return;
                }
            };
            let (Ok(name), Ok(layer)) = (ChannelName::new(channel), self.layers.get(endpoint.layer())) else { return };
            let class = endpoint.class();
            let config = self.config.changed(&scope.config_changes);
            let port = Port::new(config, class, &scope, Stats::new(class));
            let line = Line::new(Box::new(ChannelReader::new(layer.clone(), name)), port.clone());
            let cx = Context::new(port.clone(), scope, self.layers.clone(), layer.clone());
            let life = match endpoint.start(cx, line) {
                Ok(life) => life,
                Err(panic) => {
                    tracing::error!(channel, consumer = class.name, panic, "a consumer could not be made");
                    return;
                }
            };
            end_when_stopped(life, &port, &mut stopped).await;
        }
    }
}

async fn end_when_stopped(life: impl Future<Output = ()>, port: &Rc<Port>, stopped: &mut watch::Receiver<bool>) {
    let stop = async {
        // The sender lives as long as the worker runs.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        port.close(Close::new(CloseCode::GOING_AWAY, "the worker stops"));
        std::future::pending::<()>().await;
    };
    select(pin!(life), pin!(stop)).await;
}
