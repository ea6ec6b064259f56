//! One who looks at the numbers, for all who look at the page.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use channels::{
    actix_web::rt::time::sleep,
    prelude::*,
    server::{Counts, ServerStats},
};

use super::machine::{Machine, Usage};

/// The group of those who look.
pub(super) const VIEWERS: &str = "viewers";
/// Samples that a newcomer gets: a minute of them.
const KEPT: usize = 60;

/// The numbers of one moment.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event("dashboard.sample")]
pub(super) struct Sample {
    /// One more than that of the sample before.
    number: u64,
    machine: Usage,
    /// WebSockets that are open.
    connections: u64,
    /// Messages of clients, each second.
    inputs: f64,
    /// Messages to clients, each second.
    deliveries: f64,
    /// Messages and events that were dropped, since the server started.
    dropped: u64,
}

/// The last samples.
#[derive(Clone, Default)]
pub(super) struct History(Arc<Mutex<VecDeque<Sample>>>);

impl History {
    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

pub(crate) struct Sampler {
    stats: ServerStats,
    layer: Layer,
    history: History,
    machine: Machine,
    number: u64,
    /// What is compared with, while somebody looks.
    before: Option<(Instant, Counts)>,
}

impl Sampler {
    pub(super) fn new(stats: ServerStats, layer: Layer, history: History) -> Self {
        Self { stats, layer, history, machine: Machine::new(), number: 0, before: None }
    }

    /// Samples that often, for as long as the future is polled.
    pub(crate) async fn run(mut self, interval: Duration) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the viewers do not get this sample");
            }
            sleep(interval).await;
        }
    }

    /// Looks once, if somebody looks at the page.
    pub(crate) async fn look(&mut self) -> Result<()> {
        if self.layer.group_size(VIEWERS).await? == 0 {
            self.before = None;
            self.history.clear();
            return Ok(());
        }
        let (now, counts, machine) = (Instant::now(), self.stats.total().await, self.machine.usage());
        // What happens in a second is known at the second look.
        let Some((then, before)) = self.before.replace((now, counts)) else { return Ok(()) };
        let seconds = (now - then).as_secs_f64();
        self.number += 1;
        let sample = Sample {
            number: self.number,
            machine,
            connections: counts.connections,
            // The counts of a thread go with it, when the server stops.
            inputs: counts.inputs.saturating_sub(before.inputs) as f64 / seconds,
            deliveries: counts.deliveries.saturating_sub(before.deliveries) as f64 / seconds,
            dropped: counts.dropped_slow + counts.dropped_full + counts.dropped_expired + counts.dropped_gone,
        };
        self.history.add(sample.clone());
        self.layer.group_send(VIEWERS, sample).await?;
        Ok(())
    }
}
