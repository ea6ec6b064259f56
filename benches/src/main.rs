//! The load program: starts a server, loads it, and prints what a message costs.
//!
//! ```text
//! cargo run --release -p channels-bench -- table            all servers compared, as Markdown; docs/performance.md
//! cargo run --release -p channels-bench -- layers           the layers over Redis, two processes; docs/performance.md
//! cargo run --release -p channels-bench                     our servers in four scenarios, medians of three runs
//! cargo run --release -p channels-bench -- fan-out --help   one scenario and its options
//! ```
//!
//! Every run has a server of its own, on a free port of the loopback interface, in a process of its own, whose CPU time and
//! memory `/proc` tells. The load checks what it measures: each member gets each message exactly once, whole and in order,
//! or the run has failed, the program says what was missing and ends with 1.

mod broker;
mod client;
mod contract;
mod frame;
mod hold;
mod measure;
mod patience;
mod payload;
mod plan;
mod proc;
mod report;
mod scenario;
mod server;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, value_parser};

use crate::contract::Contract;
use crate::measure::{How, Task, measure};
use crate::patience::Patience;
use crate::payload::SMALLEST;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::server::{Part, Server};

/// Starts a server, loads it, and prints what a message costs
#[derive(Parser)]
#[command(name = "channels-bench")]
struct Arguments {
    /// What to measure; the scenarios fan-out, idle, rooms and echo if it is not said
    #[command(subcommand)]
    command: Option<Command>,

    /// Measure these servers only; a wrong name gets the list of all
    #[arg(long, value_name = "NAMES", value_delimiter = ',', global = true)]
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

    /// Runs of which the medians are taken; 3, or 1 of a short plan, if it is not said
    #[arg(long, global = true, value_parser = value_parser!(u16).range(1..))]
    runs: Option<u16>,

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

/// What to measure.
#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    /// Compare servers: all of ours and all peers, in the scenarios that users feel; prints Markdown
    Table(plan::Options),
    /// Compare sizes of rooms, and numbers of rooms; prints Markdown
    Sizes(plan::Options),
    /// Compare the layers over Redis, with members in two processes, and numbers of members; prints Markdown
    Layers(plan::Options),
    /// Hold connections open until the input ends, for a scenario that needs more of them than one process may have
    #[command(hide = true)]
    Hold(hold::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("channels-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let patience = Patience::new(Duration::from_secs(arguments.deadline), Duration::from_secs(arguments.stall))?;
    // The server inherits it.
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let mut plan = None;
    let tasks = match &arguments.command {
        Some(Command::Hold(options)) => return options.run(&patience).map(|()| ExitCode::SUCCESS),
        Some(Command::Scenario(scenario)) => vec![task(arguments, scenario.clone())?],
        None => {
            let names = ["fan-out", "idle", "rooms", "echo"];
            names.map(|name| task(arguments, plan::parse([name])?)).into_iter().collect::<Result<_>>()?
        }
        Some(Command::Table(options)) => planned(arguments, *plan.insert(Plan::Table), options)?,
        Some(Command::Sizes(options)) => planned(arguments, *plan.insert(Plan::Sizes), options)?,
        Some(Command::Layers(options)) => planned(arguments, *plan.insert(Plan::Redis), options)?,
    };
    let short = match &arguments.command {
        Some(Command::Table(options) | Command::Sizes(options) | Command::Layers(options)) => options.short,
        _ => false,
    };
    let report = measure(
        &tasks,
        &How {
            runs: arguments.runs.unwrap_or(if short { 1 } else { 3 }),
            size: arguments.size as usize,
            server_cpus: arguments.server_cpus.as_deref(),
            client_cpus: arguments.client_cpus.as_deref(),
            patience: &patience,
        },
    )?;
    if arguments.json {
        println!("{:#}", report.json());
    } else if plan.is_some() {
        print!("{}", report.markdown());
    } else {
        print!("{}", report.plain());
    }
    let whole = report.failures.is_empty() && report.missing.is_empty();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One scenario, by itself: peers take part if they are named.
fn task(arguments: &Arguments, scenario: Scenario) -> Result<Task> {
    let servers = servers(arguments, &scenario, |server| server.part != Part::Peer)?;
    Ok(Task { name: scenario.name(), scenario, headline: &report::CPU, servers })
}

fn planned(arguments: &Arguments, plan: Plan, options: &plan::Options) -> Result<Vec<Task>> {
    let usual = plan.servers();
    let takes_part = |server: &Server| match usual {
        [] => server.part != Part::Example,
        named => named.contains(&server.name.as_str()),
    };
    let mut tasks = Vec::new();
    for (name, scenario, headline) in plan.scenarios(options)? {
        let servers = servers(arguments, &scenario, takes_part)?;
        tasks.push(Task { name, scenario, headline, servers });
    }
    Ok(tasks)
}

/// The servers that a scenario is to be run with; the `usual` ones if none is named.
fn servers(arguments: &Arguments, scenario: &Scenario, usual: impl Fn(&Server) -> bool) -> Result<Vec<Server>> {
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
    let named = !arguments.servers.is_empty();
    Ok(known
        .into_iter()
        .filter(|server| if named { arguments.servers.contains(&server.name) } else { usual(server) })
        .filter(|server| scenario.takes(server, named))
        .filter(|server| arguments.contract.is_none_or(|contract| contract == server.contract))
        .collect())
}
