//! What the log says at the start: addresses, routes, consumers, events.

use std::net::SocketAddr;

use crate::{event::registry, routing::RouteList};

pub(super) fn log(addresses: &[SocketAddr], routes: &RouteList) {
    for address in addresses {
        tracing::info!("listening on http://{address}/");
    }
    for route in routes.routes() {
        let known = registry().consumer(route.consumer);
        let events: Vec<_> = known.iter().flat_map(|entry| entry.handlers).map(|handler| handler.event).collect();
        tracing::info!(route = route.pattern, consumer = route.consumer, layer = route.layer, ?events, "serving");
    }
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
