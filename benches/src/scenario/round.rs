//! One message at a time, in one room after the other: what there is beside the message is more rooms, and nothing else.

use std::time::Instant;

use anyhow::Result;

use super::gather::Gathering;
use super::ledger::Ledger;
use super::{Bench, Budget, TURN};
use crate::frame;
use crate::payload::{Kind, Stamp};
use crate::proc::Sample;
use crate::report::{self, Numbers};
use crate::server::Running;
use crate::stats::Latencies;

/// The options of `round`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Rooms
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    rooms: u32,
    /// Members of each room
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    per_room: u32,
    /// Messages to measure
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Measure for so long instead of counting messages
    #[arg(long)]
    seconds: Option<f64>,
}

impl Options {
    pub(super) fn title(&self, size: usize) -> String {
        let amount = match self.seconds {
            Some(seconds) => format!("messages for {seconds} s"),
            None => format!("{} messages", self.messages),
        };
        let Self { rooms, per_room, .. } = self;
        format!("{rooms} rooms of {per_room}, {amount} of {size} bytes, one outstanding, in one room after the other")
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let (rooms, size) = (self.rooms as usize, self.per_room as usize);
        let mut round = Round {
            gathering: Gathering::of(bench, server, rooms, size)?,
            ledger: Ledger::new(rooms * size, 1),
            sent: 0,
            latencies: Latencies::default(),
        };
        // Every room once, or a short while if they are few.
        let warm_up = self.rooms.max(1000);
        self.go(bench, &mut round, Budget::Messages(warm_up))?;
        let seen = round.ledger.received();
        round.latencies = Latencies::default();
        round.gathering.swarm.held_up();

        let before = Sample::take(server.pid())?;
        self.go(bench, &mut round, Budget::of(warm_up + self.messages, self.seconds))?;
        let usage = before.until(&Sample::take(server.pid())?);
        let held_up = round.gathering.swarm.held_up();

        let messages = u64::from(round.sent - warm_up);
        let deliveries = round.ledger.received() - seen;
        round.gathering.finish(bench)?;
        Ok(report::load(messages, deliveries, &usage, &mut round.latencies, held_up))
    }

    fn go(&self, bench: &Bench<'_>, round: &mut Round, budget: Budget) -> Result<()> {
        let Round { gathering: Gathering { swarm, wire, size }, ledger, sent, latencies } = round;
        let mut phase = bench.patience.phase("every message to reach every member of its room");
        loop {
            let now = Instant::now();
            if budget.spent(*sent, now) {
                return Ok(());
            }
            let (lap, room) = (*sent / self.rooms, (*sent % self.rooms) as usize);
            let stamp = Stamp { kind: Kind::Data, room, talker: 0, number: lap, sent: bench.clock.at(now) };
            swarm.send(room * *size, frame::TEXT, wire.put(stamp))?;
            *sent += 1;
            let expected = ledger.received() + *size as u64;
            while ledger.received() < expected {
                swarm.turn(TURN, |received| {
                    let Some(stamp) = wire.find(received.payload)? else { return Ok(()) };
                    ledger.note(received.by, 0, stamp.number)?;
                    latencies.push(bench.clock.at(received.at).saturating_sub(stamp.sent));
                    Ok(())
                })?;
                phase.check(ledger.received(), || format!("message {} of room {room} is not there", lap))?;
            }
        }
    }
}

/// Everyone, and what they have heard.
struct Round {
    gathering: Gathering,
    ledger: Ledger,
    sent: u32,
    latencies: Latencies,
}
