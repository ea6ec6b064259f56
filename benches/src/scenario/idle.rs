//! Connections that do nothing: what memory each takes, and whether it comes back when they leave.

use anyhow::Result;

use super::Bench;
use crate::client::Swarm;
use crate::proc::Memory;
use crate::report::{self, Numbers};
use crate::server::Running;

/// The options of `idle`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Members of each room, where the server has rooms
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    per_room: u32,
    /// Times that everybody comes and leaves: pages that were had but not used yet show in the later ones, leaks in all
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Connections that come and leave first: what a server makes once and keeps, for its threads, it has *before* then
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=19_000))]
    used_by: u32,
}

impl Options {
    pub(super) fn title(&self) -> String {
        let Self { connections, per_room, times, used_by } = self;
        format!(
            "{connections} connections, {per_room} in each room, that send nothing, come and gone {times} times, \
             to a server that {used_by} have used"
        )
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let mut swarm = bench.swarm(server)?;
        let memory = |swarm: &mut Swarm| Memory::settled(&[server.pid()], || swarm.rest(), bench.patience);
        let per_room = self.per_room as usize;
        let come = |swarm: &mut Swarm, connections: u32| {
            let paths = (0..connections as usize).map(|member| bench.server.path(member / per_room, member));
            swarm.join(paths, bench.patience, |_| Ok(()))?;
            swarm.quiet(bench.patience, |_| Ok(()))
        };
        let fresh = memory(&mut swarm)?;
        come(&mut swarm, self.used_by)?;
        swarm.leave(bench.patience)?;
        let before = memory(&mut swarm)?;

        let mut times = Vec::new();
        for _ in 0..self.times {
            come(&mut swarm, self.connections)?;
            let connected = memory(&mut swarm)?;
            swarm.leave(bench.patience)?;
            times.push((connected, memory(&mut swarm)?));
        }
        let (first, last) = (times[0], times[times.len() - 1]);

        let each = |bytes: f64| bytes / 1024.0 / f64::from(self.connections);
        let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
        let mut numbers = vec![
            (&report::PER_CONNECTION, each(first.0.anonymous - before.anonymous)),
            (&report::RESIDENT, each(first.0.resident - before.resident)),
            (&report::FRESH, mib(fresh.anonymous)),
            (&report::BEFORE, mib(before.anonymous)),
            (&report::DURING, mib(first.0.anonymous)),
            (&report::AFTER, mib(first.1.anonymous)),
        ];
        if self.times > 1 {
            let (connected, left) = last;
            numbers.extend([
                (&report::DURING_LAST, mib(connected.anonymous)),
                (&report::AFTER_LAST, mib(left.anonymous)),
                (&report::PER_CONNECTION_LAST, each(connected.anonymous - before.anonymous)),
            ]);
        }
        numbers.push((&report::OVER_START, 100.0 * (last.1.anonymous / before.anonymous - 1.0)));
        Ok(numbers)
    }
}
