//! The numbers of one run, and the medians of several.

use std::time::Duration;

use crate::proc::Usage;
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

/// A column that shows medians only.
pub(crate) const fn column(key: &'static str, head: &'static str, digits: usize) -> Column {
    Column { key, head, digits, spread: false }
}

static MESSAGES: Column = column("messages_per_second", "messages/s", 0);
static DELIVERIES: Column = column("deliveries_per_second", "deliveries/s", 0);
pub(crate) static CPU: Column = Column { spread: true, ..column("cpu_us", "CPU µs", 2) };
static USER: Column = column("cpu_user_us", "user", 2);
static SYSTEM: Column = column("cpu_system_us", "sys", 2);
static P50: Column = column("latency_p50_ms", "p50 ms", 2);
pub(crate) static P99: Column = column("latency_p99_ms", "p99 ms", 2);
static MAX: Column = column("latency_max_ms", "max ms", 2);
static HELD_UP: Column = column("client_held_up_ms", "held up ms", 0);
static CLIENT: Column = column("client_cpu_us", "client µs", 2);
static OTHERS: Column = column("others_percent", "others %", 0);
pub(crate) static PER_CONNECTION: Column = Column { spread: true, ..column("kib_per_connection", "KiB/connection", 2) };
pub(crate) static PER_CONNECTION_LAST: Column =
    Column { spread: true, ..column("kib_per_connection_last", "KiB/connection then", 2) };
pub(crate) static RESIDENT: Column = column("resident_kib_per_connection", "of VmRSS", 2);
pub(crate) static FRESH: Column = column("anonymous_mib_fresh", "fresh MiB", 2);
pub(crate) static BEFORE: Column = column("anonymous_mib_before", "before MiB", 2);
pub(crate) static DURING: Column = column("anonymous_mib_connected", "connected", 1);
pub(crate) static AFTER: Column = column("anonymous_mib_left", "all left", 2);
pub(crate) static DURING_LAST: Column = column("anonymous_mib_connected_last", "last time", 1);
pub(crate) static OVER_START: Column = column("over_start_percent", "over start %", 1);
pub(crate) static AFTER_LAST: Column = column("anonymous_mib_left_last", "all left", 2);

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

/// A number of one run; `NaN` if the run has no such.
pub(crate) fn value(numbers: &Numbers, wanted: &Column) -> f64 {
    numbers.iter().find(|(column, _)| column.key == wanted.key).map_or(f64::NAN, |(_, value)| *value)
}

/// For each column the median, and the lowest and highest.
pub(super) fn medians(runs: &[Numbers]) -> Vec<(&'static Column, f64, (f64, f64))> {
    let Some(first) = runs.first() else { return Vec::new() };
    let columns = first.iter().enumerate().map(|(index, &(column, _))| {
        let values: Vec<f64> = runs.iter().map(|run| run[index].1).collect();
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (column, median(&values), (lowest, highest))
    });
    columns.collect()
}

/// The medians as they are printed, with the lowest and highest where the column wants them.
pub(super) fn cells(runs: &[Numbers]) -> Vec<String> {
    let cells = medians(runs).into_iter().map(|(column, value, (lowest, highest))| {
        let digits = column.digits;
        if column.spread && runs.len() > 1 {
            format!("{value:.digits$} ({lowest:.digits$}–{highest:.digits$})")
        } else {
            format!("{value:.digits$}")
        }
    });
    cells.collect()
}
