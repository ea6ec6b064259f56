//! Several scenarios that belong together, in one command: each server does each of them, and the tables are Markdown.

use anyhow::{Result, bail};
use clap::Parser;

use crate::report::{CPU, Column, P99};
use crate::scenario::Scenario;
use crate::scenario::redis::BROADCAST;

/// One scenario of a plan.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    headline: &'static Column,
}

/// The scenarios that servers are compared by.
const TABLE: &[Step] = &[
    Step { name: "fan-out-1", arguments: &["fan-out", "--warm-up", "20", "--outstanding", "1"], headline: &CPU },
    Step { name: "fan-out-8", arguments: &["fan-out", "--warm-up", "20", "--outstanding", "8"], headline: &CPU },
    Step { name: "rooms", arguments: &["rooms", "--warm-up", "5"], headline: &CPU },
    Step { name: "echo", arguments: &["echo"], headline: &CPU },
    Step { name: "paced", arguments: &["fan-out", "--warm-up", "20", "--rate", "50"], headline: &P99 },
];

/// What a delivery costs in rooms of different sizes, and a message among different numbers of rooms.
const SIZES: &[Step] = &[
    Step { name: "members-10", arguments: &["fan-out", "--members", "10"], headline: &CPU },
    Step { name: "members-100", arguments: &["fan-out", "--members", "100"], headline: &CPU },
    Step { name: "members-1000", arguments: &["fan-out", "--members", "1000"], headline: &CPU },
    Step { name: "members-10000", arguments: &["fan-out", "--members", "10000", "--warm-up", "5"], headline: &CPU },
    Step { name: "rooms-1", arguments: &["round", "--rooms", "1"], headline: &CPU },
    Step { name: "rooms-10", arguments: &["round", "--rooms", "10"], headline: &CPU },
    Step { name: "rooms-1000", arguments: &["round", "--rooms", "1000"], headline: &CPU },
    Step { name: "rooms-10000", arguments: &["round", "--rooms", "10000"], headline: &CPU },
];

/// The layers over Redis with members in two processes, and what a broadcast costs Redis by the number of members.
const REDIS: &[Step] = &[
    Step { name: "own", arguments: &["redis", "--mode", "own"], headline: &BROADCAST },
    Step { name: "core", arguments: &["redis", "--mode", "core"], headline: &BROADCAST },
    Step { name: "pubsub", arguments: &["redis", "--mode", "pubsub"], headline: &BROADCAST },
    Step { name: "own-10", arguments: &["redis", "--members", "10", "--every", "100"], headline: &BROADCAST },
    Step { name: "own-100", arguments: &["redis", "--members", "100", "--every", "100"], headline: &BROADCAST },
    Step { name: "own-1000", arguments: &["redis", "--members", "1000", "--every", "100"], headline: &BROADCAST },
    Step {
        name: "own-10000",
        arguments: &["redis", "--members", "10000", "--every", "100", "--warm-up", "5"],
        headline: &BROADCAST,
    },
];

/// Which plan.
#[derive(Clone, Copy)]
pub(crate) enum Plan {
    /// Servers compared.
    Table,
    /// Sizes compared.
    Sizes,
    /// Layers over Redis compared.
    Redis,
}

/// The options of a plan.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Do these steps only, by the names that head the columns
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Seconds that each measurement takes
    #[arg(long, default_value_t = 5.0, conflicts_with = "short")]
    seconds: f64,
    /// One run of one second, to see whether everything works
    #[arg(long)]
    pub(crate) short: bool,
}

impl Plan {
    /// The scenarios of this plan that the options leave, each with its name and its headline.
    pub(crate) fn scenarios(self, options: &Options) -> Result<Vec<(&'static str, Scenario, &'static Column)>> {
        let steps = match self {
            Self::Table => TABLE,
            Self::Sizes => SIZES,
            Self::Redis => REDIS,
        };
        if let Some(name) = options.scenarios.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
            let names: Vec<_> = steps.iter().map(|step| step.name).collect();
            bail!("no step is called {name}; there are {}", names.join(", "));
        }
        let seconds = if options.short { 1.0 } else { options.seconds }.to_string();
        let mut scenarios = Vec::new();
        for step in steps {
            if options.scenarios.is_empty() || options.scenarios.iter().any(|name| name == step.name) {
                let arguments = step.arguments.iter().copied().chain(["--seconds", &seconds]);
                scenarios.push((step.name, parse(arguments)?, step.headline));
            }
        }
        Ok(scenarios)
    }

    /// The servers that take part if none is named; all that there are if this is empty.
    pub(crate) fn servers(self) -> &'static [&'static str] {
        match self {
            Self::Table => &[],
            // The bare loop shows what the kernel and the load program make of a size.
            Self::Sizes => &["rooms", "rooms-one", "epoll-delivery"],
            Self::Redis => &["rooms"],
        }
    }
}

/// A scenario, as its subcommand would be typed.
pub(crate) fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Scenario> {
    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        scenario: Scenario,
    }
    Ok(Line::try_parse_from(std::iter::once("channels-bench").chain(arguments))?.scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_scenario() {
        for plan in [Plan::Table, Plan::Sizes, Plan::Redis] {
            let options = Options { scenarios: Vec::new(), seconds: 5.0, short: false };
            assert!(!plan.scenarios(&options).unwrap().is_empty());
        }
    }
}
