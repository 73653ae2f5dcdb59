//! `inferneo policy`: checks policy files, shows what applies, and describes the format to editors.
//!
//! Decides the grammar of these commands and where their output goes. What policies mean is `policy`.

mod check;
mod schema;
mod show;

use clap::Subcommand;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Validate policy files or folders
    Check {
        /// Files, or folders of `*.toml`
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Print the policy that applies, after defaults, and where each value comes from
    Show(show::Args),
    /// Print the JSON Schema of policy files, for editors
    Schema,
}

/// What a command has to say.
#[derive(Debug, Default)]
struct Said {
    /// For stdout.
    result: String,
    /// For stderr.
    report: String,
    code: u8,
}

#[must_use]
pub(super) fn run(command: Command) -> ExitCode {
    let said = match command {
        Command::Check { paths } => check::run(&paths),
        Command::Show(args) => show::run(&args),
        Command::Schema => Said { result: schema::text(), ..Said::default() },
    };
    // Nobody is left to tell when a stream is closed; the exit code still says it.
    drop(io::stdout().lock().write_all(said.result.as_bytes()));
    drop(io::stderr().lock().write_all(said.report.as_bytes()));
    ExitCode::from(said.code)
}

/// Faults as they are printed, with a line between them.
pub(super) fn told(faults: &[crate::document::Diagnostic]) -> String {
    faults.iter().map(|fault| format!("{fault}\n\n")).collect()
}
