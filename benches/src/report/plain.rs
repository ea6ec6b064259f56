//! For people, in a terminal.

use std::fmt::Write;

use super::numbers::cells;
use super::{Origin, Report};

impl Report {
    /// A table for each scenario.
    pub(crate) fn plain(&self) -> String {
        let mut out = String::new();
        for outcome in &self.outcomes {
            let Some(mut head) = outcome.head() else { continue };
            head.insert(0, "server".to_owned());
            let mut lines = vec![head];
            for (name, runs) in outcome.rows.iter().filter(|(_, runs)| !runs.is_empty()) {
                lines.push(std::iter::once(name.clone()).chain(cells(runs)).collect());
            }
            let _ = writeln!(out, "\n{}: {} ({})\n", outcome.name, outcome.title, self.medians());
            aligned(&mut out, &lines);
            let _ = writeln!(out, "\n{}", outcome.legend);
        }
        let _ = writeln!(out, "\n{}", Origin::here());
        for (server, why) in &self.missing {
            let _ = writeln!(out, "\nMISSING {server}: {why}");
        }
        for failure in &self.failures {
            let _ = writeln!(out, "\nFAILED {failure}");
        }
        out
    }
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
