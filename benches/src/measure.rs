//! Runs scenarios on servers, in turns, and collects the numbers.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::patience::Patience;
use crate::payload::Clock;
use crate::report::{Column, Numbers, Outcome, Report};
use crate::scenario::{Bench, Scenario};
use crate::server::{self, Program, Server};

/// One scenario, and the servers to be measured with it.
pub(crate) struct Task {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) scenario: Scenario,
    /// The column that stands for it.
    pub(crate) headline: &'static Column,
    /// By whom.
    pub(crate) servers: Vec<Server>,
}

/// How tasks are run.
pub(crate) struct How<'h> {
    /// Runs of each.
    pub(crate) runs: u16,
    /// Bytes in each payload.
    pub(crate) size: usize,
    /// The CPUs of the servers, if not all.
    pub(crate) server_cpus: Option<&'h str>,
    /// The CPUs of this program, if not all.
    pub(crate) client_cpus: Option<&'h str>,
    /// How long anything may take.
    pub(crate) patience: &'h Patience,
}

/// Prepares every server, then runs every task.
pub(crate) fn measure(tasks: &[Task], how: &How<'_>) -> Result<Report> {
    ensure!(tasks.iter().any(|task| !task.servers.is_empty()), "no scenario is for the servers named");
    let mut report = Report { outcomes: Vec::new(), missing: Vec::new(), failures: Vec::new(), runs: how.runs };
    let programs = prepare(tasks, how.patience, &mut report)?;
    // After cargo, which may have all CPUs.
    if let Some(cpus) = how.client_cpus {
        server::pin_client(cpus)?;
    }
    let clock = Clock::start();
    for task in tasks {
        let outcome = run(task, &programs, how, clock, &mut report.failures)?;
        report.outcomes.push(outcome);
    }
    Ok(report)
}

/// The programs that could be had; the report names the servers that are missing for want of one.
fn prepare<'t>(
    tasks: &'t [Task],
    patience: &Patience,
    report: &mut Report,
) -> Result<Vec<(&'t Program, Option<PathBuf>)>> {
    // Some servers are one program.
    let mut programs: Vec<(&Program, Option<PathBuf>)> = Vec::new();
    for server in tasks.iter().flat_map(|task| &task.servers) {
        if programs.iter().any(|(program, _)| **program == server.program) {
            continue;
        }
        match server.program.prepare(patience) {
            Ok(path) => programs.push((&server.program, Some(path))),
            Err(error) if patience.interrupted() => return Err(error),
            Err(error) => {
                eprintln!("{} is missing: {error:#}", server.name);
                programs.push((&server.program, None));
                for task in tasks {
                    for other in task.servers.iter().filter(|other| other.program == server.program) {
                        if !report.missing.iter().any(|(name, _)| *name == other.name) {
                            report.missing.push((other.name.clone(), format!("{error:#}")));
                        }
                    }
                }
            }
        }
    }
    Ok(programs)
}

/// All runs of one task. Servers take turns, so that what else the machine does falls on all of them.
fn run(
    task: &Task,
    programs: &[(&Program, Option<PathBuf>)],
    how: &How<'_>,
    clock: Clock,
    failures: &mut Vec<String>,
) -> Result<Outcome> {
    let Task { name, scenario, headline, servers } = task;
    let mut rows: Vec<(String, Vec<Numbers>)> = Vec::new();
    rows.extend(servers.iter().map(|server| (server.name.clone(), Vec::new())));
    for run in 1..=how.runs {
        for (server, (row, runs)) in servers.iter().zip(&mut rows) {
            let program = programs.iter().find(|(program, _)| **program == server.program);
            let Some((_, Some(program))) = program else { continue };
            eprintln!("{name} {row}, run {run} of {}", how.runs);
            let (cpus, size, patience) = (how.server_cpus, how.size, how.patience);
            match scenario.run(&Bench { server, program, cpus, size, patience, clock }) {
                Ok(numbers) => runs.push(numbers),
                Err(error) if how.patience.interrupted() => bail!("{error:#}"),
                Err(error) => {
                    eprintln!("failed; more at the end");
                    failures.push(format!("{name} {row}, run {run}: {error:#}"));
                }
            }
        }
    }
    Ok(Outcome { name, title: scenario.title(how.size), legend: scenario.legend(), headline, rows })
}
