//! `inferneo simulate`: what policies, and other servers, would have made of a recorded load.
//!
//! Decides the grammar, and what is told to whom. What a policy does is the scheduler's, what the world around it
//! does the `sim` room's.

mod advice;
mod candidate;
mod costs;
mod plan;
mod show;

use crate::sim::Baseline;
use candidate::Candidate;
use costs::Stats;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Most devices of a model: each of its workers is compared with all others whenever one learns.
const MOST_DEVICES: u32 = 64;
/// Most workers of a model, on all of its devices.
const MOST_WORKERS: u32 = 1024;

/// Replays a recorded trace through the scheduler under each policy, or as another server would, on a virtual clock.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trace, as POST /trace of the admin plane answers it, or a file of `serve --trace`
    #[arg(long, env = "INFERNEO_SIMULATE_TRACE", value_name = "FILE", value_parser = super::path())]
    trace: PathBuf,
    /// A policy file, tried on every request whatever its [match] says, or a folder of them; several may follow
    #[arg(long, env = "INFERNEO_SIMULATE_POLICY", value_name = "FILE", value_delimiter = ',')]
    #[arg(num_args = 1.., value_parser = super::path(), required_unless_present = "baseline")]
    policy: Vec<PathBuf>,
    /// What another server does with the same load: none, fixed:ROWS[:DELAY], fifo:TOKENS, window:ROWS[:BATCH],
    /// regression[:ROWS] or drop[:ROWS]; +drop behind one drops what would be late; several may follow
    #[arg(long, env = "INFERNEO_SIMULATE_BASELINE", value_name = "RULE", value_delimiter = ',', num_args = 1..)]
    baseline: Vec<Baseline>,
    /// What baselines promise, for example 100ms [default: the slo.target of the first policy]
    #[arg(long, env = "INFERNEO_SIMULATE_SLO", value_name = "DURATION", value_parser = super::duration)]
    slo: Option<Duration>,
    /// How much faster requests arrive than they were recorded, for example 10x or 0.5x
    #[arg(long, env = "INFERNEO_SIMULATE_SCALE", default_value = "1x", value_parser = scale)]
    scale: f64,
    /// Devices of every model, each like the first it was recorded on, with as many workers [default: as recorded]
    #[arg(long, env = "INFERNEO_SIMULATE_DEVICES", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_DEVICES)))]
    devices: Option<u32>,
    /// What GET /stats of a server answers: its costs beat those in the trace
    #[arg(long, env = "INFERNEO_SIMULATE_COSTS", value_name = "FILE", value_parser = super::path())]
    costs: Option<PathBuf>,
    /// How far a run may be off its cost either way, as a share from 0 to 0.9 [default: as far as runs were when recorded]
    #[arg(long, env = "INFERNEO_SIMULATE_NOISE", value_name = "SHARE", value_parser = share)]
    noise: Option<f64>,
    /// What the noise is drawn from
    #[arg(long, env = "INFERNEO_SIMULATE_SEED", default_value = "1", value_name = "N")]
    seed: u64,
    /// Prints the figures as JSON instead of the tables
    #[arg(long, env = "INFERNEO_SIMULATE_JSON")]
    json: bool,
}

/// Runs the subcommand. Exit code: 0 simulated, 2 a file that cannot be read or used.
#[must_use]
pub(super) fn run(args: &Args) -> ExitCode {
    match simulated(args) {
        Ok(text) => {
            // Nobody is left to tell when the stream is closed.
            drop(io::stdout().lock().write_all(text.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("inferneo simulate: {error:#}");
            super::bad_usage()
        }
    }
}

fn simulated(args: &Args) -> anyhow::Result<String> {
    let candidates = Candidate::all(&args.policy, &args.baseline, args.slo)?;
    let trace = plan::read(&args.trace)?;
    for warning in advice::warnings(&trace) {
        eprintln!("inferneo simulate: warning: {warning}");
    }
    let costs = args.costs.as_deref().map(Stats::read).transpose()?;
    let models = costs::models(&trace, costs)?;
    let plan = plan::of(&trace, &models, args)?;
    let results: Vec<_> = candidates.iter().map(|c| (&*c.name, c.play(&plan))).collect();
    if args.json {
        return show::json(&results, &trace);
    }
    Ok(format!("{}\n{}\n", show::heading(&plan), show::tables(&results, &trace)))
}

fn scale(word: &str) -> Result<f64, String> {
    let number = word.strip_suffix('x').unwrap_or(word).parse().ok();
    number.filter(|n| (0.001..=1000.0).contains(n)).ok_or_else(|| "from 0.001x to 1000x is wanted".to_owned())
}

fn share(word: &str) -> Result<f64, String> {
    word.parse().ok().filter(|n| (0.0..=0.9).contains(n)).ok_or_else(|| "from 0 to 0.9 is wanted".to_owned())
}

#[cfg(test)]
mod tests;
