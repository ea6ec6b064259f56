//! For programs: every run.

use serde_json::{Map, Value, json};

use super::numbers::{Column, medians};
use super::{Origin, Report};

impl Report {
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
                "scenario": outcome.name,
                "title": outcome.title,
                "servers": servers.collect::<Vec<_>>(),
            })
        });
        json!({
            "scenarios": outcomes.collect::<Vec<_>>(),
            "missing": self.missing.iter().map(|(server, why)| json!({ "server": server, "why": why })).collect::<Vec<_>>(),
            "failures": self.failures,
            "origin": Origin::here(),
        })
    }
}

fn object(numbers: impl Iterator<Item = (&'static Column, f64)>) -> Value {
    let entries = numbers.map(|(column, value)| (column.key.to_owned(), json!(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}
