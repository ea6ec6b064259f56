//! Many rooms in which everybody talks: each connection sends its next message when its last one has reached every member.

use std::time::Instant;

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

/// The options of `rooms`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections, as many in each room
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Rooms
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    rooms: u32,
    /// Messages of each connection
    #[arg(long, default_value_t = 200)]
    messages: u32,
    /// Messages of each connection before those that are measured
    #[arg(long, default_value_t = 10)]
    warm_up: u32,
    /// Measure for so long instead of counting messages
    #[arg(long)]
    seconds: Option<f64>,
    /// Send the next message when the last one is back at its sender, wherever else it is: members that are served sooner
    /// run ahead of the others, perhaps further than the server wants to queue for these
    #[arg(long)]
    run_ahead: bool,
}

impl Options {
    pub(super) fn title(&self, size: usize) -> String {
        let amount = match self.seconds {
            Some(seconds) => format!("messages for {seconds} s"),
            None => format!("{} messages", self.messages),
        };
        format!(
            "{} connections in {} rooms, all talking, {amount} of {size} bytes from each, one outstanding{}",
            self.connections,
            self.rooms,
            if self.run_ahead { " at its sender" } else { "" }
        )
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let (members, rooms) = (self.connections as usize, self.rooms as usize);
        ensure!(members.is_multiple_of(rooms), "{members} connections do not go into {rooms} rooms evenly");
        let size = members / rooms;
        let mut talk = Talk {
            gathering: Gathering::of(bench, server, rooms, size)?,
            ledger: Ledger::new(members, size),
            sent: vec![0; members],
            latencies: Latencies::default(),
        };
        self.talk(bench, &mut talk, Budget::Messages(self.warm_up))?;
        let (warm, seen) = (talk.messages(), talk.ledger.received());
        talk.latencies = Latencies::default();
        talk.gathering.swarm.held_up();

        let before = Sample::take(server.pid())?;
        self.talk(bench, &mut talk, Budget::of(self.warm_up + self.messages, self.seconds))?;
        let usage = before.until(&Sample::take(server.pid())?);
        let held_up = talk.gathering.swarm.held_up();

        let messages = talk.messages() - warm;
        let deliveries = talk.ledger.received() - seen;
        talk.gathering.finish(bench)?;
        Ok(report::load(messages, deliveries, &usage, &mut talk.latencies, held_up))
    }

    /// Talks until the budget is spent and everything has arrived.
    fn talk(&self, bench: &Bench<'_>, talk: &mut Talk, budget: Budget) -> Result<()> {
        let Talk { gathering: Gathering { swarm, wire, size }, ledger, sent, latencies } = talk;
        let size = *size;
        let enough = if self.run_ahead { 1 } else { size };
        let mut phase = bench.patience.phase("every message to reach every member of its room");
        // Members whose next message is due, and how many have the last one of each.
        let mut due: Vec<usize> = (0..sent.len()).collect();
        let mut reached = vec![0; sent.len()];
        // Deliveries that are to come, of all messages sent so far.
        let mut expected = ledger.received();
        loop {
            for member in due.drain(..) {
                let now = Instant::now();
                let (room, talker, number) = (member / size, member % size, sent[member]);
                if budget.spent(number, now) {
                    continue;
                }
                let stamp = Stamp { kind: Kind::Data, room, talker, number, sent: bench.clock.at(now) };
                swarm.send(member, frame::TEXT, wire.put(stamp))?;
                sent[member] += 1;
                reached[member] = 0;
                expected += size as u64;
            }
            if ledger.received() == expected {
                return Ok(());
            }
            swarm.turn(TURN, |received| {
                let Some(stamp) = wire.find(received.payload)? else { return Ok(()) };
                let (room, place) = (received.by / size, received.by % size);
                ensure!(stamp.room == room, "a message of room {} reached room {room}", stamp.room);
                ledger.note(received.by, stamp.talker, stamp.number)?;
                latencies.push(bench.clock.at(received.at).saturating_sub(stamp.sent));
                if stamp.talker == place || !self.run_ahead {
                    let talker = room * size + stamp.talker;
                    reached[talker] += 1;
                    if reached[talker] == enough {
                        due.push(talker);
                    }
                }
                Ok(())
            })?;
            phase.check(ledger.received(), || ledger.missing(|member, talker| sent[member / size * size + talker]))?;
        }
    }
}

/// Everyone, and what they have said and heard.
struct Talk {
    gathering: Gathering,
    ledger: Ledger,
    /// The messages of each member.
    sent: Vec<u32>,
    latencies: Latencies,
}

impl Talk {
    fn messages(&self) -> u64 {
        self.sent.iter().copied().map(u64::from).sum()
    }
}
