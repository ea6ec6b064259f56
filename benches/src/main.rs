//! The load program: starts a server, loads it, and prints what a message costs.
//!
//! ```text
//! cargo run --release -p channels-bench                     everything, medians of three runs
//! cargo run --release -p channels-bench -- fan-out --help   one scenario and its options
//! ```
//!
//! Every run has a server of its own, on a free port of the loopback interface, in a process of its own, whose CPU time and
//! memory `/proc` tells. The load checks what it measures: each member gets each message exactly once, whole and in order,
//! or the run has failed, the program says what was missing and ends with 1.

mod client;
mod contract;
mod frame;
mod patience;
mod payload;
mod proc;
mod report;
mod scenario;
mod server;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, value_parser};

use crate::contract::Contract;
use crate::patience::Patience;
use crate::payload::{Clock, SMALLEST};
use crate::report::{Numbers, Outcome, Report};
use crate::scenario::{Bench, Scenario};
use crate::server::{Program, Server};

/// Starts a server, loads it, and prints what a message costs
#[derive(Parser)]
#[command(name = "channels-bench")]
struct Arguments {
    /// What to measure; everything, with its default options, if it is not said
    #[command(subcommand)]
    scenario: Option<Scenario>,

    /// Measure these servers only [chatroom, rooms, rooms-each, echo]
    #[arg(long = "server", value_name = "NAME", global = true)]
    servers: Vec<String>,

    /// Measure this program, started with HOST and PORT in its environment, and build nothing
    #[arg(long, value_name = "PROGRAM", global = true, conflicts_with = "servers", requires = "contract")]
    server_bin: Option<PathBuf>,

    /// What the program of --server-bin does with a message
    #[arg(long, global = true)]
    contract: Option<Contract>,

    /// The path of its connections, with {room} and {member} in it where they belong
    #[arg(long, global = true, requires = "server_bin")]
    path: Option<String>,

    /// Bytes in each payload
    #[arg(long, default_value_t = 128, global = true, value_parser = value_parser!(u32).range(SMALLEST as i64..=1 << 20))]
    size: u32,

    /// Runs of which the medians are taken
    #[arg(long, default_value_t = 3, global = true, value_parser = value_parser!(u16).range(1..))]
    runs: u16,

    /// Run the server on these CPUs (as taskset takes them: 0 or 0,2-3)
    #[arg(long, value_name = "LIST", global = true)]
    server_cpus: Option<String>,

    /// Run this program on these CPUs
    #[arg(long, value_name = "LIST", global = true)]
    client_cpus: Option<String>,

    /// Seconds that a phase of a run may take
    #[arg(long, default_value_t = 300, global = true)]
    deadline: u64,

    /// Seconds that a phase may go without anything arriving
    #[arg(long, default_value_t = 15, global = true)]
    stall: u64,

    /// Print JSON, with every run in it
    #[arg(long, global = true)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(report) => {
            if arguments.json {
                println!("{:#}", report.json());
            } else {
                print!("{}", report.table());
            }
            if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("channels-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report> {
    let patience = Patience::new(Duration::from_secs(arguments.deadline), Duration::from_secs(arguments.stall))?;
    // The server inherits it.
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let all;
    let scenarios: &[Scenario] = match &arguments.scenario {
        Some(scenario) => std::slice::from_ref(scenario),
        None => {
            all = everything()?;
            &all
        }
    };
    let mut plan = Vec::new();
    for scenario in scenarios {
        plan.push((scenario, servers(arguments, scenario)?));
    }
    ensure!(plan.iter().any(|(_, servers)| !servers.is_empty()), "no scenario is for the servers named");
    // Some servers are one program.
    let mut programs: Vec<(&Program, PathBuf)> = Vec::new();
    for server in plan.iter().flat_map(|(_, servers)| servers) {
        if !programs.iter().any(|(program, _)| **program == server.program) {
            programs.push((&server.program, server.build(&patience)?));
        }
    }
    // After cargo, which may have all CPUs.
    if let Some(cpus) = &arguments.client_cpus {
        server::pin_client(cpus)?;
    }

    let clock = Clock::start();
    let size = arguments.size as usize;
    let mut report = Report { outcomes: Vec::new(), failures: Vec::new(), runs: arguments.runs.into() };
    for (scenario, servers) in &plan {
        let mut rows: Vec<(String, Vec<Numbers>)> = Vec::new();
        rows.extend(servers.iter().map(|server| (server.name.clone(), Vec::new())));
        // Servers take turns, so that what else the machine does falls on all of them.
        for run in 1..=arguments.runs {
            for (server, (name, runs)) in servers.iter().zip(&mut rows) {
                let Some((_, program)) = programs.iter().find(|(program, _)| **program == server.program) else {
                    continue;
                };
                eprintln!("{} {name}, run {run} of {}", scenario.name(), arguments.runs);
                let cpus = arguments.server_cpus.as_deref();
                match scenario.run(&Bench { server, program, cpus, size, patience: &patience, clock }) {
                    Ok(numbers) => runs.push(numbers),
                    Err(error) if patience.interrupted() => bail!("{error:#}"),
                    Err(error) => {
                        eprintln!("failed; more at the end");
                        report.failures.push(format!("run {run}: {error:#}"));
                    }
                }
            }
        }
        let (scenario, title, legend) = (scenario.name(), scenario.title(size), scenario.legend());
        report.outcomes.push(Outcome { scenario, title, legend, rows });
    }
    Ok(report)
}

/// Every scenario as it is when only its name is given.
fn everything() -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for name in ["fan-out", "idle", "rooms", "echo"] {
        scenarios.extend(Arguments::try_parse_from(["channels-bench", name])?.scenario);
    }
    Ok(scenarios)
}

/// The servers that a scenario is to be run with.
fn servers(arguments: &Arguments, scenario: &Scenario) -> Result<Vec<Server>> {
    if let (Some(binary), Some(contract)) = (&arguments.server_bin, arguments.contract) {
        let server = Server::built(binary.clone(), contract, arguments.path.clone());
        return Ok(if scenario.takes(&server, true) { vec![server] } else { Vec::new() });
    }
    let known = server::servers();
    for name in &arguments.servers {
        if !known.iter().any(|server| server.name == *name) {
            let names: Vec<_> = known.iter().map(|server| server.name.as_str()).collect();
            bail!("no server is called {name}; there are {}", names.join(", "));
        }
    }
    Ok(known
        .into_iter()
        .filter(|server| arguments.servers.is_empty() || arguments.servers.contains(&server.name))
        .filter(|server| scenario.takes(server, !arguments.servers.is_empty()))
        .filter(|server| arguments.contract.is_none_or(|contract| contract == server.contract))
        .collect())
}
