//! What the log says at the start: addresses, routes, consumers, events.

use super::Listener;
use crate::{
    event::registry,
    routing::{RouteInfo, RouteList},
};

pub(super) fn log(listeners: &[Listener], routes: &RouteList) {
    for listener in listeners {
        tracing::info!("listening on {listener}");
    }
    serving(routes.routes());
    for consumer in registry().consumers() {
        if !routes.routes().iter().any(|route| route.consumer == consumer.name) {
            tracing::debug!(
                consumer = consumer.name,
                file = consumer.file,
                line = consumer.line,
                "no route leads here"
            );
        }
    }
}

/// Routes and channels, each with its consumer and what that one handles.
pub(crate) fn serving(routes: &[RouteInfo]) {
    for route in routes {
        let known = registry().consumer(route.consumer);
        let events: Vec<_> = known.iter().flat_map(|entry| entry.handlers).map(|handler| handler.event).collect();
        tracing::info!(route = route.pattern, consumer = route.consumer, layer = route.layer, ?events, "serving");
    }
}
