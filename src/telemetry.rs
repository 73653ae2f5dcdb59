//! Structured log lines on stderr.
//!
//! Decides their form and which of them are shown. What is logged is each room's own business, with
//! one rule for all: ids, never payloads.

use std::fmt;
use std::io::stderr;
use std::str::FromStr;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings that cannot be logged with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// No such format.
    #[error("log format {0:?} is not known: allowed are text and json")]
    Format(String),
    /// Not a list of filter directives.
    #[error(
        "log level {level:?} is not understood ({cause}): allowed are error, warn, info, debug, trace, off, \
         or a list such as info,inferneo::dispatch=debug"
    )]
    Level {
        /// As given.
        level: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Another subscriber is in place.
    #[error("logging was already set up")]
    Twice,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(s: &str) -> Result<Self, TelemetryError> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Starts logging, for the life of the process.
///
/// `level` is a level or a comma-separated list of `target=level` directives.
///
/// # Errors
/// When `level` is not understood, or logging was already set up.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let filter = filter(level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init(),
    }
    .map_err(|_| TelemetryError::Twice)
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let refuse = |cause: String| TelemetryError::Level { level: level.to_owned(), cause };
    let directives = level.split(',').map(str::trim);
    // A bare word that is no level would be taken for a target and silence everything else.
    if let Some(word) = directives.clone().find(|d| !d.contains(['=', '[', ':']) && !is_level(d)) {
        return Err(refuse(format!("{word:?} is not a level")));
    }
    EnvFilter::builder().parse(level).map_err(|e| refuse(e.to_string()))
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
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_bad_level_names_what_is_allowed() {
        for bad in ["loud", "", "info,loud", "inferneo=loud", "5"] {
            let message = filter(bad).unwrap_err().to_string();
            assert!(message.contains("error, warn, info, debug, trace, off"), "{message}");
        }
    }

    #[test]
    fn formats_are_text_and_json() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("text".parse(), Ok(LogFormat::Text));
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("text and json"));
    }
}
