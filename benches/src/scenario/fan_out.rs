//! One room, one talker: what a broadcast costs for each member, and how long it takes to reach them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::gather::Gathering;
use super::ledger::Ledger;
use super::{Bench, Budget, TURN};
use crate::frame;
use crate::payload::{Kind, Stamp};
use crate::proc::Sample;
use crate::report::{self, Numbers};
use crate::server::Running;
use crate::stats::Latencies;

/// The options of `fan-out`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Members of the room; the talker is one of them
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    members: u32,
    /// Broadcasts to measure
    #[arg(long, default_value_t = 1000)]
    broadcasts: u32,
    /// Broadcasts in flight: the next one is sent when all but so many have reached every member
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: u32,
    /// Broadcasts before those that are measured
    #[arg(long, default_value_t = 50)]
    warm_up: u32,
    /// Measure for so long instead of counting broadcasts
    #[arg(long)]
    seconds: Option<f64>,
    /// Send so many broadcasts a second instead of waiting for the ones in flight
    #[arg(long)]
    rate: Option<f64>,
}

impl Options {
    /// Broadcasts at this pace.
    pub(super) fn paced(members: u32, rate: f64, seconds: f64) -> Self {
        Self { members, broadcasts: 0, outstanding: 1, warm_up: 20, seconds: Some(seconds), rate: Some(rate) }
    }

    pub(super) fn title(&self, size: usize) -> String {
        let amount = match self.seconds {
            Some(seconds) => format!("broadcasts for {seconds} s"),
            None => format!("{} broadcasts", self.broadcasts),
        };
        let pace = match self.rate {
            Some(rate) => format!("{rate} a second"),
            None => format!("{} outstanding", self.outstanding),
        };
        format!("{} members, {amount} of {size} bytes, {pace}", self.members)
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let mut room = Room {
            gathering: Gathering::of(bench, server, 1, self.members as usize)?,
            ledger: Ledger::new(self.members as usize, 1),
            copies: Vec::new(),
            complete: 0,
            latencies: Latencies::default(),
        };
        self.broadcast(bench, &mut room, Budget::Messages(self.warm_up))?;
        let (warm, seen) = (room.copies.len(), room.ledger.received());
        room.latencies = Latencies::default();
        room.gathering.swarm.held_up();

        let before = Sample::take(server.pid())?;
        self.broadcast(bench, &mut room, Budget::of(self.warm_up + self.broadcasts, self.seconds))?;
        let usage = before.until(&Sample::take(server.pid())?);
        let held_up = room.gathering.swarm.held_up();

        let broadcasts = (room.copies.len() - warm) as u64;
        let deliveries = room.ledger.received() - seen;
        ensure!(
            deliveries == broadcasts * u64::from(self.members),
            "{deliveries} deliveries of {broadcasts} broadcasts"
        );
        room.gathering.finish(bench)?;
        Ok(report::load(broadcasts, deliveries, &usage, &mut room.latencies, held_up))
    }

    /// Broadcasts until the budget is spent and everything has arrived.
    fn broadcast(&self, bench: &Bench<'_>, room: &mut Room, budget: Budget) -> Result<()> {
        let Room { gathering: Gathering { swarm, wire, .. }, ledger, copies, complete, latencies } = room;
        let mut phase = bench.patience.phase("every broadcast to reach every member");
        let interval = self.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let mut due = Instant::now();
        loop {
            let mut now = Instant::now();
            loop {
                let number = copies.len() as u32;
                let held = if interval.is_some() { now < due } else { number - *complete >= self.outstanding };
                if held || budget.spent(number, now) {
                    break;
                }
                let stamp = Stamp { kind: Kind::Data, room: 0, talker: 0, number, sent: bench.clock.at(now) };
                swarm.send(0, frame::TEXT, wire.put(stamp))?;
                copies.push(0);
                due += interval.unwrap_or_default();
                now = Instant::now();
            }
            let sent = copies.len() as u32;
            if *complete == sent && budget.spent(sent, now) {
                return Ok(());
            }
            let wait = if interval.is_some() { due.saturating_duration_since(now).min(TURN) } else { TURN };
            swarm.turn(wait, |received| {
                let Some(stamp) = wire.find(received.payload)? else { return Ok(()) };
                ledger.note(received.by, stamp.talker, stamp.number)?;
                let copies = &mut copies[stamp.number as usize];
                *copies += 1;
                if *copies == self.members {
                    *complete += 1;
                }
                latencies.push(bench.clock.at(received.at).saturating_sub(stamp.sent));
                Ok(())
            })?;
            phase.check(ledger.received(), || ledger.missing(|_, _| sent))?;
        }
    }
}

/// The room and what has arrived in it.
struct Room {
    gathering: Gathering,
    ledger: Ledger,
    /// For each broadcast, the members that have it.
    copies: Vec<u32>,
    /// Broadcasts that everyone has.
    complete: u32,
    latencies: Latencies,
}
