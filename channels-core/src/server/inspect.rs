//! What an operator can see of a running server: connections, groups, counts; as JSON and as a page.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse,
    http::header::{self, CacheControl, CacheDirective},
    web::{self, ServiceConfig},
};
use serde::{Deserialize, Serialize};

use super::{shutdown::Keepers, stats};
use crate::{
    GroupName, Layers,
    layer::Dropped,
    session::{Connection, Counts},
};

/// Connections that are listed unless the query says otherwise (`?limit=`).
const LISTED: usize = 1_000;

#[derive(Serialize)]
struct Report {
    draining: bool,
    consumers: BTreeMap<&'static str, Counts>,
    layers: BTreeMap<String, LayerReport>,
    /// The first of them, up to the limit of each thread.
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct LayerReport {
    node: String,
    dropped: Dropped,
    /// Members in this process, by group.
    groups: BTreeMap<GroupName, usize>,
}

#[derive(Deserialize)]
struct Query {
    limit: Option<usize>,
}

/// Serves the page at `path`, which ends with a slash, and the JSON at `data.json` behind it.
pub(super) fn serve(service: &mut ServiceConfig, path: &str, keepers: Keepers, layers: Layers) {
    let data = move |web::Query(query): web::Query<Query>| {
        let (keepers, layers) = (keepers.clone(), layers.clone());
        async move {
            let report = Report::make(&keepers, &layers, query.limit.unwrap_or(LISTED)).await;
            HttpResponse::Ok().insert_header(CacheControl(vec![CacheDirective::NoStore])).json(report)
        }
    };
    let page = || async {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'self' 'unsafe-inline'"))
            .body(include_str!("inspect.html"))
    };
    service.route(&format!("{path}data.json"), web::get().to(data)).route(path, web::get().to(page));
}

impl Report {
    async fn make(keepers: &Keepers, layers: &Layers, limit: usize) -> Self {
        let threads = keepers.inspect(limit).await;
        let mut report = Self {
            draining: keepers.is_draining(),
            consumers: stats::add_up(&threads),
            layers: BTreeMap::new(),
            connections: threads.into_iter().flat_map(|thread| thread.connections).collect(),
        };
        for (alias, layer) in layers.iter() {
            let hub = layer.get_ref().hub();
            let groups = hub.groups().await.into_iter().collect();
            let layer = LayerReport { node: hub.node().to_owned(), dropped: hub.dropped(), groups };
            report.layers.insert(alias.to_owned(), layer);
        }
        report
    }
}
