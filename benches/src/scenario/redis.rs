//! One room whose members are in two processes, with Redis between them, and a talker in each: what a broadcast costs the
//! servers and Redis.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::gather::Gathering;
use super::ledger::Ledger;
use super::{Bench, Budget, TURN};
use crate::broker::Broker;
use crate::frame;
use crate::payload::{Kind, Stamp};
use crate::proc::Sample;
use crate::report::{self, Column, Numbers, column};
use crate::stats::Latencies;

/// The options of `redis`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// The layer: `own` is RedisLayer, `core` and `pubsub` are those of channels_redis
    #[arg(long, default_value = "own", value_parser = ["own", "core", "pubsub"])]
    mode: String,
    /// Members of the room, half of them in each process
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    members: u32,
    /// Broadcasts to measure, half of them from each process
    #[arg(long, default_value_t = 10_000)]
    broadcasts: u32,
    /// Broadcasts of each talker in flight
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: u32,
    /// Milliseconds from one broadcast of a talker to its next, at least: rooms of different sizes are compared at one rate,
    /// since what Redis does once for all that has come together costs each broadcast less where there are more
    #[arg(long, default_value_t = 0)]
    every: u64,
    /// Broadcasts of each talker before those that are measured
    #[arg(long, default_value_t = 20)]
    warm_up: u32,
    /// Measure for so long instead of counting broadcasts
    #[arg(long)]
    seconds: Option<f64>,
}

/// Processes, and talkers: the first member of each.
const PROCESSES: usize = 2;

/// How long Redis is watched while nobody says anything.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) static BROADCAST: Column =
    Column { spread: true, ..column("redis_cpu_us_per_broadcast", "Redis µs/broadcast", 1) };
static DELIVERY: Column = column("redis_cpu_us", "Redis µs", 3);
static COMMANDS: Column = column("redis_commands_per_broadcast", "Redis commands/broadcast", 2);

impl Options {
    pub(super) fn title(&self, size: usize) -> String {
        let amount = match self.seconds {
            Some(seconds) => format!("broadcasts for {seconds} s"),
            None => format!("{} broadcasts", self.broadcasts),
        };
        let pace = if self.every > 0 { format!(", one each {} ms", self.every) } else { String::new() };
        format!(
            "layer {}: {} members in two processes, {amount} of {size} bytes from both, {} of each outstanding{pace}",
            self.mode, self.members, self.outstanding
        )
    }

    pub(super) fn run(&self, bench: &Bench<'_>) -> Result<Numbers> {
        let broker = Broker::start(bench.patience)?;
        let layer = ("LAYER", format!("{}?mode={}", broker.url(), self.mode));
        let servers = [bench.start(std::slice::from_ref(&layer))?, bench.start(std::slice::from_ref(&layer))?];
        let pids = servers.each_ref().map(|server| server.pid());
        let mut room = Room {
            gathering: Gathering::in_several(bench, &servers, 1, self.members as usize)?,
            ledger: Ledger::new(self.members as usize, PROCESSES),
            copies: [const { Vec::new() }; PROCESSES],
            complete: [0; PROCESSES],
            latencies: Latencies::default(),
        };
        self.broadcast(bench, &mut room, Budget::Messages(self.warm_up))?;
        let (warm, seen) = (room.broadcasts(), room.ledger.received());
        room.latencies = Latencies::default();

        // What it does anyway is not the broadcasts'.
        let (idle, commands, watched) = (broker.cpu()?, broker.commands()?, Instant::now());
        while watched.elapsed() < IDLE {
            room.gathering.swarm.rest()?;
        }
        let second = watched.elapsed().as_secs_f64();
        let idle = broker.cpu()?.since(idle).total() / second;
        let idle_commands = (broker.commands()? - commands) / second;
        room.gathering.swarm.held_up();

        let (commands, redis, before) = (broker.commands()?, broker.cpu()?, Sample::of(&pids)?);
        let each = self.broadcasts.div_ceil(PROCESSES as u32);
        self.broadcast(bench, &mut room, Budget::of(self.warm_up + each, self.seconds))?;
        let mut usage = before.until(&Sample::of(&pids)?);
        let redis = broker.cpu()?.since(redis).total();
        let commands = broker.commands()? - commands - idle_commands * usage.wall;
        let held_up = room.gathering.swarm.held_up();
        usage.take_from_others(redis);

        let broadcasts = room.broadcasts() - warm;
        let deliveries = room.ledger.received() - seen;
        ensure!(
            deliveries == broadcasts * u64::from(self.members),
            "{deliveries} deliveries of {broadcasts} broadcasts"
        );
        let redis = (redis - idle * usage.wall).max(0.0) * 1e6;
        room.gathering.finish(bench)?;
        let mut numbers = report::load(broadcasts, deliveries, &usage, &mut room.latencies, held_up);
        let (deliveries, broadcasts) = (deliveries as f64, broadcasts as f64);
        numbers.extend([(&DELIVERY, redis / deliveries), (&BROADCAST, redis / broadcasts)]);
        numbers.extend([(&COMMANDS, commands / broadcasts)]);
        Ok(numbers)
    }

    /// Has both talk until the budget is spent and everything has arrived.
    fn broadcast(&self, bench: &Bench<'_>, room: &mut Room, budget: Budget) -> Result<()> {
        let Room { gathering: Gathering { swarm, wire, .. }, ledger, copies, complete, latencies } = room;
        let mut phase = bench.patience.phase("every broadcast to reach every member");
        let every = Duration::from_millis(self.every);
        let mut due = [Instant::now(); PROCESSES];
        loop {
            let now = Instant::now();
            for talker in 0..PROCESSES {
                loop {
                    let number = copies[talker].len() as u32;
                    if number - complete[talker] >= self.outstanding || budget.spent(number, now) || now < due[talker] {
                        break;
                    }
                    due[talker] += every;
                    let sent = bench.clock.at(Instant::now());
                    let stamp = Stamp { kind: Kind::Data, room: 0, talker, number, sent };
                    swarm.send(talker * self.members as usize / PROCESSES, frame::TEXT, wire.put(stamp))?;
                    copies[talker].push(0);
                }
            }
            let sent = copies.each_ref().map(|copies| copies.len() as u32);
            if *complete == sent && sent.iter().all(|sent| budget.spent(*sent, now)) {
                return Ok(());
            }
            swarm.turn(TURN, |received| {
                let Some(stamp) = wire.find(received.payload)? else { return Ok(()) };
                ledger.note(received.by, stamp.talker, stamp.number)?;
                let copies = &mut copies[stamp.talker][stamp.number as usize];
                *copies += 1;
                if *copies == self.members {
                    complete[stamp.talker] += 1;
                }
                latencies.push(bench.clock.at(received.at).saturating_sub(stamp.sent));
                Ok(())
            })?;
            phase.check(ledger.received(), || ledger.missing(|_, talker| sent[talker]))?;
        }
    }
}

/// The room and what has arrived in it.
struct Room {
    gathering: Gathering,
    ledger: Ledger,
    /// For each talker and broadcast, the members that have it.
    copies: [Vec<u32>; PROCESSES],
    /// Broadcasts of each talker that everyone has.
    complete: [u32; PROCESSES],
    latencies: Latencies,
}

impl Room {
    fn broadcasts(&self) -> u64 {
        self.copies.iter().map(|copies| copies.len() as u64).sum()
    }
}
