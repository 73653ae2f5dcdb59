//! `inferneo doctor`: what was found on this machine, or of a running server; one line each, and the mend.
//!
//! Decides the form of the lines and the exit code. Changes nothing.

mod machine;
mod sample;
mod server;

use super::{duration, failed, ort_dylib_path, path};
use crate::config::{Overrides, name_and_folder};
use crate::remote::Target;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Says what was found, one line each, and the mend for what is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder to look at; with --url the name of a model to ask. Repeatable
    #[arg(long, value_name = "[NAME=]DIR", env = "INFERNEO_MODEL", value_delimiter = ',')]
    model: Vec<String>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", env = "INFERNEO_ONNXRUNTIME_LIBRARY", value_parser = path())]
    onnxruntime_library: Option<PathBuf>,
    /// Ask the data plane of a running server instead of this machine, for example http://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "INFERNEO_DOCTOR_URL")]
    url: Option<Target>,
    /// With --url: the longest wait for one answer
    #[arg(long, value_name = "DURATION", env = "INFERNEO_DOCTOR_TIMEOUT", default_value = "10s")]
    #[arg(value_parser = duration)]
    timeout: Duration,
    /// With --url: wait so long at most for the server to be ready
    #[arg(long, value_name = "DURATION", env = "INFERNEO_DOCTOR_WAIT", requires = "url", value_parser = duration)]
    wait: Option<Duration>,
}

/// Prints one line a fact. Exit code 1 when anything failed; warnings do not count.
#[must_use]
pub(super) fn run(args: Args) -> ExitCode {
    let models: Vec<String> = args.model.into_iter().filter(|model| !model.is_empty()).collect();
    let mut report = Report::default();
    match args.url {
        Some(target) => {
            // A name is as good as a folder of that name, so that an environment made for `serve` fits.
            let models = models.iter().map(|model| name_and_folder(model).0.to_owned()).collect();
            let question = server::Question { target, models, timeout: args.timeout, wait: args.wait };
            server::examine(&question, &mut report);
        }
        None => {
            let named = args.onnxruntime_library;
            let flags =
                Overrides { onnxruntime_library: named, ort_dylib_path: ort_dylib_path(), ..Overrides::default() };
            machine::examine(flags.library(None).as_ref(), &models, &mut report);
        }
    }
    if report.failed { failed() } else { ExitCode::SUCCESS }
}

/// Lines on standard output.
#[derive(Debug, Default)]
struct Report {
    failed: bool,
}

impl Report {
    fn ok(&mut self, text: impl Display) {
        println!("ok       {text}");
    }

    fn warning(&mut self, text: impl Display) {
        println!("warning  {text}");
    }

    fn failure(&mut self, text: impl Display) {
        self.failed = true;
        println!("failure  {text}");
    }
}
