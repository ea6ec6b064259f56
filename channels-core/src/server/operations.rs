//! What operators ask a server: whether it lives, whether it is ready, what it does.

use std::future::ready;

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};

use super::{Server, inspect, shutdown::Keepers};
use crate::Layers;

/// The paths of what operators ask; none unless said.
#[derive(Clone, Default)]
pub(super) struct Operations {
    pub(super) health: Option<String>,
    pub(super) readiness: Option<String>,
    pub(super) inspection: Option<String>,
    /// Where the client for browsers is, which is for everybody.
    pub(super) client: Option<String>,
    #[cfg(feature = "metrics")]
    pub(super) metrics: Option<(String, crate::metrics::Prometheus)>,
}

impl Operations {
    pub(super) fn serve(&self, service: &mut ServiceConfig, keepers: &Keepers, layers: &Layers) {
        if let Some(path) = &self.health {
            service.route(path, web::get().to(HttpResponse::Ok));
        }
        if let Some(path) = &self.readiness {
            let (keepers, layers) = (keepers.clone(), layers.clone());
            let ready = move || {
                let serves = !keepers.is_draining() && layers.iter().all(|(_, layer)| layer.is_ready());
                ready(if serves { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() })
            };
            service.route(path, web::get().to(ready));
        }
        if let Some(path) = &self.client {
            service.route(path, web::get().to(super::client_script));
        }
        #[cfg(feature = "metrics")]
        if let Some((path, prometheus)) = &self.metrics {
            prometheus.serve(service, path);
        }
        if let Some(path) = &self.inspection {
            inspect::serve(service, path, keepers.clone(), layers.clone());
        }
    }
}

impl Server {
    /// Answers at this path with 200 as long as the process runs: for a supervisor's liveness probe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).health("/healthz").readiness("/readyz").inspection("/inspect/");
    /// ```
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.operations.health = Some(path.into());
        self
    }

    /// Answers at this path with 200 while new connections are welcome, and with 503 while the server
    /// [drains](Self::drain) or one of its layers is not [ready](crate::Layer::is_ready), as one over Redis whose broker
    /// is away: for a load balancer.
    pub fn readiness(mut self, path: impl Into<String>) -> Self {
        self.operations.readiness = Some(path.into());
        self
    }

    /// Serves at this path `channels.js`, the client for browsers: `import { ChannelsSocket } from "/channels.js"`. See
    /// [`client_script`](super::client_script).
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # let app = ProtocolTypeRouter::new();
    /// let server = Server::new(app).client("/channels.js");
    /// ```
    pub fn client(mut self, path: impl Into<String>) -> Self {
        self.operations.client = Some(path.into());
        self
    }

    /// Answers at this path with the metrics in Prometheus' text format.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, path: impl Into<String>, prometheus: crate::metrics::Prometheus) -> Self {
        self.operations.metrics = Some((path.into(), prometheus));
        self
    }

    /// Shows at this path, which ends with `/`, a page of connections, groups, members and queues of this process, which refreshes
    /// itself, and at `data.json` behind it the same as JSON: 100 rows of each list, and others on demand, as the
    /// guide's page *Deploying* says.
    ///
    /// # Untrusted input
    ///
    /// It tells paths, addresses and channel names to whoever asks. Keep it from strangers: serve it on an address of its
    /// own, or deny the path in the proxy.
    ///
    /// # Panics
    ///
    /// When the path does not end with `/`.
    #[track_caller]
    pub fn inspection(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        assert!(path.ends_with('/'), "the path of the inspection page ends with `/`, as `/inspect/`; it is `{path}`");
        self.operations.inspection = Some(path);
        self
    }
}
