//! The child process that a server runs in.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Guard, Server, workspace};
use crate::patience::Patience;

/// A server that runs, until it is dropped.
pub(crate) struct Running {
    child: Guard,
    said: Arc<Mutex<VecDeque<String>>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts `server`, whose program is at this path, on these CPUs if any are named, and waits for its address: a free
    /// port of the loopback interface, unless the environment says otherwise.
    pub(crate) fn start(
        server: &Server,
        program: &Path,
        cpus: Option<&str>,
        environment: &[(&str, String)],
        patience: &Patience,
    ) -> Result<Self> {
        let mut command = match cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", cpus]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(server.arguments)
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace().join(server.directory))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Guard)
            .with_context(|| format!("cannot start {}", program.display()))?;
        let said = Arc::default();
        let (found, address) = mpsc::channel();
        if let Some(stdout) = child.0.stdout.take() {
            listen(stdout, Arc::clone(&said), found.clone());
        }
        if let Some(stderr) = child.0.stderr.take() {
            listen(stderr, Arc::clone(&said), found);
        }
        let mut running = Self { child, said, address: ([127, 0, 0, 1], 0).into() };
        let mut phase = patience.phase("the server to print its address");
        running.address = loop {
            match address.recv_timeout(Duration::from_millis(20)) {
                Ok(address) => break address,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the server printed no address{}", running.last_words()),
            }
            phase.check(0, || format!("it has not{}", running.last_words()))?;
        };
        Ok(running)
    }

    /// The process, for `/proc`.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// How it ended, if it did, and the last lines it printed: what to add to an error.
    pub(crate) fn last_words(&mut self) -> String {
        let ended = match self.child.0.try_wait() {
            Ok(Some(status)) => format!("\nthe server ended with {status}"),
            _ => String::new(),
        };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            return ended;
        }
        let lines: Vec<_> = said.iter().map(String::as_str).collect();
        format!("{ended}\nthe server's last lines:\n  {}", lines.join("\n  "))
    }
}

/// Reads to the end what a server prints, so that it never waits for a full pipe; keeps the last lines and looks for the
/// address.
fn listen(output: impl Read + Send + 'static, said: Arc<Mutex<VecDeque<String>>>, found: Sender<SocketAddr>) {
    const KEPT: usize = 12;
    thread::spawn(move || {
        let mut found = Some(found);
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(address) = address(&line)
                && let Some(found) = found.take()
            {
                // Nobody waits any more if the other stream had it first.
                found.send(address).ok();
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.len() == KEPT {
                said.pop_front();
            }
            said.push_back(line);
        }
    });
}

/// The address in a line that has `127.0.0.1:<port>` in it.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("127.0.0.1:")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some(([127, 0, 0, 1], digits.parse().ok().filter(|port| *port != 0)?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_servers_print() {
        for (line, port) in [
            ("http://127.0.0.1:4000/", Some(4000)),
            ("Uvicorn running on http://127.0.0.1:4000 (Press CTRL+C to quit)", Some(4000)),
            ("Listening on TCP address 127.0.0.1:4000", Some(4000)),
            ("Starting server at tcp:port=0:interface=127.0.0.1", None),
            ("http://127.0.0.1:0/", None),
        ] {
            assert_eq!(address(line).map(|address| address.port()), port, "{line}");
        }
    }
}
