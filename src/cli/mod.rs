//! The command line: one file a subcommand.
//!
//! Decides the grammar and the exit codes: 0 clean, 1 failed at run time, 2 bad usage or configuration.

mod bench;
mod doctor;
mod policy;
mod serve;
mod simulate;

use crate::config::Overrides;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Replay a recorded trace under policies, on a virtual clock
    Simulate(simulate::Args),
    /// Say what was found on this machine, and the mend for what is missing
    Doctor {
        /// Model folder to look at; repeatable
        #[arg(long, value_name = "[NAME=]DIR", env = "INFERNEO_MODEL", value_delimiter = ',')]
        model: Vec<String>,
        /// ONNX Runtime's shared library
        #[arg(long, value_name = "FILE", env = "INFERNEO_ONNXRUNTIME_LIBRARY", value_parser = path())]
        onnxruntime_library: Option<PathBuf>,
        /// NVML's shared library
        #[arg(long, value_name = "FILE", env = "INFERNEO_NVML_LIBRARY", value_parser = path())]
        nvml_library: Option<PathBuf>,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Policy(command) => policy::run(command),
        Command::Bench(args) => bench::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Doctor { model, onnxruntime_library, nvml_library } => {
            let ort_dylib_path = ort_dylib_path();
            let flags = Overrides { onnxruntime_library, nvml_library, ort_dylib_path, ..Overrides::default() };
            doctor::run(&flags, &model)
        }
    }
}
