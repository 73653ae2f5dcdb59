//! Configuration text: TOML in, typed values out, every fault shown at its place.
//!
//! Decides how a value may be spelled (durations, byte sizes, names) and how a fault is told: file,
//! line, column, the line itself, what is allowed. Does not know which keys exist: policies, the
//! configuration and model folders each bring their own. Pure: text comes in as a string.
//!
//! One [`Document`] is parsed, its [`Table`]s are read, and [`Document::finish`] hands out the result
//! or *all* faults. A table that goes out of scope reports the keys nobody asked for, so an unknown
//! key cannot be forgotten: the document is only given back once its tables are gone. A text that may
//! hold a secret is [`unquoted`](Document::unquoted): its faults say where, and repeat nothing of it.
//!
//! ```
//! use inferneo::document::Document;
//!
//! let document = Document::parse("example.toml", "threads = 4\n");
//! let threads = document.root().integer("threads", 1..=64).unwrap_or(1);
//! assert_eq!(document.finish(threads), Ok(4));
//! ```

mod diagnostic;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Place, Span};
pub use table::{Located, Table};
pub use value::{BYTE_UNITS, DURATION_UNITS, LONGEST_DURATION, MOST_BYTES};
pub use value::{bytes_as_text, bytes_of_text, duration, duration_as_text, nearest, quote};

use diagnostic::Lines;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use toml::de::DeTable;

/// Largest text that is read, in bytes; no configuration written by people comes near.
pub const MAX_BYTES: usize = 1 << 20;

/// Most faults shown of one text.
const MAX_FAULTS: usize = 100;

/// What the parser says of each line that an unclosed array swallows.
const SWALLOWED: &str = "missing comma between array elements";

/// A parsed text, and the faults found in it so far.
#[derive(Debug)]
pub struct Document<'t> {
    file: String,
    text: &'t str,
    root: DeTable<'t>,
    syntax: Vec<Fault>,
    /// Whether faults may repeat what is written.
    quotes: bool,
    faults: RefCell<Vec<Fault>>,
    /// The place of each key that a table asked for, and the keys that none did, by their faults.
    known: RefCell<BTreeMap<String, String>>,
    strays: RefCell<Vec<(String, Fault)>>,
}

/// A fault before its line is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    start: usize,
    end: usize,
    message: String,
    help: Option<String>,
}

impl<'t> Document<'t> {
    /// Parses TOML. What does not parse is a fault, and the rest is still read.
    #[must_use]
    pub fn parse(file: impl Into<String>, text: &'t str) -> Self {
        let file = file.into();
        if text.len() > MAX_BYTES {
            let fault = Fault {
                start: 0,
                end: 0,
                message: format!("the file holds {} bytes", text.len()),
                help: Some(format!("at most {MAX_BYTES} bytes")),
            };
            return Self::of(file, text, DeTable::new(), vec![fault]);
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        let syntax = errors.iter().map(|error| Fault::of_syntax(error, text)).collect();
        Self::of(file, text, root.into_inner(), syntax)
    }

    fn of(file: String, text: &'t str, root: DeTable<'t>, syntax: Vec<Fault>) -> Self {
        let (faults, known, strays) = Default::default();
        Self { file, text, root, syntax, quotes: true, faults, known, strays }
    }

    /// Keeps what is written out of every fault: for texts that may hold a secret.
    #[must_use]
    pub fn unquoted(mut self) -> Self {
        // The parser's own words may repeat a part of the text.
        self.syntax.iter_mut().for_each(|fault| "this is not TOML".clone_into(&mut fault.message));
        Self { quotes: false, ..self }
    }

    /// The outermost table.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::new(self, "", 0..0, Some(&self.root))
    }

    /// Whether the text is TOML throughout. If not, an absent key may only be a lost one.
    #[must_use]
    pub fn well_formed(&self) -> bool {
        self.syntax.is_empty()
    }

    /// Records a fault at `at`; `help` says what is allowed.
    pub fn fault(&self, at: Span, message: impl Into<String>, help: Option<String>) {
        self.faults.borrow_mut().push(Fault { start: at.start, end: at.end, message: message.into(), help });
    }

    /// The line of a key, from 1, if it is written; `table` is empty for the outermost one.
    #[must_use]
    pub fn line(&self, table: &str, key: &str) -> Option<usize> {
        let entries = match table {
            "" => &self.root,
            table => self.root.get(table)?.get_ref().as_table()?,
        };
        let (key, _) = entries.get_key_value(key)?;
        Some(Lines::of(self.text).place(key.span()).line)
    }

    fn place_of(&self, at: Span) -> String {
        let place = Lines::of(self.text).place(at);
        format!("{}:{}:{}", self.file, place.line, place.column)
    }

    fn know(&self, keys: Vec<String>, place: String) {
        self.known.borrow_mut().extend(keys.into_iter().map(|key| (key, place.clone())));
    }

    /// Records a key that its table does not know; another table may, and is perhaps read later.
    fn unknown_key(&self, key: &str, at: Span, place: &str, help: String) {
        let named = if self.quotes { format!(" {}", quote(key)) } else { String::new() };
        let message = format!("unknown key{named} {place}");
        let fault = Fault { start: at.start, end: at.end, message, help: Some(help) };
        self.strays.borrow_mut().push((key.to_owned(), fault));
    }

    /// Hands out `value`, which was read from this document, if there was no fault.
    ///
    /// # Errors
    /// All faults, in the order of the text, and at most a hundred of them.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Diagnostic>> {
        let faults = self.into_diagnostics();
        if faults.is_empty() { Ok(value) } else { Err(faults) }
    }

    fn into_diagnostics(self) -> Vec<Diagnostic> {
        let lines = Lines::of(self.text);
        // What was recovered from a broken line is a guess, and may even have no place: only the
        // syntax fault is worth telling.
        let broken: BTreeSet<usize> = self.syntax.iter().map(|fault| lines.index(fault.start)).collect();
        let mut faults = self.faults.into_inner();
        let known = self.known.into_inner();
        faults.extend(self.strays.into_inner().into_iter().map(|(key, mut fault)| {
            if let Some(place) = known.get(&key) {
                fault.help = Some(format!("it belongs {place}"));
            }
            fault
        }));
        faults.retain(|fault| !broken.contains(&lines.index(fault.start)));
        faults.retain(|fault| broken.is_empty() || fault.start < fault.end);
        faults.extend(first_causes(self.syntax, &lines));
        faults.sort();
        faults.dedup();
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        let show = |fault: Fault| Diagnostic {
            file: self.file.clone(),
            place: Some(lines.place(fault.start..fault.end)),
            message: fault.message,
            help: fault.help,
        };
        let mut shown: Vec<Diagnostic> = faults.into_iter().map(show).collect();
        if !self.quotes {
            shown.iter_mut().for_each(Diagnostic::hide_line);
        }
        if more > 0 {
            shown.push(Diagnostic::whole(&self.file, format!("{more} more faults are not shown"), None));
        }
        shown
    }
}

impl Fault {
    fn of_syntax(error: &toml::de::Error, text: &str) -> Self {
        let at = error.span().unwrap_or(text.len()..text.len());
        let message = error.message().to_owned();
        let help = if message.starts_with("duplicate key") {
            Some("a key or table is given once")
        } else if message.starts_with(SWALLOWED) {
            Some("perhaps a `]` is missing before this")
        } else {
            None
        };
        Self { start: at.start, end: at.end, message, help: help.map(str::to_owned) }
    }
}

/// The first syntax fault of each line, without the echoes of an array that was not closed.
fn first_causes(mut faults: Vec<Fault>, lines: &Lines<'_>) -> Vec<Fault> {
    faults.sort();
    faults.dedup_by_key(|fault| lines.index(fault.start));
    faults.dedup_by(|later, earlier| [later, earlier].iter().all(|fault| fault.message.starts_with(SWALLOWED)));
    faults
}

/// Reads bytes as text.
///
/// # Errors
/// The place of the first byte that is not UTF-8, as the one element of a list of faults.
pub fn decode(file: &str, bytes: Vec<u8>) -> Result<String, Vec<Diagnostic>> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let help = Some("files are written in UTF-8".to_owned());
        vec![Diagnostic::at(file, &text, good..good + 1, "this byte is not UTF-8", help)]
    })
}
