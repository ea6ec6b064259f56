//! Connections that come, join a room and leave, again and again: memory and open files must stay where they are.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::Bench;
use crate::client::Swarm;
use crate::proc::{self, Memory, Sample};
use crate::report::{self, Column, Numbers, column};
use crate::server::Running;

/// The options of `churn`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections in all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10..))]
    connections: u32,
    /// Connections at one time; when all are there, all leave
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    at_once: u32,
    /// Members of each room
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    per_room: u32,
}

static RATE: Column = column("connections_per_second", "connections/s", 0);
static TENTH: Column = column("anonymous_mib_tenth", "a tenth", 1);
static END: Column = column("anonymous_mib_end", "end", 1);
static GROWTH: Column = Column { spread: true, ..column("growth_bytes_per_connection", "growth B/connection", 2) };
static FILES: Column = column("open_files_growth", "files more", 0);

impl Options {
    pub(super) fn title(&self) -> String {
        let Self { connections, at_once, per_room } = self;
        format!("{connections} connections, {at_once} at a time, {per_room} in each room, that come and leave")
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let mut swarm = bench.swarm(server)?;
        let files = proc::open_files(server.pid())?;
        let before = Memory::settled(&[server.pid()], || swarm.rest(), bench.patience)?;

        let tenth = self.connections / 10;
        self.come_and_leave(bench, &mut swarm, tenth)?;
        let warm = Memory::settled(&[server.pid()], || swarm.rest(), bench.patience)?;
        let begun = Sample::take(server.pid())?;
        let rest = self.connections - tenth;
        self.come_and_leave(bench, &mut swarm, rest)?;
        let usage = begun.until(&Sample::take(server.pid())?);
        let end = Memory::settled(&[server.pid()], || swarm.rest(), bench.patience)?;
        let files_left = proc::open_files(server.pid())?;
        ensure!(files_left <= files + 16, "{files_left} files are open when all have left, {files} were before");

        let mib = |memory: Memory| memory.anonymous / 1024.0 / 1024.0;
        Ok(vec![
            (&RATE, f64::from(rest) / usage.wall),
            (&report::CPU, usage.server.total() * 1e6 / f64::from(rest)),
            (&report::BEFORE, mib(before)),
            (&TENTH, mib(warm)),
            (&END, mib(end)),
            (&GROWTH, (end.anonymous - warm.anonymous) / f64::from(rest)),
            (&FILES, files_left as f64 - files as f64),
        ])
    }

    fn come_and_leave(&self, bench: &Bench<'_>, swarm: &mut Swarm, connections: u32) -> Result<()> {
        let mut left = connections;
        let mut turn = 0;
        while left > 0 {
            // A port is not free again for a minute.
            swarm.come_from(Ipv4Addr::new(127, 0, 1, 1 + turn % 100));
            turn = (turn + 1) % 100;
            let now = left.min(self.at_once);
            let paths = (0..now as usize).map(|member| bench.server.path(member / self.per_room as usize, member));
            swarm.join(paths, bench.patience, |_| Ok(()))?;
            swarm.leave(bench.patience)?;
            left -= now;
        }
        Ok(())
    }
}
