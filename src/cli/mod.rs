//! The command line: one file a subcommand.
//!
//! Decides the grammar and the exit codes: 0 clean, 1 failed at run time, 2 bad usage or configuration.

mod bench;
mod doctor;
mod inject;
mod policy;
mod serve;
mod simulate;
mod tune;

use crate::document;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use http::HeaderValue;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Failed at run time.
fn failed() -> ExitCode {
    ExitCode::from(1)
}

/// Bad usage or configuration.
fn bad_usage() -> ExitCode {
    ExitCode::from(2)
}

/// The variable that other programs of ONNX Runtime read too.
fn ort_dylib_path() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)
}

/// A duration of at least a millisecond, written as in the settings.
fn duration(word: &str) -> Result<Duration, String> {
    let wanted = "a whole number and its unit is wanted, from 1ms to 24h, for example 500ms, 10s or 2m";
    document::duration(word, Duration::from_millis(1)).ok_or_else(|| wanted.to_owned())
}

/// What `authorization` says with an API key, empty where that is: an environment may hold an empty value.
fn bearer(key: &str) -> Result<HeaderValue, String> {
    let said = if key.is_empty() { String::new() } else { format!("Bearer {key}") };
    let mut value = HeaderValue::try_from(said).map_err(|_| "it cannot be sent in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A path that may be empty, which counts as absent: an environment may hold an empty value.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A batching sidecar for ML inference.
#[derive(Debug, Parser)]
#[command(name = "inferneo", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar
    Serve(serve::Args),
    /// Work with policy files
    #[command(subcommand)]
    Policy(policy::Command),
    /// Measure a running server
    Bench(bench::Args),
    /// Find the sessions that serve a model best on this machine
    Tune(tune::Args),
    /// Replay a recorded trace under policies, on a virtual clock
    Simulate(simulate::Args),
    /// Say what was found on this machine or of a running server, and the mend for what is missing
    Doctor(doctor::Args),
    /// Add the sidecar to a Kubernetes manifest, offline
    Inject(inject::Args),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Policy(command) => policy::run(command),
        Command::Bench(args) => bench::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Inject(args) => inject::run(args),
    }
}
