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
    /// The last line; what can be told without it, where there is none.
    pub footer: Footer,
    /// Whether the last line is missing: it was cut off, as by a crash.
    pub cut_off: bool,
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
    /// Reads a trace, up to its last whole line where it was cut off. Empty lines count, and are skipped.
    ///
    /// # Errors
    /// The first line that is at fault, or what the reader says.
    pub fn read(mut from: impl BufRead) -> Result<Self, ReadError> {
        let (mut header, mut arrivals) = (None, Vec::new());
        // The last line differs from those before it, and is known for the last only when no other follows.
        let mut held: Option<Line> = None;
        let mut number = 0;
        while let Some(line) = Line::next(&mut from, number + 1)? {
            number += 1;
            if line.text.trim().is_empty() {
                continue;
            }
            if header.is_none() {
                header = Some(head(&line)?);
            } else if let Some(before) = held.replace(line) {
                arrivals.push(arrival(&before, arrivals.last())?);
            }
        }
        let mut header = header.ok_or_else(|| fault(1, "the header is missing: the trace is empty"))?;
        let footer = held.as_ref().map_or(Ok(None), |last| foot(last, &mut arrivals))?;
        let cut_off = footer.is_none();
        let mut footer = footer.unwrap_or_else(|| without(&arrivals));
        if !footer.models.is_empty() {
            header.models = std::mem::take(&mut footer.models);
        }
        Ok(Self { header, arrivals, footer, cut_off })
    }
}

/// A line, its number from 1, and whether its end was there.
struct Line {
    number: usize,
    text: String,
    is_whole: bool,
}

impl Line {
    fn next(from: &mut impl BufRead, number: usize) -> Result<Option<Self>, ReadError> {
        let mut bytes = Vec::new();
        if from.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        let is_whole = bytes.last() == Some(&b'\n');
        let text = match (String::from_utf8(bytes), is_whole) {
            (Ok(text), _) => text,
            // Cut off within a letter.
            (Err(error), false) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            (Err(_), true) => return Err(fault(number, "it is not text in UTF-8")),
        };
        Ok(Some(Self { number, text, is_whole }))
    }
}

fn head(&Line { number: line, ref text, .. }: &Line) -> Result<Header, ReadError> {
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

fn arrival(&Line { number: line, ref text, .. }: &Line, before: Option<&Arrival>) -> Result<Arrival, ReadError> {
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

/// Understands the last line; `None` where it is none, and then what it says is added to the arrivals.
fn foot(last: &Line, arrivals: &mut Vec<Arrival>) -> Result<Option<Footer>, ReadError> {
    let line = last.number;
    let footer: Footer = match serde_json::from_str(&last.text) {
        Ok(footer) => footer,
        Err(error) => {
            if let Ok(whole) = arrival(last, arrivals.last()) {
                arrivals.push(whole);
            } else if last.is_whole {
                return Err(fault(line, format!("expected the footer: {}", words(&error))));
            }
            return Ok(None);
        }
    };
    let there = (arrivals.len() as u64, count_rows(arrivals));
    if (footer.arrivals, footer.rows) != there {
        let (told, (lines, rows)) = (&footer, there);
        let message = format!(
            "the footer tells of {} arrivals of {} rows: there are {lines} of {rows}",
            told.arrivals, told.rows
        );
        return Err(fault(line, message));
    }
    Ok(Some(footer))
}

/// What can be told without a last line: it lasted at least until the last arrival.
fn without(arrivals: &[Arrival]) -> Footer {
    let duration_us = arrivals.last().map_or(0, |last| last.at_us);
    Footer { arrivals: arrivals.len() as u64, rows: count_rows(arrivals), duration_us, ..Footer::default() }
}

fn count_rows(arrivals: &[Arrival]) -> u64 {
    arrivals.iter().map(Arrival::rows).fold(0, u64::saturating_add)
}

fn fault(line: usize, message: impl Into<String>) -> ReadError {
    ReadError::Line { line, message: message.into() }
}

/// serde's message with the column alone: its own count of lines is always 1.
fn words(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}
