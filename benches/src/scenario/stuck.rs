//! A room with one client in it that never reads: the others must not notice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, TURN, fan_out};
use crate::client;
use crate::contract::Wire;
use crate::frame;
use crate::payload::{Kind, Stamp};
use crate::report::{self, Column, Numbers, column};
use crate::server::Running;

/// The options of `stuck`.
#[derive(Clone, clap::Args)]
pub(crate) struct Options {
    /// Members of the room; one of them never reads
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    members: u32,
    /// Broadcasts a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Measure for so long without the client that never reads, and for so long with it
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

static P99: Column = Column { spread: true, ..column("latency_p99_ms", "p99 ms without", 2) };
static P99_STUCK: Column = Column { spread: true, ..column("latency_p99_ms_stuck", "p99 ms with", 2) };
static RATIO: Column = Column { spread: true, ..column("latency_p99_ratio", "×", 2) };
static CPU: Column = column("cpu_us", "CPU µs without", 2);
static CPU_STUCK: Column = column("cpu_us_stuck", "CPU µs with", 2);
static UNREAD: Column = column("unread_kib", "unread KiB", 0);

impl Options {
    pub(super) fn title(&self, size: usize) -> String {
        let Self { members, rate, seconds } = self;
        let others = members - 1;
        format!(
            "{others} members, {rate} broadcasts of {size} bytes a second for {seconds} s, and one client that never reads"
        )
    }

    pub(super) fn run(&self, bench: &Bench<'_>, server: &Running) -> Result<Numbers> {
        let paced = fan_out::Options::paced(self.members - 1, self.rate, self.seconds);
        let without = paced.run(bench, server)?;
        let stuck = Stuck::join(bench, server)?;
        let unread = stuck.fill(bench, server)?;
        let with = paced.run(bench, server)?;
        let (p99, p99_stuck) = (report::value(&without, &report::P99), report::value(&with, &report::P99));
        Ok(vec![
            (&P99, p99),
            (&P99_STUCK, p99_stuck),
            (&RATIO, p99_stuck / p99),
            (&CPU, report::value(&without, &report::CPU)),
            (&CPU_STUCK, report::value(&with, &report::CPU)),
            (&UNREAD, unread as f64 / 1024.0),
        ])
    }
}

/// A member of the room that reads the answer to its handshake, and then nothing.
struct Stuck(TcpStream);

impl Stuck {
    fn join(bench: &Bench<'_>, server: &Running) -> Result<Self> {
        let mut socket = TcpStream::connect(server.address).context("cannot open a socket")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(client::request(&bench.server.path(0, 0), server.address).as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).context("the client that is to get stuck was not answered")?;
            answer.push(byte[0]);
        }
        ensure!(answer.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(&answer));
        Ok(Self(socket))
    }

    /// Lets somebody talk in the room until the kernel takes no more for this client: from then on the server holds what it
    /// cannot write, or does something about it. Returns the bytes that the kernel holds.
    fn fill(&self, bench: &Bench<'_>, server: &Running) -> Result<u64> {
        const MESSAGE: usize = 16 * 1024;
        // As long as nothing is added, with less than the least that a server may hold for a client.
        const STILL: u32 = 16;
        let mut talker = bench.swarm(server)?;
        talker.join([bench.server.path(0, 1)], bench.patience, |_| Ok(()))?;
        let mut wire = Wire::new(bench.server.contract, MESSAGE);
        let mut phase = bench.patience.phase("the socket of the client that never reads to be full");
        let (mut held, mut still) = (0, 0);
        for number in 0.. {
            let sent = bench.clock.at(Instant::now());
            talker.send(0, frame::TEXT, wire.put(Stamp { kind: Kind::Marker, room: 0, talker: 0, number, sent }))?;
            let mut back = false;
            while !back {
                talker.turn(TURN, |received| {
                    back |= wire.find(received.payload)?.is_some_and(|stamp| stamp.number == number);
                    Ok(())
                })?;
                phase.check(number.into(), || format!("{held} bytes are in it"))?;
            }
            let now = held_by_kernel(server.address, self.0.local_addr()?)?;
            still = if now > held { 0 } else { still + 1 };
            held = held.max(now);
            if still == STILL {
                break;
            }
        }
        Ok(held)
    }
}

/// Bytes that wait in the sockets between a server and a client, on both sides; none if they are closed.
fn held_by_kernel(server: SocketAddr, client: SocketAddr) -> Result<u64> {
    let entries = procfs::net::tcp().context("cannot read /proc/net/tcp")?;
    let ends = [(server, client), (client, server)];
    let ours = entries.iter().filter(|entry| ends.contains(&(entry.local_address, entry.remote_address)));
    Ok(ours.map(|entry| u64::from(entry.tx_queue) + u64::from(entry.rx_queue)).sum())
}
