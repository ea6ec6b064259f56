//! Brings members into rooms and makes sure that everyone hears its room before anything is measured.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, TURN};
use crate::client::Swarm;
use crate::contract::Wire;
use crate::frame;
use crate::payload::{Kind, Stamp};
use crate::server::Running;

/// Members of rooms, joined and quiet. Member `m` is in room `m / size`, as its number `m % size`.
pub(super) struct Gathering {
    pub(super) swarm: Swarm,
    pub(super) wire: Wire,
    /// The members of each room.
    pub(super) size: usize,
}

impl Gathering {
    /// Connects everyone, lets the first of each room send markers until every member has got one of its own room, and
    /// waits until the server has nothing more to say.
    pub(super) fn of(bench: &Bench<'_>, server: &Running, rooms: usize, size: usize) -> Result<Self> {
        Self::in_several(bench, std::slice::from_ref(server), rooms, size)
    }

    /// The same with several servers, which share their rooms: equal parts of the members, in order, are each one's.
    pub(super) fn in_several(bench: &Bench<'_>, servers: &[Running], rooms: usize, size: usize) -> Result<Self> {
        // Servers may subscribe a member after they have answered its handshake, so one marker may not be enough.
        const AGAIN: Duration = Duration::from_millis(500);
        let members = rooms * size;
        let mut swarm = bench.swarm(&servers[0])?;
        let mut wire = Wire::new(bench.server.contract, bench.size);
        for (at, server) in servers.iter().enumerate() {
            let part = at * members / servers.len()..(at + 1) * members / servers.len();
            let paths = part.map(|member| bench.server.path(member / size, member));
            swarm.go_to(server.address);
            swarm.join(paths, bench.patience, |_| Ok(()))?;
        }

        let mut phase = bench.patience.phase("every member to hear its room");
        let mut heard = vec![false; members];
        let mut count = 0;
        let mut round = 0;
        let mut last: Option<Instant> = None;
        while count < members {
            if last.is_none_or(|last| last.elapsed() > AGAIN) {
                for room in 0..rooms {
                    let sent = bench.clock.at(Instant::now());
                    let stamp = Stamp { kind: Kind::Marker, room, talker: 0, number: round, sent };
                    swarm.send(room * size, frame::TEXT, wire.put(stamp))?;
                }
                round += 1;
                last = Some(Instant::now());
            }
            swarm.turn(TURN, |received| {
                let Some(stamp) = wire.find(received.payload)? else { return Ok(()) };
                let room = received.by / size;
                ensure!(stamp.room == room, "a message of room {} reached room {room}", stamp.room);
                if !heard[received.by] {
                    wire.verify(received.payload, stamp)?;
                    heard[received.by] = true;
                    count += 1;
                }
                Ok(())
            })?;
            phase.check(count as u64, || {
                let deaf: Vec<_> =
                    (0..members).filter(|member| !heard[*member]).take(8).map(|m| m.to_string()).collect();
                format!("{count} of {members} have after {round} markers; not among them: {}", deaf.join(", "))
            })?;
        }
        swarm.quiet(bench.patience, |_| Ok(()))?;
        Ok(Self { swarm, wire, size })
    }

    /// Makes sure that nothing arrives any more: what does now was delivered twice.
    pub(super) fn finish(mut self, bench: &Bench<'_>) -> Result<()> {
        let Self { swarm, wire, .. } = &mut self;
        swarm.quiet(bench.patience, |received| {
            let extra = wire.find(received.payload)?;
            ensure!(extra.is_none(), "member {} got a message when it had them all", received.by);
            Ok(())
        })
    }
}
