//! Metrics: what the connections do, for the [`metrics`](https://docs.rs/metrics) facade, and a Prometheus endpoint.
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `channels_connections` | gauge | consumer, worker | connections that are open; with the worker `channels`, consumers that read a channel |
//! | `channels_waiting_bytes` | gauge | consumer, worker | bytes that wait to be written to clients |
//! | `channels_connections_total` | counter | consumer | connections, and consumers that read a channel, that reached `connect` |
//! | `channels_inputs_total` | counter | consumer | messages of clients |
//! | `channels_events_total` | counter | consumer | events that consumers were given, with a handler for it or without; pure handlers' are counted as deliveries only |
//! | `channels_deliveries_total` | counter | consumer | messages on their way to clients |
//! | `channels_dropped_total` | counter | consumer, cause | messages and events that were dropped, as [`Counts`] has them: `slow`, `full`, `expired`, `gone` |
//! | `channels_closes_total` | counter | consumer, code | connections that were accepted and have ended, by close code, as [`Closes`](crate::server::Closes) counts them: 1000, 1001, 1005, 1006; of the codes that the server closed with those that are in [`CloseCode`](crate::CloseCode); and `other`, which are an application's own and what else clients say |
//! | `channels_stalled_total` | counter | consumer | connections that were cut, by the server or the system, because their client took no bytes for `stall_timeout`; in `channels_closes_total` they are 1006 |
//! | `channels_refused_total` | counter | status | handshakes, and requests for a session, that were refused: 302, 400, 401, 403, 404, 405, 426, 429, 431, 500, 503, and `other` |
//! | `channels_failures_total` | counter | consumer | hooks that failed, panicked or were cancelled; a pure handler once for all members |
//! | `channels_hook_seconds` | histogram | consumer, hook | how long a hook took, its waiting included |
//! | `channels_event_lag_seconds` | histogram | consumer | how long an event was in this process before its handler began: since it was sent here, or came from the broker. Pure handlers' are not counted |
//! | `channels_layer_lag_seconds` | gauge | layer | how long a message takes through the broker of this layer and back to this process, as [`Layer::lag`](crate::Layer::lag) has it. Not there for a layer without a broker |
//! | `channels_layer_dropped_total` | counter | layer, cause | what this process has dropped on the layer of this alias, as [`Dropped`] counts it: `full`, `slow`, `expired`, `gone`, `lost` |
//!
//! Counters and gauges are published once a second; the way of a message only adds to plain cells. Histograms are
//! recorded hook by hook, refusals one by one. Install a recorder before the server runs.
//!
//! [`Prometheus`] shows both histograms with these buckets, from a handler that only sends to one that gives up:
//! 100, 250 and 500 µs, 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5 and 10 s. They are the same in every process, so
//! that they add up: `histogram_quantile(0.99, sum by (le, consumer) (rate(channels_hook_seconds_bucket[5m])))`.
//! Histograms of your own are summaries; another choice takes a recorder of your own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{self, ServiceConfig},
};
use metrics::{Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;

use crate::{
    Layers,
    layer::Dropped,
    session::{Board, Counts, Hook, TICK},
};

const HOOK_SECONDS: &str = "channels_hook_seconds";
const EVENT_LAG_SECONDS: &str = "channels_event_lag_seconds";

/// The upper bounds of the buckets of both, in seconds.
const BUCKETS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often what histograms have recorded is folded into them.
const UPKEEP: Duration = Duration::from_secs(5);

/// A recorder in Prometheus' format, and its endpoint: [`Server::metrics`](crate::Server::metrics) serves it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{ProtocolTypeRouter, Server, metrics::Prometheus};
///
/// let prometheus = Prometheus::install()?;
/// let server = Server::new(ProtocolTypeRouter::new()).metrics("/metrics", prometheus);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// Installs the recorder for the whole process, and a thread that folds what histograms have recorded, so that it does
    /// not pile up where nobody asks for it.
    ///
    /// # Errors
    ///
    /// When the process has a recorder already.
    pub fn install() -> Result<Self, BuildError> {
        let handle = [HOOK_SECONDS, EVENT_LAG_SECONDS]
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |recorder, name| {
                recorder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &BUCKETS)
            })?
            .install_recorder()?;
        let kept = handle.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(UPKEEP);
                kept.run_upkeep();
            }
        });
        Ok(Self(handle))
    }

    /// The metrics as text.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    pub(crate) fn serve(&self, service: &mut ServiceConfig, path: &str) {
        let prometheus = self.clone();
        let render = move || {
            let answer = HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(prometheus.render());
            std::future::ready(answer)
        };
        service.route(path, web::get().to(render));
    }
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus").finish_non_exhaustive()
    }
}

/// The statuses that are counted by themselves: a consumer may refuse with any.
const REFUSALS: [&str; 11] = ["302", "400", "401", "403", "404", "405", "426", "429", "431", "500", "503"];

/// Counts a handshake that was answered with this status, if that is a refusal.
pub(crate) fn answered(status: StatusCode) {
    if !status.is_informational() && !status.is_success() {
        let status = REFUSALS.into_iter().find(|known| *known == status.as_str()).unwrap_or("other");
        counter!("channels_refused_total", "status" => status).increment(1);
    }
}

/// The histograms of one type of consumer.
pub(crate) struct Meter {
    hooks: [Histogram; Hook::ALL.len()],
    lag: Histogram,
}

impl Meter {
    pub(crate) fn new(consumer: &'static str) -> Self {
        Self {
            hooks: Hook::ALL.map(|hook| histogram!(HOOK_SECONDS, "consumer" => consumer, "hook" => hook.name())),
            lag: histogram!(EVENT_LAG_SECONDS, "consumer" => consumer),
        }
    }

    pub(crate) fn hook(&self, hook: Hook, seconds: f64) {
        self.hooks[hook as usize].record(seconds);
    }

    pub(crate) fn lag(&self, seconds: f64) {
        self.lag.record(seconds);
    }
}

/// What was published of a layer so far, under each alias that it has: threads and servers share it, and each adds what is
/// new. Layers that have an alias in common add up.
#[derive(Default)]
pub(crate) struct Published(Mutex<HashMap<String, Dropped>>);

impl Published {
    /// What is new.
    pub(crate) fn grown(&self, alias: &str, now: impl FnOnce() -> Dropped) -> Dropped {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = published.entry(alias.to_owned()).or_default();
        let now = now();
        let before = std::mem::replace(before, now);
        Dropped {
            full: now.full - before.full,
            slow: now.slow - before.slow,
            expired: now.expired - before.expired,
            gone: now.gone - before.gone,
            lost: now.lost - before.lost,
        }
    }
}

/// Tells the recorder what each metric is.
fn describe() {
    describe_gauge!("channels_connections", "Connections that are open.");
    describe_gauge!("channels_waiting_bytes", Unit::Bytes, "Bytes that wait to be written to clients.");
    describe_counter!("channels_connections_total", "Connections that reached connect.");
    describe_counter!("channels_inputs_total", "Messages of clients.");
    describe_counter!("channels_events_total", "Events that consumers were given.");
    describe_counter!("channels_deliveries_total", "Messages on their way to clients.");
    describe_counter!("channels_dropped_total", "Messages and events that were dropped, by cause.");
    describe_counter!("channels_closes_total", "Connections that have ended, by close code.");
    describe_counter!("channels_stalled_total", "Connections that were cut because their client took no bytes.");
    describe_counter!("channels_refused_total", "Handshakes that were refused, by status.");
    describe_counter!("channels_failures_total", "Hooks that failed, panicked or were cancelled.");
    describe_histogram!(HOOK_SECONDS, Unit::Seconds, "How long a hook took.");
    describe_histogram!(EVENT_LAG_SECONDS, Unit::Seconds, "How long an event waited for its handler.");
    describe_gauge!(
        "channels_layer_lag_seconds",
        Unit::Seconds,
        "How long a message takes through the broker and back."
    );
    describe_counter!("channels_layer_dropped_total", "Events that a layer has dropped in this process, by cause.");
}

/// Publishes, once a second, what the consumers of a worker have done.
pub(crate) async fn publish(board: &Board, layers: &Layers) {
    let mut publisher = Publisher::new("channels", layers.clone());
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        for (consumer, counts) in board.counts() {
            publisher.publish(consumer, counts, 0);
        }
        publisher.publish_layers();
    }
}

/// Publishes the counts of one thread, and those of the layers, as they grow.
pub(crate) struct Publisher {
    worker: String,
    published: HashMap<&'static str, Counts>,
    layers: Layers,
}

impl Publisher {
    /// For what `worker` counts, which tells the threads of a process apart.
    pub(crate) fn new(worker: impl ToString, layers: Layers) -> Self {
        describe();
        Self { worker: worker.to_string(), published: HashMap::new(), layers }
    }

    /// Publishes what the layers have dropped since any thread did that, and their lag.
    pub(crate) fn publish_layers(&self) {
        for (alias, layer) in self.layers.iter() {
            let Dropped { full, slow, expired, gone, lost } = layer.get_ref().hub().newly_dropped(alias);
            let causes = [("full", full), ("slow", slow), ("expired", expired), ("gone", gone), ("lost", lost)];
            for (cause, count) in causes {
                counter!("channels_layer_dropped_total", "layer" => alias.to_owned(), "cause" => cause)
                    .increment(count);
            }
            if let Some(lag) = layer.lag() {
                gauge!("channels_layer_lag_seconds", "layer" => alias.to_owned()).set(lag.as_secs_f64());
            }
        }
    }

    pub(crate) fn publish(&mut self, consumer: &'static str, now: Counts, waiting_bytes: usize) {
        let worker = self.worker.clone();
        gauge!("channels_connections", "consumer" => consumer, "worker" => worker.clone()).set(now.connections as f64);
        gauge!("channels_waiting_bytes", "consumer" => consumer, "worker" => worker).set(waiting_bytes as f64);
        let before = self.published.insert(consumer, now).unwrap_or_default();
        let add = |name: &'static str, count: fn(&Counts) -> u64| {
            counter!(name, "consumer" => consumer).increment(count(&now) - count(&before));
        };
        add("channels_connections_total", |counts| counts.opened);
        add("channels_inputs_total", |counts| counts.inputs);
        add("channels_events_total", |counts| counts.events);
        add("channels_deliveries_total", |counts| counts.deliveries);
        add("channels_stalled_total", |counts| counts.stalled);
        add("channels_failures_total", |counts| counts.failures);
        let drop = |cause: &'static str, count: fn(&Counts) -> u64| {
            counter!("channels_dropped_total", "consumer" => consumer, "cause" => cause)
                .increment(count(&now) - count(&before));
        };
        drop("slow", |counts| counts.dropped_slow);
        drop("full", |counts| counts.dropped_full);
        drop("expired", |counts| counts.dropped_expired);
        drop("gone", |counts| counts.dropped_gone);
        for ((code, count), (_, before)) in now.closes.iter().zip(before.closes.iter()) {
            counter!("channels_closes_total", "consumer" => consumer, "code" => code).increment(count - before);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        test::{TestRequest, call_service, init_service},
    };
    use metrics::with_local_recorder;

    use super::*;
    use crate::{
        AllowedHosts, Consumer, InMemoryChannelLayer, Layer, Message, Middleware, ProtocolTypeRouter, URLRouter, path,
    };

    struct Quiet;

    impl Consumer for Quiet {
        type Input = Message;
    }

    #[test]
    fn handshakes_that_are_refused_are_counted_by_status() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let routes = URLRouter::new([path("room/", || Quiet)]).unwrap();
        let app = ProtocolTypeRouter::new().websocket(AllowedHosts::from(["example.com"]).wrap(routes));
        let ask = async |path: &'static str, origin: &'static str| {
            let service = init_service(App::new().configure(app.mount())).await;
            let request = TestRequest::with_uri(path)
                .insert_header(("Host", "example.com"))
                .insert_header(("Origin", origin))
                .insert_header(("Connection", "Upgrade"))
                .insert_header(("Upgrade", "websocket"))
                .insert_header(("Sec-WebSocket-Version", "13"))
                .insert_header(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="));
            call_service(&service, request.to_request()).await.status().as_u16()
        };
        with_local_recorder(&recorder, || {
            crate::run(async {
                assert_eq!(ask("/room/", "https://example.com").await, 101);
                assert_eq!(ask("/elsewhere/", "https://example.com").await, 404);
                for _ in 0..2 {
                    assert_eq!(ask("/room/", "https://elsewhere.com").await, 403);
                }
                answered(StatusCode::IM_A_TEAPOT);
                answered(StatusCode::GONE);
            });
        });
        let text = recorder.handle().render();
        let mut lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("channels_refused_total")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["{status=\"403\"} 2", "{status=\"404\"} 1", "{status=\"other\"} 2"]);
    }

    #[test]
    fn what_layers_drop_is_published_once_whoever_shares_them_and_adds_up_where_they_share_an_alias() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (shared, other) =
            (Layer::new(InMemoryChannelLayer::default()), Layer::new(InMemoryChannelLayer::default()));
        let both = Layers::from(shared.clone()).with("again", shared.clone());
        let (first, second, third) =
            (Publisher::new(0, both.clone()), Publisher::new(1, both), Publisher::new(0, Layers::from(other.clone())));
        with_local_recorder(&recorder, || {
            for events in [2, 5] {
                shared.get_ref().hub().count_full(events);
                other.get_ref().hub().count_full(10 * events);
                for publisher in [&first, &second, &third, &first] {
                    publisher.publish_layers();
                }
            }
        });
        let text = recorder.handle().render();
        for line in ["{layer=\"default\",cause=\"full\"} 77", "{layer=\"again\",cause=\"full\"} 7"] {
            assert!(text.contains(&format!("channels_layer_dropped_total{line}\n")), "{text}");
        }
    }
}
