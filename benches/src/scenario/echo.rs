//! Messages that come straight back: every connection keeps several in flight and sends one for each that returns.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::ledger::Ledger;
use super::{Bench, Budget, TURN};
use crate::client::Swarm;
use crate::contract::{Wire, opcode};
use crate::payload::{Kind, Stamp};
use crate::proc::Sample;
use crate::report::{self, Numbers};
use crate::server::Running;
use crate::stats::Latencies;

/// The options of `echo`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    connections: u32,
    /// Messages in flight on each of them
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// Messages of each connection
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Messages of each connection before those that are measured
    #[arg(long, default_value_t = 500)]
    warm_up: u32,
    /// Measure for so long instead of counting messages
    #[arg(long)]
    seconds: Option<f64>,
    /// Send bytes, not text
    #[arg(long)]
    binary: bool,
}

impl Options {
    pub(super) fn title(&self, size: usize) -> String {
        let amount = match self.seconds {
            Some(seconds) => format!("messages for {seconds} s"),
            None => format!("{} messages", self.messages),
        };
        let kind = if self.binary { "bytes" } else { "bytes of text" };
        let Self { connections, in_flight, .. } = self;
        format!("{connections} connections, {amount} of {size} {kind} on each, {in_flight} in flight")
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let connections = self.connections as usize;
        let mut swarm = bench.swarm(server)?;
        swarm.join((0..connections).filter_map(|member| bench.server.echo(member)), bench.patience, |_| Ok(()))?;
        let mut talk = Talk {
            swarm,
            wire: Wire::new(bench.server.contract, bench.size),
            ledger: Ledger::new(connections, 1),
            sent: vec![0; connections],
            latencies: Latencies::default(),
        };
        self.go(bench, &mut talk, Budget::Messages(self.warm_up))?;
        let seen = talk.ledger.received();
        talk.latencies = Latencies::default();
        talk.swarm.held_up();

        let before = Sample::take(server.pid())?;
        self.go(bench, &mut talk, Budget::of(self.warm_up + self.messages, self.seconds))?;
        let usage = before.until(&Sample::take(server.pid())?);
        let held_up = talk.swarm.held_up();

        let messages = talk.ledger.received() - seen;
        talk.swarm.quiet(bench.patience, |received| {
            let extra = talk.wire.find(received.payload)?;
            ensure!(extra.is_none(), "connection {} got an answer when it had them all", received.by);
            Ok(())
        })?;
        Ok(report::load(messages, messages, &usage, &mut talk.latencies, held_up))
    }

    /// Sends until the budget is spent and everything is back.
    fn go(&self, bench: &Bench<'_>, talk: &mut Talk, budget: Budget) -> Result<()> {
        let Talk { swarm, wire, ledger, sent, latencies } = talk;
        let opcode = opcode(self.binary);
        let mut phase = bench.patience.phase("every message to come back");
        let stamp = |room: usize, number: u32, now: Instant| Stamp {
            kind: Kind::Data,
            room,
            talker: 0,
            number,
            sent: bench.clock.at(now),
        };
        let mut expected = ledger.received();
        for (connection, sent) in sent.iter_mut().enumerate() {
            for _ in 0..self.in_flight {
                let now = Instant::now();
                if !budget.spent(*sent, now) {
                    swarm.send(connection, opcode, wire.put(stamp(connection, *sent, now)))?;
                    *sent += 1;
                    expected += 1;
                }
            }
        }
        while ledger.received() < expected {
            swarm.turn(TURN, |mut received| {
                let Some(found) = wire.find(received.payload)? else { return Ok(()) };
                ensure!(found.room == received.by, "an answer for connection {} came to {}", found.room, received.by);
                ledger.note(received.by, 0, found.number)?;
                latencies.push(bench.clock.at(received.at).saturating_sub(found.sent));
                let sent = &mut sent[received.by];
                if !budget.spent(*sent, received.at) {
                    received.reply.send(opcode, wire.put(stamp(received.by, *sent, received.at)));
                    *sent += 1;
                    expected += 1;
                }
                Ok(())
            })?;
            phase.check(ledger.received(), || ledger.missing(|member, _| sent[member]))?;
        }
        Ok(())
    }
}

/// The connections, and what they have sent and got.
struct Talk {
    swarm: Swarm,
    wire: Wire,
    ledger: Ledger,
    /// The messages of each connection.
    sent: Vec<u32>,
    latencies: Latencies,
}
