//! A second load program: it opens connections, says so, and holds them until its input ends. One process may have no more
//! files than its limit, and one address no more than some 28,000 ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::client::Swarm;
use crate::contract::Contract;
use crate::patience::Patience;
use crate::server::{Guard, Server, filled};

/// What it says when all connections are open, and when all are closed.
const JOINED: &str = "joined";
const LEFT: &str = "left";

/// The options of `hold`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    template: String,
    #[arg(long)]
    protocol: Contract,
    #[arg(long)]
    source: Ipv4Addr,
    #[arg(long)]
    first: usize,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    per_room: usize,
}

impl Options {
    /// Holds connections until the input ends.
    pub(crate) fn run(&self, patience: &Patience) -> Result<()> {
        let mut swarm = Swarm::new(self.address, self.protocol.manners())?;
        swarm.come_from(self.source);
        let members = self.first..self.first + self.connections;
        let paths = members.map(|member| filled(&self.template, member / self.per_room, member));
        swarm.join(paths, patience, |_| Ok(()))?;
        say(JOINED)?;

        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            io::stdin().read_to_end(&mut Vec::new()).ok();
            end.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            ensure!(!patience.interrupted(), "interrupted while holding connections");
            swarm.rest()?;
        }
        swarm.leave(patience)?;
        say(LEFT)
    }
}

fn say(word: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{word}").and_then(|()| out.flush()).context("cannot write to the output")
}

/// Such a program that runs, until it is dropped.
pub(crate) struct Holder {
    child: Guard,
    lines: Receiver<String>,
}

impl Holder {
    /// Starts one for `connections` members of rooms, counted from `first`.
    pub(crate) fn start(
        server: &Server,
        address: SocketAddr,
        first: u32,
        connections: u32,
        per_room: u32,
    ) -> Result<Self> {
        let protocol = clap::ValueEnum::to_possible_value(&server.contract).context("a contract without a name")?;
        let source = Ipv4Addr::new(127, 0, 2, u8::try_from(1 + first / connections.max(1)).unwrap_or(u8::MAX));
        let mut child = Command::new(env::current_exe().context("cannot find this program")?)
            .args(["hold", "--address", &address.to_string(), "--template", &server.path])
            .args(["--protocol", protocol.get_name(), "--source", &source.to_string()])
            .args(["--first", &first.to_string(), "--connections", &connections.to_string()])
            .args(["--per-room", &per_room.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Guard)
            .context("cannot start a second load program")?;
        let output = child.0.stdout.take().context("the second load program has no output")?;
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            for said in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody waits for it any more.
                line.send(said).ok();
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits until its connections are open.
    pub(crate) fn joined(&mut self, patience: &Patience) -> Result<()> {
        self.wait(JOINED, patience)
    }

    /// Lets it close its connections, and waits until they are.
    pub(crate) fn leave(&mut self, patience: &Patience) -> Result<()> {
        drop(self.child.0.stdin.take());
        self.wait(LEFT, patience)
    }

    fn wait(&self, word: &str, patience: &Patience) -> Result<()> {
        let mut waited = 0;
        let mut phase = patience.phase("a second load program");
        loop {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line == word => return Ok(()),
                Ok(line) => bail!("the second load program said {line}, not {word}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the second load program ended before it had {word}"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // It has a deadline of its own for standing still.
            waited += 1;
            phase.check(waited, || format!("it has not {word}"))?;
        }
    }
}
