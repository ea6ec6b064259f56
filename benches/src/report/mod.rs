//! What is printed: plain tables for people, Markdown for documents, JSON for programs.

mod json;
mod markdown;
mod numbers;
mod origin;
mod plain;

pub(crate) use self::numbers::{
    AFTER, AFTER_LAST, BEFORE, CPU, Column, DURING, DURING_LAST, FRESH, Numbers, OVER_START, P99, PER_CONNECTION,
    PER_CONNECTION_LAST, RESIDENT, column, load, value,
};
use self::origin::Origin;

/// All runs of one scenario.
pub(crate) struct Outcome {
    /// The subcommand, or the step of a plan.
    pub(crate) name: &'static str,
    /// What was done, in one line.
    pub(crate) title: String,
    /// What the columns mean.
    pub(crate) legend: String,
    /// The column that stands for it where scenarios are put side by side.
    pub(crate) headline: &'static Column,
    /// The servers and their runs.
    pub(crate) rows: Vec<(String, Vec<Numbers>)>,
}

impl Outcome {
    /// The heads of its columns, if there was any run.
    fn head(&self) -> Option<Vec<String>> {
        let first = self.rows.iter().find_map(|(_, runs)| runs.first())?;
        Some(first.iter().map(|(column, _)| column.head.to_owned()).collect())
    }
}

/// Everything that was measured and where.
pub(crate) struct Report {
    /// One for each scenario.
    pub(crate) outcomes: Vec<Outcome>,
    /// Servers that could not be had, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// What went wrong, as far as it did.
    pub(crate) failures: Vec<String>,
    /// The runs of which the medians are.
    pub(crate) runs: u16,
}

impl Report {
    fn medians(&self) -> String {
        if self.runs == 1 { "one run".to_owned() } else { format!("medians of {} runs", self.runs) }
    }
}
