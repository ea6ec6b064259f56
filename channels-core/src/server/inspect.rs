//! What an operator can see of a running server: connections, groups, queues, counts; as JSON and as a page. Both show a part
//! of what there is, so that they are small however much it is.

use std::{collections::BTreeMap, future::ready};

use actix_web::{
    HttpResponse,
    http::header::{self, CacheControl, CacheDirective},
    web::{self, ServiceConfig},
};
use serde::{Deserialize, Serialize};

use super::{shutdown::Keepers, stats};
use crate::{
    GroupName, Layers,
    layer::{Dropped, GroupRow, Page, QueueRow},
    session::{Connection, Counts},
};

/// Rows of each list, unless the query says otherwise (`?limit=`), and whatever it says.
const ROWS: usize = 100;
const MOST_ROWS: usize = 1_000;

#[derive(Serialize)]
struct Report {
    draining: bool,
    consumers: BTreeMap<&'static str, Counts>,
    layers: BTreeMap<String, LayerReport>,
    groups: List<OfLayer<GroupRow>>,
    queues: List<OfLayer<QueueRow>>,
    connections: List<Connection>,
}

#[derive(Serialize)]
struct LayerReport {
    /// Groups that have members in this process, and named channels of it.
    groups: usize,
    queues: usize,
    #[serde(flatten)]
    dropped: Dropped,
    /// How long the broker takes.
    lag_seconds: Option<f64>,
    node: String,
}

/// A part of a list.
#[derive(Serialize)]
struct List<T> {
    /// How long the list is.
    total: usize,
    /// Rows before these.
    offset: usize,
    rows: Vec<T>,
}

#[derive(Serialize)]
struct OfLayer<T> {
    layer: String,
    #[serde(flatten)]
    row: T,
}

/// Which parts of the lists: where each begins, and how long it is at most.
#[derive(Deserialize)]
#[serde(default)]
struct Query {
    limit: usize,
    connections: usize,
    groups: usize,
    queues: usize,
    /// Connections in this group only.
    group: Option<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self { limit: ROWS, connections: 0, groups: 0, queues: 0, group: None }
    }
}

/// Serves the page at `path`, which ends with a slash, and the JSON at `data.json` behind it. Without the slash, as one types
/// it, it leads there.
pub(super) fn serve(service: &mut ServiceConfig, path: &str, keepers: Keepers, layers: Layers) {
    let data = move |web::Query(query): web::Query<Query>| {
        let (keepers, layers) = (keepers.clone(), layers.clone());
        async move {
            let group = match query.group.as_deref().filter(|group| !group.is_empty()).map(GroupName::new).transpose() {
                Ok(group) => group,
                Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
            };
            let report = Report::make(&keepers, &layers, &query, group).await;
            HttpResponse::Ok().insert_header(CacheControl(vec![CacheDirective::NoStore])).json(report)
        }
    };
    let page = || async {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'self' 'unsafe-inline'; img-src data:"))
            .body(include_str!("inspect.html"))
    };
    service.route(&format!("{path}data.json"), web::get().to(data)).route(path, web::get().to(page));
    if let Some(bare) = path.strip_suffix('/')
        && let Some((_, name)) = bare.rsplit_once('/')
    {
        // From where it is asked for: a proxy, or who has mounted it, may have put something before it.
        let there = web::Redirect::to(format!("{name}/")).permanent();
        service.route(bare, web::get().to(move || ready(there.clone())));
    }
}

impl Report {
    async fn make(keepers: &Keepers, layers: &Layers, query: &Query, group: Option<GroupName>) -> Self {
        let page = |offset| Page { offset, limit: query.limit.min(MOST_ROWS) };
        let threads = keepers.inspect(page(query.connections), group).await;
        let mut report = Self {
            draining: keepers.is_draining(),
            consumers: stats::add_up(&threads),
            layers: BTreeMap::new(),
            groups: List::from(query.groups),
            queues: List::from(query.queues),
            connections: List::from(query.connections),
        };
        for thread in threads {
            report.connections.add(thread.total, thread.connections);
        }
        let (mut groups_page, mut queues_page) = (page(query.groups), page(query.queues));
        for (alias, layer) in layers.iter() {
            let hub = layer.get_ref().hub();
            let (groups, rows) = hub.group_rows(groups_page).await;
            groups_page = groups_page.after(groups, rows.len());
            report.groups.add(groups, OfLayer::all(alias, rows));
            let (queues, rows) = hub.queue_rows(queues_page);
            queues_page = queues_page.after(queues, rows.len());
            report.queues.add(queues, OfLayer::all(alias, rows));
            let lag_seconds = layer.lag().map(|lag| lag.as_secs_f64());
            let (node, dropped) = (hub.node().to_owned(), hub.dropped());
            report.layers.insert(alias.to_owned(), LayerReport { groups, queues, dropped, lag_seconds, node });
        }
        report
    }
}

impl<T> List<T> {
    fn from(offset: usize) -> Self {
        Self { total: 0, offset, rows: Vec::new() }
    }

    /// Adds what another thread or layer has.
    fn add(&mut self, total: usize, rows: Vec<T>) {
        self.total += total;
        self.rows.extend(rows);
    }
}

impl<T> OfLayer<T> {
    fn all(layer: &str, rows: Vec<T>) -> Vec<Self> {
        rows.into_iter().map(|row| Self { layer: layer.to_owned(), row }).collect()
    }
}
