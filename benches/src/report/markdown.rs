//! For documents: all scenarios side by side, then each with all of its columns.

use std::fmt::Write;

use super::numbers::{cells, value};
use super::{Origin, Outcome, Report};
use crate::stats::median;

impl Report {
    /// The tables of a plan.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        let head = self.outcomes.iter().map(|outcome| format!("{}: {}", outcome.name, outcome.headline.head)).collect();
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.outcomes.iter().flat_map(|outcome| &outcome.rows) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let lines =
            names.iter().map(|name| (*name, self.outcomes.iter().map(|outcome| headline(outcome, name)).collect()));
        table(&mut out, head, lines);
        for outcome in &self.outcomes {
            let Some(head) = outcome.head() else { continue };
            let _ = writeln!(out, "\n### {}\n\n{} ({})\n", outcome.name, outcome.title, self.medians());
            let width = head.len();
            let lines = outcome.rows.iter().map(|(name, runs)| {
                let cells = if runs.is_empty() { vec![NONE.to_owned(); width] } else { cells(runs) };
                (name.as_str(), cells)
            });
            table(&mut out, head, lines);
        }
        for (title, lines) in [("Missing", self.missing()), ("Failed", self.failures.clone())] {
            if !lines.is_empty() {
                let _ = writeln!(out, "\n### {title}\n");
                for line in lines {
                    let _ = writeln!(out, "- {}", line.replace('\n', "\n  "));
                }
            }
        }
        let _ = writeln!(out, "\n```text\n{}\n```", Origin::here());
        out
    }

    fn missing(&self) -> Vec<String> {
        self.missing.iter().map(|(server, why)| format!("{server}: {why}")).collect()
    }
}

/// Where there is no number.
const NONE: &str = "–";

/// The median of the column that stands for the scenario.
fn headline(outcome: &Outcome, name: &str) -> String {
    let runs = outcome.rows.iter().find(|(row, _)| row == name).map_or(&[][..], |(_, runs)| runs);
    if runs.is_empty() {
        return NONE.to_owned();
    }
    let values: Vec<f64> = runs.iter().map(|run| value(run, outcome.headline)).collect();
    format!("{:.*}", outcome.headline.digits, median(&values))
}

fn table<'a>(out: &mut String, head: Vec<String>, lines: impl Iterator<Item = (&'a str, Vec<String>)>) {
    let _ = writeln!(out, "| server | {} |", head.join(" | "));
    let _ = writeln!(out, "|---|{}", "--:|".repeat(head.len()));
    for (name, cells) in lines {
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    }
}
