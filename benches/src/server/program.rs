//! How the program of a server is had: cargo, npm or pip make it, or it is there already.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Guard, workspace};
use crate::patience::Patience;

/// Where the program of a server comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// `cargo build --release` with these arguments makes it; the last one is its name.
    Cargo(&'static [&'static str]),
    /// The package of this name of `benches/peers`, a workspace of its own.
    Peer(&'static str),
    /// `npm install` in this directory gets it, under this name.
    Npm(&'static str, &'static str),
    /// The interpreter of a virtual environment in this directory, with what its `requirements.txt` asks for.
    Python(&'static str),
    /// It is there already.
    Built(PathBuf),
}

impl Program {
    /// Makes it, and says where it is.
    pub(crate) fn prepare(&self, patience: &Patience) -> Result<PathBuf> {
        match self {
            Self::Built(path) => Ok(path.clone()),
            Self::Cargo(arguments) => {
                let name = arguments.last().context("a server without a name")?;
                cargo(arguments, name, patience)
            }
            Self::Peer(name) => {
                let manifest = ["--manifest-path", "benches/peers/Cargo.toml", "--target-dir", "target/peers"];
                cargo(&[&manifest[..], &["--package", name]].concat(), name, patience)
            }
            Self::Npm(directory, name) => {
                let directory = workspace().join(directory);
                run("npm", &["install", "--no-audit", "--no-fund"], &directory, patience)?;
                let program = directory.join("node_modules/.bin").join(name);
                // A package manager that runs no install scripts may have left a stub there.
                run(&program, &["--version"], &directory, patience)?;
                Ok(program)
            }
            Self::Python(directory) => {
                let directory = workspace().join(directory);
                let python = directory.join(".venv/bin/python");
                if !python.exists() {
                    run("python3", &["-m", "venv", ".venv"], &directory, patience)?;
                }
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
                run(&python, &pip, &directory, patience)?;
                Ok(python)
            }
        }
    }
}

/// Builds with these arguments, and finds the program `name` in what cargo reports.
fn cargo(arguments: &[&str], name: &str, patience: &Patience) -> Result<PathBuf> {
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
    let wanted = name.to_owned();
    let reader = thread::spawn(move || executable(output, &wanted));
    wait(&mut child, "cargo", patience)?;
    reader.join().ok().flatten().with_context(|| format!("cargo built no program called {name}"))
}

/// Runs a command in a directory, to its end.
fn run(program: impl AsRef<OsStr>, arguments: &[&str], directory: &Path, patience: &Patience) -> Result<()> {
    let program = program.as_ref();
    let shown = format!("{} {}", program.to_string_lossy(), arguments.join(" "));
    eprintln!("preparing, in {}: {shown}", directory.display());
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        // What is printed here is the report.
        .stdout(Stdio::null())
        .spawn()
        .map(Guard)
        .with_context(|| format!("cannot run {shown}"))?;
    wait(&mut child, &shown, patience)
}

fn wait(child: &mut Guard, name: &str, patience: &Patience) -> Result<()> {
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        ensure!(!patience.interrupted(), "interrupted while waiting for {name}");
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
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
