//! What is measured: one file each. A scenario describes itself, says which servers it is for, and does one run at a time
//! on a server that was started for this run alone.

mod churn;
mod crowd;
mod echo;
mod fan_out;
mod gather;
mod idle;
mod ledger;
pub(crate) mod redis;
mod rooms;
mod round;
mod stuck;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Subcommand;

use crate::client::Swarm;
use crate::contract::Contract;
use crate::patience::Patience;
use crate::payload::Clock;
use crate::report::Numbers;
use crate::server::{Part, Program, Running, Server};

/// The scenarios and their options.
#[derive(Clone, Subcommand)]
pub(crate) enum Scenario {
    /// One room, one talker: what a broadcast costs for each member and how long it takes
    FanOut(fan_out::Options),
    /// Connections that do nothing: what memory each takes, and whether it comes back
    Idle(idle::Options),
    /// Many rooms in which everybody talks
    Rooms(rooms::Options),
    /// Messages that come straight back, several in flight on each connection
    Echo(echo::Options),
    /// One message at a time, in one room after the other: what a message costs among so many rooms
    Round(round::Options),
    /// One client that never reads: whether its room notices
    Stuck(stuck::Options),
    /// Connections that come and go: whether memory stays
    Churn(churn::Options),
    /// More connections than one process may have: several servers on one port
    Crowd(crowd::Options),
    /// One room in two processes with Redis between them: what a broadcast costs the servers and Redis
    Redis(redis::Options),
}

/// What a run needs to know beside the scenario's own options.
pub(crate) struct Bench<'b> {
    /// The server to be measured.
    pub(crate) server: &'b Server,
    /// Its program.
    pub(crate) program: &'b Path,
    /// The CPUs it is to run on, if not on all.
    pub(crate) cpus: Option<&'b str>,
    /// Bytes in each payload.
    pub(crate) size: usize,
    /// How long anything may take.
    pub(crate) patience: &'b Patience,
    /// The time in payloads.
    pub(crate) clock: Clock,
}

impl Scenario {
    /// The subcommand's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::FanOut(_) => "fan-out",
            Self::Idle(_) => "idle",
            Self::Rooms(_) => "rooms",
            Self::Echo(_) => "echo",
            Self::Round(_) => "round",
            Self::Stuck(_) => "stuck",
            Self::Churn(_) => "churn",
            Self::Crowd(_) => "crowd",
            Self::Redis(_) => "redis",
        }
    }

    /// What it does, in one line.
    pub(crate) fn title(&self, size: usize) -> String {
        match self {
            Self::FanOut(options) => options.title(size),
            Self::Idle(options) => options.title(),
            Self::Rooms(options) => options.title(size),
            Self::Echo(options) => options.title(size),
            Self::Round(options) => options.title(size),
            Self::Stuck(options) => options.title(size),
            Self::Churn(options) => options.title(),
            Self::Crowd(options) => options.title(),
            Self::Redis(options) => options.title(size),
        }
    }

    /// What its columns mean.
    pub(crate) fn legend(&self) -> String {
        // What says how far a run can be trusted.
        const TRUST: &str = "client µs: the load program's own CPU for each. others %: of the machine's CPU, taken by other programs\n\
                             meanwhile. held up: the longest that the machine kept the load program from running; what is late by\n\
                             that much may not be the server's doing.";
        match self {
            Self::FanOut(_) | Self::Rooms(_) | Self::Round(_) => format!(
                "CPU µs: of the server (all threads) for each delivery, in the measured phase only (lowest–highest run).\n\
                 p50, p99, max: from the talker's write to each member's read. Every member was seen to get each message\n\
                 exactly once, whole and in each talker's order.\n\
                 {TRUST}"
            ),
            Self::Idle(_) => "KiB/connection: growth of the server's RssAnon (heap and stacks) divided by the connections, once it had\n\
                 stood still for 2 s; buffers of the kernel's sockets are not in it. MiB: RssAnon fresh, when some\n\
                 had used the server and left, with all connected, when all had left; then the same for the last time\n\
                 that they came, when memory that was allocated but not touched the first time shows as well."
                .to_owned(),
            Self::Stuck(_) => "p99, CPU µs for each delivery: of the room without the client that never reads, then with it, its socket\n\
                 full. ×: the second p99 by the first. Every other member was seen to get each message exactly once, whole and\n\
                 in order."
                .to_owned(),
            Self::Churn(_) => "CPU µs: of the server for each connection, handshake to goodbye. MiB: the server's RssAnon (heap and\n\
                 stacks) before, after the first tenth, and at the end, each once it had stood still for 2 s."
                .to_owned(),
            Self::Crowd(_) => "KiB/connection: growth of all servers' RssAnon (heap and stacks) divided by the connections, once it had\n\
                 stood still for 2 s. MiB: RssAnon of all servers fresh, when some had used them and left, with all\n\
                 connected, when all had left. most files: open in the server that got most connections."
                .to_owned(),
            Self::Redis(_) => format!(
                "CPU µs: of both servers (all threads) for each delivery, in the measured phase only (lowest–highest run). Redis µs:\n\
                 its CPU for each delivery and for each broadcast, less what it uses in the same time when nobody says anything.\n\
                 p50, p99, max: from a talker's write to each member's read. Every member of both processes was seen to get each\n\
                 message exactly once, whole and in each talker's order.\n\
                 {TRUST}"
            ),
            Self::Echo(_) => format!(
                "CPU µs: of the server (all threads) for each message and its answer, in the measured phase only\n\
                 (lowest–highest run). p50, p99, max: from write to read, waiting in line included. Every answer was seen\n\
                 to be the right one, in order.\n\
                 {TRUST}"
            ),
        }
    }

    /// Whether it is for this server, which somebody `named` or which is only known.
    pub(crate) fn takes(&self, server: &Server, named: bool) -> bool {
        match self {
            Self::FanOut(_) | Self::Rooms(_) | Self::Round(_) => server.contract.has_rooms(),
            Self::Stuck(_) => server.contract == Contract::Room,
            Self::Idle(_) | Self::Churn(_) => named || server.part != Part::Again,
            Self::Echo(_) => server.echo(0).is_some(),
            Self::Crowd(_) => server.shares_port,
            // One that was built elsewhere is ours, or takes the same environment.
            Self::Redis(_) => server.shares_port || matches!(server.program, Program::Built(_)),
        }
    }

    /// Does it once.
    pub(crate) fn run(&self, bench: &Bench<'_>) -> Result<Numbers> {
        match self {
            Self::FanOut(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Idle(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Rooms(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Echo(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Round(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Stuck(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Churn(options) => bench.on_one(|server| options.run(bench, server)),
            Self::Crowd(options) => options.run(bench),
            Self::Redis(options) => options.run(bench),
        }
    }
}

impl Bench<'_> {
    /// Does something with a server that was started for it.
    fn on_one(&self, run: impl FnOnce(&Running) -> Result<Numbers>) -> Result<Numbers> {
        let mut server = self.start(&[])?;
        run(&server).map_err(|error| anyhow!("{error:#}{}", server.last_words()))
    }

    /// Starts the server, with this in its environment.
    fn start(&self, environment: &[(&str, String)]) -> Result<Running> {
        Running::start(self.server, self.program, self.cpus, environment, self.patience)
    }

    /// No connections to it yet.
    fn swarm(&self, server: &Running) -> Result<Swarm> {
        Swarm::new(server.address, self.server.contract.manners())
    }
}

/// How long the measured phase is.
#[derive(Clone, Copy)]
enum Budget {
    /// So many messages of each talker.
    Messages(u32),
    /// Messages until then.
    Until(Instant),
}

impl Budget {
    /// From the options of a scenario: the seconds, if there are any, else the count.
    fn of(messages: u32, seconds: Option<f64>) -> Self {
        seconds
            .map_or(Self::Messages(messages), |seconds| Self::Until(Instant::now() + Duration::from_secs_f64(seconds)))
    }

    /// Whether a talker that has sent so many is done.
    fn spent(self, sent: u32, now: Instant) -> bool {
        match self {
            Self::Messages(messages) => sent >= messages,
            Self::Until(end) => now >= end,
        }
    }
}

/// How long a turn waits when nothing else is due.
const TURN: Duration = Duration::from_millis(20);
