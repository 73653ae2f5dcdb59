//! A trace read back, with every fault at its line.

use super::{Arrival, Footer, Header, VERSION};
use serde::Deserialize;
use std::io::{self, BufRead};

/// Most rows of a request: more than any server takes at once.
const MOST_ROWS: u64 = 1 << 20;

/// A whole trace, checked: arrivals in order, each with at least one item, as many as the last line says.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The first line.
    pub header: Header,
    /// The lines between, the earliest first.
    pub arrivals: Vec<Arrival>,
    /// The last line.
    pub footer: Footer,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not keep to the format.
    #[error("line {line}: {message}")]
    Line {
        /// The line at fault, from 1.
        line: usize,
        /// What is wrong with it and what is allowed.
        message: String,
    },
    /// Its bytes cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Trace {
    /// Reads a trace. Empty lines count, and are skipped.
    ///
    /// # Errors
    /// The first line that is at fault, or what the reader says.
    pub fn read(from: impl BufRead) -> Result<Self, ReadError> {
        let (mut header, mut arrivals) = (None, Vec::new());
        // The last line differs from those before it, and is known for the last only when no other follows.
        let mut held: Option<(usize, String)> = None;
        let mut number = 0;
        for line in from.lines() {
            number += 1;
            let text = line.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => fault(number, "it is not text in UTF-8"),
                _ => error.into(),
            })?;
            if text.trim().is_empty() {
                continue;
            }
            if header.is_none() {
                header = Some(head(number, &text)?);
            } else if let Some((number, text)) = held.replace((number, text)) {
                arrivals.push(arrival(number, &text, arrivals.last())?);
            }
        }
        let header = header.ok_or_else(|| fault(1, "the header is missing: the trace is empty"))?;
        let (number, text) = held.ok_or_else(|| fault(number, "the footer is missing: the trace was cut off"))?;
        let footer = foot(number, &text, &arrivals)?;
        Ok(Self { header, arrivals, footer })
    }
}

fn head(line: usize, text: &str) -> Result<Header, ReadError> {
    /// What every version begins with.
    #[derive(Deserialize)]
    struct Versioned {
        trace: u32,
    }
    let expected = |e| fault(line, format!("expected a header such as {{\"trace\":{VERSION},…}}: {}", words(&e)));
    let Versioned { trace } = serde_json::from_str(text).map_err(expected)?;
    if trace != VERSION {
        return Err(fault(line, format!("the trace is of version {trace}: version {VERSION} is understood")));
    }
    serde_json::from_str(text).map_err(expected)
}

fn arrival(line: usize, text: &str, before: Option<&Arrival>) -> Result<Arrival, ReadError> {
    let arrival: Arrival =
        serde_json::from_str(text).map_err(|e| fault(line, format!("expected an arrival: {}", words(&e))))?;
    let before = before.map_or(0, |before| before.at_us);
    if arrival.at_us < before {
        return Err(fault(line, format!("at_us is {}: the line before it has {before}", arrival.at_us)));
    }
    if arrival.items.is_empty() {
        return Err(fault(line, "items is empty: an arrival has at least one"));
    }
    let has_none = arrival.items.iter().any(|run| run.count == 0 || run.rows == 0 || run.len == 0);
    if has_none {
        return Err(fault(line, "an item has a count, rows or len of 0: each is at least 1"));
    }
    if arrival.rows() > MOST_ROWS {
        return Err(fault(line, format!("items have {} rows: at most {MOST_ROWS} arrive together", arrival.rows())));
    }
    Ok(arrival)
}

fn foot(line: usize, text: &str, arrivals: &[Arrival]) -> Result<Footer, ReadError> {
    let footer: Footer = serde_json::from_str(text)
        .map_err(|e| fault(line, format!("expected the footer, or the trace was cut off: {}", words(&e))))?;
    let there = (arrivals.len() as u64, arrivals.iter().map(Arrival::rows).fold(0, u64::saturating_add));
    if (footer.arrivals, footer.rows) != there {
        let (told, (lines, rows)) = (&footer, there);
        let message = format!(
            "the footer tells of {} arrivals of {} rows: there are {lines} of {rows}",
            told.arrivals, told.rows
        );
        return Err(fault(line, message));
    }
    Ok(footer)
}

fn fault(line: usize, message: impl Into<String>) -> ReadError {
    ReadError::Line { line, message: message.into() }
}

/// serde's message with the column alone: its own count of lines is always 1.
fn words(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}
