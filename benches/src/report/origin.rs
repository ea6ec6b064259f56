//! Where the numbers come from.

use std::fmt::{self, Display, Formatter};
use std::process::Command;

use serde::Serialize;

use crate::proc::Machine;
use crate::server::workspace;

/// What is needed to make the numbers again.
#[derive(Serialize)]
pub(super) struct Origin {
    machine: Machine,
    commit: String,
    command: String,
}

impl Origin {
    /// This machine, this commit, this command.
    pub(super) fn here() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let command = format!("cargo run --release -p channels-bench -- {}", arguments.join(" "));
        Self { machine: Machine::this(), commit: commit(), command: command.trim_end_matches(" -- ").to_owned() }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory, kernel, congestion_control } = &self.machine;
        let memory = memory >> 20;
        writeln!(f, "machine: {cores} × {cpu}, {memory} MiB, Linux {kernel}, TCP {congestion_control}")?;
        write!(f, "commit:  {}\ncommand: {}", self.commit, self.command)
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "none".to_owned() };
    match git(&["status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} and uncommitted changes"),
    }
}
