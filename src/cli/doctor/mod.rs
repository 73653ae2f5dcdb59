//! `inferneo doctor`: what was found on this machine, or of a running server; one line each, and the mend.
//!
//! Decides the form of the lines and the exit code. Changes nothing.

mod gpus;
mod machine;
mod sample;
mod server;

use super::{bearer, duration, failed, ort_dylib_path, path};
use crate::config::{Overrides, name_and_folder};
use crate::remote::Target;
use http::HeaderValue;
use std::fmt::Display;
use std::io::{self, Write};
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
    /// NVML's shared library
    #[arg(long, value_name = "FILE", env = "INFERNEO_NVML_LIBRARY", value_parser = path())]
    nvml_library: Option<PathBuf>,
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
    /// With --url: the API key to send; other users of the machine see flags, but not the environment
    #[arg(long, value_name = "KEY", env = "INFERNEO_API_KEY", hide_env_values = true, value_parser = bearer)]
    api_key: Option<HeaderValue>,
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
            let key = args.api_key.filter(|key| !key.is_empty());
            let question = server::Question { target, models, timeout: args.timeout, wait: args.wait, key };
            server::examine(&question, &mut report);
        }
        None => {
            let Args { onnxruntime_library, nvml_library, .. } = args;
            let ort_dylib_path = ort_dylib_path();
            let flags = Overrides { onnxruntime_library, nvml_library, ort_dylib_path, ..Overrides::default() };
            machine::examine(&flags, &models, &mut report);
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
        self.print("ok", text);
    }

    fn warning(&mut self, text: impl Display) {
        self.print("warning", text);
    }

    fn failure(&mut self, text: impl Display) {
        self.failed = true;
        self.print("failure", text);
    }

    /// A reader that has gone has read enough; the exit code still says what was found.
    fn print(&mut self, mark: &str, text: impl Display) {
        match writeln!(io::stdout(), "{}", line(mark, text)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.failed = true;
                eprintln!("inferneo doctor: cannot write: {error}");
            }
            _ => {}
        }
    }
}

/// One line, whatever is in the text: a server's words could otherwise steer the terminal.
fn line(mark: &str, text: impl Display) -> String {
    let mut line = format!("{mark:<9}");
    for character in text.to_string().chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(line("ok", "ready"), "ok       ready");
        assert_eq!(line("warning", "dünn \\ 中"), "warning  dünn \\ 中");
        assert_eq!(line("failure", "a\u{1b}[2J\r\n\t\u{9b}b\0"), r"failure  a\u{1b}[2J\r\n\t\u{9b}b\u{0}");
    }
}
