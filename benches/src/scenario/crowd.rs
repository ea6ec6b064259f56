//! More connections than a process may have files: several servers on one port, among which the kernel divides them, and
//! several load programs.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::hold::Holder;
use crate::proc::{self, Memory};
use crate::report::{self, Column, Numbers, column};
use crate::server::Running;

/// The options of `crowd`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    processes: u32,
    /// Members of each room
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    per_room: u32,
    /// Connections that come and leave first, as in `idle`: 100 for each of three
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(..=19_000))]
    used_by: u32,
}

/// Connections of one load program.
const HELD: u32 = 17_000;

static MOST: Column = column("most_files", "most files", 0);

impl Options {
    pub(super) fn title(&self) -> String {
        let Self { connections, processes, per_room, used_by } = self;
        format!(
            "{connections} connections to {processes} servers on one port, {per_room} in each room, that send nothing; \
             {used_by} have used them before"
        )
    }

    pub(super) fn run(&self, bench: &Bench<'_>) -> Result<Numbers> {
        // The first takes a free port, the others the same.
        let start = |port: u16| bench.start(&[("REUSE_PORT", "1".to_owned()), ("PORT", port.to_string())]);
        let mut servers: Vec<Running> = vec![start(0)?];
        let address = servers[0].address;
        for _ in 1..self.processes {
            servers.push(start(address.port())?);
        }
        let pids: Vec<u32> = servers.iter().map(Running::pid).collect();
        let memory = || {
            let rest = || {
                thread::sleep(Duration::from_millis(50));
                Ok(())
            };
            Memory::settled(&pids, rest, bench.patience)
        };
        let fresh = memory()?;
        let mut users = Holder::start(bench.server, address, 0, self.used_by, self.per_room)?;
        users.joined(bench.patience)?;
        users.leave(bench.patience)?;
        let before = memory()?;
        let mut holders = Vec::new();
        for first in (0..self.connections).step_by(HELD as usize) {
            let connections = HELD.min(self.connections - first);
            holders.push(Holder::start(bench.server, address, first, connections, self.per_room)?);
        }
        for holder in &mut holders {
            holder.joined(bench.patience)?;
        }
        let during = memory()?;
        let most = pids.iter().map(|pid| proc::open_files(*pid)).collect::<Result<Vec<_>>>()?.into_iter().max();
        for holder in &mut holders {
            holder.leave(bench.patience)?;
        }
        let after = memory()?;

        let mib = |memory: Memory| memory.anonymous / 1024.0 / 1024.0;
        let each = |bytes: f64| bytes / 1024.0 / f64::from(self.connections);
        Ok(vec![
            (&report::PER_CONNECTION, each(during.anonymous - before.anonymous)),
            (&report::RESIDENT, each(during.resident - before.resident)),
            (&report::FRESH, mib(fresh)),
            (&report::BEFORE, mib(before)),
            (&report::DURING, mib(during)),
            (&report::AFTER, mib(after)),
            (&report::OVER_START, 100.0 * (after.anonymous / before.anonymous - 1.0)),
            (&MOST, most.unwrap_or(0) as f64),
        ])
    }
}
