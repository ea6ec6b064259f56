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
    /// How many times as long as the others it takes.
    times: f64,
}

const fn step(name: &'static str, arguments: &'static [&'static str], headline: &'static Column) -> Step {
    Step { name, arguments, headline, times: 1.0 }
}

/// The scenarios that servers are compared by.
const TABLE: &[Step] = &[
    step("fan-out-1", &["fan-out", "--warm-up", "20", "--outstanding", "1"], &CPU),
    step("fan-out-8", &["fan-out", "--warm-up", "20", "--outstanding", "8"], &CPU),
    step("rooms", &["rooms", "--warm-up", "5"], &CPU),
    step("echo", &["echo"], &CPU),
    // The p99 of a hundred broadcasts would be that of the slowest one.
    Step { times: 4.0, ..step("paced", &["fan-out", "--warm-up", "20", "--rate", "50"], &P99) },
];

/// What a delivery costs in rooms of different sizes, and a message among different numbers of rooms.
const SIZES: &[Step] = &[
    step("members-10", &["fan-out", "--members", "10"], &CPU),
    step("members-100", &["fan-out", "--members", "100"], &CPU),
    step("members-1000", &["fan-out", "--members", "1000"], &CPU),
    step("members-10000", &["fan-out", "--members", "10000", "--warm-up", "5"], &CPU),
    step("rooms-1", &["round", "--rooms", "1"], &CPU),
    step("rooms-10", &["round", "--rooms", "10"], &CPU),
    step("rooms-1000", &["round", "--rooms", "1000"], &CPU),
    step("rooms-10000", &["round", "--rooms", "10000"], &CPU),
];

/// The layers over Redis with members in two processes, and what a broadcast costs Redis by the number of members.
const REDIS: &[Step] = &[
    step("own", &["redis", "--mode", "own"], &BROADCAST),
    step("core", &["redis", "--mode", "core"], &BROADCAST),
    step("pubsub", &["redis", "--mode", "pubsub"], &BROADCAST),
    step("own-10", &["redis", "--members", "10", "--every", "100"], &BROADCAST),
    step("own-100", &["redis", "--members", "100", "--every", "100"], &BROADCAST),
    step("own-1000", &["redis", "--members", "1000", "--every", "100"], &BROADCAST),
    step("own-10000", &["redis", "--members", "10000", "--every", "100", "--warm-up", "5"], &BROADCAST),
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
    /// Seconds that each measurement takes; the one of a p99 takes four times as long
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
        let seconds = if options.short { 1.0 } else { options.seconds };
        let mut scenarios = Vec::new();
        for step in steps {
            if options.scenarios.is_empty() || options.scenarios.iter().any(|name| name == step.name) {
                let seconds = (seconds * step.times).to_string();
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
