//! A server's life: it serves, drains and stops.

use std::future::{Future, pending};

use futures_util::future::join;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{
    ConfigError, Server, ServerStats,
    http::Http,
    is_running, report,
    shutdown::{self, Stop},
};
use crate::{
    layer::Layers,
    routing::{RouteInfo, RouteList},
    worker::Worker,
};

impl Server {
    /// What the connections of this server have done, for whoever wants to know while it runs; also where it is
    /// [mounted](Self::mount).
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        ServerStats::new(self.keepers.clone())
    }

    /// Ends every connection of this server with close 1012, after its `disconnect` has run; resolves when all have
    /// ended or [`Config::drain_timeout`](crate::Config::drain_timeout) is over. New handshakes are answered with 503 from now on.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static {
        self.keepers.drain(self.config.drain_timeout)
    }

    /// Serves until Ctrl-C or SIGTERM, then [drains](Self::drain) and returns. A second signal ends it at once.
    ///
    /// It also runs the [workers](crate::Worker) of the application, on the thread that calls it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: no address, no runtime, a layer that is missing, or what the system says.
    pub async fn run(self) -> Result<(), ConfigError> {
        self.run_until(shutdown::signal()).await
    }

    /// Serves until `stop` resolves, then [drains](Self::drain) and returns. A signal while it drains ends it at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).bind("127.0.0.1:0")?;
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let serving = std::thread::spawn(|| {
    ///     channels::run(server.run_until(async {
    ///         let _ = stopped.await;
    ///     }))
    /// });
    ///
    /// drop(stop);
    /// serving.join().unwrap()?;
    /// # Ok::<(), channels::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
        if self.listeners.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        is_running()?;
        let mount = self.mount_as(false)?;
        report::log(&self.listeners, &RouteList::of(&self.app));
        let listeners = std::mem::take(&mut self.listeners);
        let (steps, connections) = (Stop::default(), TaskTracker::new());
        let http = Http {
            app: self.app.clone(),
            mount,
            front: self.front.clone(),
            config: self.config.clone(),
            stopping: steps.drained.clone(),
            connections: connections.clone(),
        };
        let mut server = actix_server::Server::build().disable_signals();
        if let Some(threads) = self.blocking_threads {
            server = server.worker_max_blocking_threads(threads);
        }
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        for listener in listeners {
            server = http.serve(listener, server).map_err(ConfigError::Run)?;
        }
        let worker = Worker::new(self.app.clone()).layers(self.layers.clone()).config(self.config.clone());
        let timeout = self.config.drain_timeout;
        let is_late = async {
            steps.begun.cancelled().await;
            sleep(timeout).await;
        };
        let worked = async {
            tokio::select! {
                worked = worker.work(steps.begun.cancelled()) => worked,
                () = steps.hurried.cancelled() => Ok(()),
                () = is_late => {
                    tracing::warn!(?timeout, "workers that had not ended in time are cut");
                    Ok(())
                }
            }
        };
        let drain = self.keepers.drain(timeout);
        let served = async {
            let served = shutdown::serve(server.run(), &steps, drain, &connections, timeout).await;
            // It may have ended by itself, and the workers end with it.
            steps.begun.cancel();
            served
        };
        let stop = async {
            stop.await;
            steps.begun.cancel();
            shutdown::signal().await;
            steps.hurried.cancel();
            pending().await
        };
        let (served, worked) = tokio::select! {
            ended = join(served, worked) => ended,
            never = stop => never,
        };
        served.map_err(ConfigError::Run).and(worked)
    }

    /// Finds wiring that is wrong.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_layers(&RouteList::of(&self.app), &self.layers)
    }
}

/// Finds the routes' layers before the first request asks for one.
pub(crate) fn check_layers(routes: &RouteList, layers: &Layers) -> Result<(), ConfigError> {
    for RouteInfo { pattern, consumer, layer, .. } in routes.routes() {
        layers.get(layer).map_err(|source| ConfigError::Layer { route: pattern.clone(), consumer, source })?;
    }
    Ok(())
}
