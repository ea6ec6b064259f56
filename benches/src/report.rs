//! What is printed: a plain table for people, JSON for programs.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::proc::{Machine, Usage};
use crate::server::workspace;
use crate::stats::{Latencies, median};

/// One number that runs have in common.
pub(crate) struct Column {
    /// In JSON.
    pub(crate) key: &'static str,
    /// Over the table.
    pub(crate) head: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// Whether the table shows the lowest and highest run as well.
    pub(crate) spread: bool,
}

const fn column(key: &'static str, head: &'static str, digits: usize) -> Column {
    Column { key, head, digits, spread: false }
}

static MESSAGES: Column = column("messages_per_second", "messages/s", 0);
static DELIVERIES: Column = column("deliveries_per_second", "deliveries/s", 0);
static CPU: Column = Column { spread: true, ..column("cpu_us", "CPU µs", 2) };
static USER: Column = column("cpu_user_us", "user", 2);
static SYSTEM: Column = column("cpu_system_us", "sys", 2);
static P50: Column = column("latency_p50_ms", "p50 ms", 2);
static P99: Column = column("latency_p99_ms", "p99 ms", 2);
static MAX: Column = column("latency_max_ms", "max ms", 2);
static HELD_UP: Column = column("client_held_up_ms", "held up ms", 0);
static CLIENT: Column = column("client_cpu_us", "client µs", 2);
static OTHERS: Column = column("others_percent", "others %", 0);
pub(crate) static PER_CONNECTION: Column = Column { spread: true, ..column("kib_per_connection", "KiB/connection", 2) };
pub(crate) static PER_CONNECTION_LAST: Column =
    Column { spread: true, ..column("kib_per_connection_last", "KiB/connection then", 2) };
pub(crate) static RESIDENT: Column = column("resident_kib_per_connection", "of VmRSS", 2);
pub(crate) static BEFORE: Column = column("anonymous_mib_before", "before MiB", 1);
pub(crate) static DURING: Column = column("anonymous_mib_connected", "connected", 1);
pub(crate) static AFTER: Column = column("anonymous_mib_left", "all left", 1);
pub(crate) static DURING_LAST: Column = column("anonymous_mib_connected_last", "last time", 1);
pub(crate) static AFTER_LAST: Column = column("anonymous_mib_left_last", "all left", 1);

/// The numbers of one run, in the order of the table.
pub(crate) type Numbers = Vec<(&'static Column, f64)>;

/// The numbers of a run that sent `messages`, of which `deliveries` arrived: the CPU columns are per delivery. The load
/// program itself was `held_up` for so long.
pub(crate) fn load(
    messages: u64,
    deliveries: u64,
    usage: &Usage,
    latencies: &mut Latencies,
    held_up: Duration,
) -> Numbers {
    let per_delivery = |seconds: f64| seconds * 1e6 / deliveries as f64;
    let [p50, p99, max] = latencies.percentiles([0.5, 0.99, 1.0]);
    let mut numbers = vec![(&MESSAGES, messages as f64 / usage.wall)];
    if deliveries != messages {
        numbers.push((&DELIVERIES, deliveries as f64 / usage.wall));
    }
    numbers.extend([
        (&CPU, per_delivery(usage.server.total())),
        (&USER, per_delivery(usage.server.user)),
        (&SYSTEM, per_delivery(usage.server.system)),
        (&P50, p50),
        (&P99, p99),
        (&MAX, max),
        (&CLIENT, per_delivery(usage.client.total())),
        (&OTHERS, usage.others),
        (&HELD_UP, held_up.as_secs_f64() * 1e3),
    ]);
    numbers
}

/// All runs of one scenario.
pub(crate) struct Outcome {
    /// The subcommand.
    pub(crate) scenario: &'static str,
    /// What was done, in one line.
    pub(crate) title: String,
    /// What the columns mean.
    pub(crate) legend: String,
    /// The servers and their runs.
    pub(crate) rows: Vec<(String, Vec<Numbers>)>,
}

/// Everything that was measured and where.
pub(crate) struct Report {
    /// One for each scenario.
    pub(crate) outcomes: Vec<Outcome>,
    /// What went wrong, as far as it did.
    pub(crate) failures: Vec<String>,
    /// The runs of which the medians are.
    pub(crate) runs: usize,
}

impl Report {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let origin = Origin::here();
        let mut out = String::new();
        for outcome in &self.outcomes {
            let rows = outcome.rows.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, runs)| row(name, runs));
            let mut lines: Vec<Vec<String>> = rows.collect();
            let Some((_, first)) = outcome.rows.iter().find_map(|(name, runs)| Some((name, runs.first()?))) else {
                continue;
            };
            let head = first.iter().map(|(column, _)| column.head.to_owned());
            lines.insert(0, std::iter::once("server".to_owned()).chain(head).collect());
            let runs = if self.runs == 1 { "one run".to_owned() } else { format!("medians of {} runs", self.runs) };
            let _ = writeln!(out, "\n{}: {} ({runs})\n", outcome.scenario, outcome.title);
            aligned(&mut out, &lines);
            let _ = writeln!(out, "\n{}", outcome.legend);
        }
        let Machine { cpu, cores, memory, kernel, congestion_control } = &origin.machine;
        let memory = memory >> 20;
        let _ = writeln!(out, "\nmachine: {cores} × {cpu}, {memory} MiB, Linux {kernel}, TCP {congestion_control}");
        let _ = writeln!(out, "commit:  {}\ncommand: {}", origin.commit, origin.command);
        for failure in &self.failures {
            let _ = writeln!(out, "\nFAILED {failure}");
        }
        out
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let outcomes = self.outcomes.iter().map(|outcome| {
            let servers = outcome.rows.iter().map(|(name, runs)| {
                json!({
                    "server": name,
                    "median": object(medians(runs).into_iter().map(|(column, value, _)| (column, value))),
                    "runs": runs.iter().map(|run| object(run.iter().copied())).collect::<Vec<_>>(),
                })
            });
            json!({
                "scenario": outcome.scenario,
                "title": outcome.title,
                "servers": servers.collect::<Vec<_>>(),
            })
        });
        json!({
            "scenarios": outcomes.collect::<Vec<_>>(),
            "failures": self.failures,
            "origin": Origin::here(),
        })
    }
}

fn object(numbers: impl Iterator<Item = (&'static Column, f64)>) -> Value {
    let entries = numbers.map(|(column, value)| (column.key.to_owned(), json!(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// For each column the median, and the lowest and highest.
fn medians(runs: &[Numbers]) -> Vec<(&'static Column, f64, (f64, f64))> {
    let Some(first) = runs.first() else { return Vec::new() };
    let columns = first.iter().enumerate().map(|(index, &(column, _))| {
        let values: Vec<f64> = runs.iter().map(|run| run[index].1).collect();
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (column, median(&values), (lowest, highest))
    });
    columns.collect()
}

fn row(name: &str, runs: &[Numbers]) -> Vec<String> {
    let cells = medians(runs).into_iter().map(|(column, value, (lowest, highest))| {
        let digits = column.digits;
        if column.spread && runs.len() > 1 {
            format!("{value:.digits$} ({lowest:.digits$}–{highest:.digits$})")
        } else {
            format!("{value:.digits$}")
        }
    });
    std::iter::once(name.to_owned()).chain(cells).collect()
}

fn aligned(out: &mut String, lines: &[Vec<String>]) {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(out, "  {cell:width$}") } else { write!(out, "  {cell:>width$}") };
        }
        out.push('\n');
    }
}

/// What is needed to make the numbers again.
#[derive(Serialize)]
struct Origin {
    machine: Machine,
    commit: String,
    command: String,
}

impl Origin {
    fn here() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let command = format!("cargo run --release -p channels-bench -- {}", arguments.join(" "));
        Self { machine: Machine::this(), commit: commit(), command: command.trim_end_matches(" -- ").to_owned() }
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
