//! Structured log lines on stderr: their form, and which of them are shown.

use std::io::stderr;
use std::str::FromStr;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A word that is no log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("allowed are text and json")]
pub struct UnknownFormat;

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, UnknownFormat> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// Starts logging, for the life of the process.
///
/// `level` must be one that [`understands`] accepts; what it does not understand is left out without a word.
///
/// # Errors
/// When logging was already set up.
pub fn init(format: LogFormat, level: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::builder().parse_lossy(level.replace(' ', ""));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init(),
    }
}

/// Whether `level` is a level or a comma-separated list of `target=level` directives.
#[must_use]
pub fn understands(level: &str) -> bool {
    // A bare word that is no level would be taken for a target and silence everything else.
    let is_directive = |d: &str| d.contains(['=', '[', ':']) || is_level(d);
    level.split(',').map(str::trim).all(is_directive) && EnvFilter::builder().parse(level.replace(' ', "")).is_ok()
}

fn is_level(word: &str) -> bool {
    ["error", "warn", "info", "debug", "trace", "off"].iter().any(|l| l.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_understood() {
        for good in ["info", "WARN", "off", "info,inferneo::front=debug", "inferneo=trace, hyper=off"] {
            assert!(understands(good), "{good}");
        }
    }

    #[test]
    fn other_words_are_not() {
        for bad in ["loud", "", "info,loud", "inferneo=loud", "5"] {
            assert!(!understands(bad), "{bad}");
        }
    }

    #[test]
    fn formats_are_named() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("text".parse(), Ok(LogFormat::default()));
        assert!("yaml".parse::<LogFormat>().is_err());
    }
}
