//! The servers that can be measured, and the child process that one of them runs in.
//!
//! To add one: write a small program that takes `HOST` and `PORT` from its environment, prints the address it serves as
//! `http://127.0.0.1:<port>/`, and answers `/ws/<room>/` as [`Contract::Room`] says; then add its row to [`servers`].

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::contract::Contract;
use crate::patience::Patience;

/// A server, as a row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name there and for `--server`.
    pub(crate) name: String,
    /// How its program is had.
    pub(crate) program: Program,
    /// The path of a connection; `{room}` and `{member}` are put in.
    pub(crate) path: String,
    /// What it does with a message.
    pub(crate) contract: Contract,
    /// Whether it takes part when no server is named in the measurement of memory.
    pub(crate) idle: bool,
}

/// Where the program of a server comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// `cargo build --release` with these arguments makes it; the last one is its name.
    Cargo(&'static [&'static str]),
    /// It is there already.
    Built(PathBuf),
}

/// The servers that are known by name.
pub(crate) fn servers() -> Vec<Server> {
    const CHATROOM: Program = Program::Cargo(&["--package", "channels", "--example", "chatroom"]);
    const ECHO: Program = Program::Cargo(&["--package", "channels", "--example", "echo"]);
    const ROOMS: Program = Program::Cargo(&["--package", "channels-bench", "--bin", "rooms"]);
    [
        ("chatroom", CHATROOM, "/ws/{room}/?name={member}", Contract::Chatroom, true),
        ("rooms", ROOMS, "/ws/{room}/", Contract::Room, true),
        ("rooms-each", ROOMS, "/each/{room}/", Contract::Room, false),
        ("echo", ECHO, "/ws/", Contract::Echo, true),
    ]
    .map(|(name, program, path, contract, idle)| Server {
        name: name.to_owned(),
        program,
        path: path.to_owned(),
        contract,
        idle,
    })
    .into()
}

impl Server {
    /// A server that was built elsewhere.
    pub(crate) fn built(binary: PathBuf, contract: Contract, path: Option<String>) -> Self {
        let name = binary.file_stem().map_or_else(|| "server".into(), |stem| stem.to_string_lossy().into_owned());
        let path = path.unwrap_or_else(|| contract.usual_path().to_owned());
        Self { name, program: Program::Built(binary), path, contract, idle: true }
    }

    /// The path of one connection.
    pub(crate) fn path(&self, room: usize, member: usize) -> String {
        self.path.replace("{room}", &format!("bench{room}")).replace("{member}", &format!("n{member}"))
    }

    /// Builds the program if that is how it is had, and says where it is.
    pub(crate) fn build(&self, patience: &Patience) -> Result<PathBuf> {
        let arguments = match &self.program {
            Program::Built(path) => return Ok(path.clone()),
            Program::Cargo(arguments) => *arguments,
        };
        let name = arguments.last().context("a server without a name")?;
        eprintln!("building: cargo build --release {}", arguments.join(" "));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = Command::new(cargo)
            .args(["build", "--release", "--message-format=json-render-diagnostics"])
            .args(arguments)
            .current_dir(workspace())
            .stdout(Stdio::piped())
            .spawn()
            .map(Guard)
            .context("cannot run cargo")?;
        let output = child.0.stdout.take().context("cargo has no output")?;
        let reader = thread::spawn(move || executable(output, name));
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            ensure!(!patience.interrupted(), "interrupted while building {}", self.name);
            thread::sleep(Duration::from_millis(50));
        };
        ensure!(status.success(), "{} cannot be built: cargo ended with {status}", self.name);
        reader.join().ok().flatten().with_context(|| format!("cargo built no program called {name}"))
    }
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The path of the program `name` in what cargo reports.
fn executable(output: impl Read, name: &str) -> Option<PathBuf> {
    let mut found = None;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(report) = serde_json::from_str::<Value>(&line) else { continue };
        if report["target"]["name"] == name {
            found = report["executable"].as_str().map(PathBuf::from).or(found);
        }
    }
    found
}

/// A server that runs, until it is dropped.
pub(crate) struct Running {
    child: Guard,
    said: Arc<Mutex<VecDeque<String>>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts `program` on a free port of the loopback interface, on these CPUs if any are named, and waits for its address.
    pub(crate) fn start(program: &Path, cpus: Option<&str>, patience: &Patience) -> Result<Self> {
        let mut command = match cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", cpus]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .current_dir(workspace())
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

/// The address in a line that has `http://127.0.0.1:<port>` in it.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://127.0.0.1:")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some(([127, 0, 0, 1], digits.parse().ok().filter(|port| *port != 0)?).into())
}

/// A child that does not outlive its handle.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // An error says that it has ended already.
        self.0.kill().ok();
        let _: Option<ExitStatus> = self.0.wait().ok();
    }
}

/// Puts this process on these CPUs.
pub(crate) fn pin_client(cpus: &str) -> Result<()> {
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cpus, &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("cannot run taskset, which --client-cpus needs")?;
    ensure!(status.success(), "taskset does not put the client on CPUs {cpus}");
    Ok(())
}
