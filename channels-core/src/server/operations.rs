//! What operators ask a server: whether it lives, whether it is ready, what it does.

use std::future::ready;

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};

use super::{inspect, shutdown::Keepers};
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
