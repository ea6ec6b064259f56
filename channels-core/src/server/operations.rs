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
    #[cfg(feature = "metrics")]
    pub(super) metrics: Option<(String, crate::metrics::Prometheus)>,
}

impl Operations {
    pub(super) fn serve(&self, service: &mut ServiceConfig, keepers: &Keepers, layers: &Layers) {
        if let Some(path) = &self.health {
            service.route(path, web::get().to(HttpResponse::Ok));
        }
        if let Some(path) = &self.readiness {
            let keepers = keepers.clone();
            let ready = move || {
                ready(if keepers.is_draining() { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() })
            };
            service.route(path, web::get().to(ready));
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
