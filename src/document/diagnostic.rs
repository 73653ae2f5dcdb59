//! One fault in a text, and how it is shown.

use std::fmt;
use std::ops::Range;

/// A stretch of a text, in bytes.
pub type Span = Range<usize>;

/// Longest part of a line that is shown, in characters.
const SHOWN: usize = 120;
/// How much of a longer line is shown before its fault.
const BEFORE: usize = 40;
/// What a tab is shown as.
const TAB: &str = "    ";

/// One fault: where, what, and what is allowed instead.
///
/// Displays as `file:line:column: message`, then the line with carets under the fault, then the help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the operator named it, or the flag.
    pub file: String,
    /// Where in the file; `None` when it concerns the whole of it.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or how to mend it.
    pub help: Option<String>,
}

/// A place in a file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The line without control characters, cut to a readable length; `None` where it may hold a secret.
    pub shown: Option<String>,
    /// Characters of `shown` before the fault.
    pub indent: usize,
    /// Characters of `shown` at fault, ≥ 1.
    pub width: usize,
}

impl Diagnostic {
    /// A fault at a stretch of `text`.
    #[must_use]
    pub fn at(file: &str, text: &str, at: Span, message: impl Into<String>, help: Option<String>) -> Self {
        let place = Some(Lines::of(text).place(at));
        Self { file: file.to_owned(), place, message: message.into(), help }
    }

    /// A fault of a file as a whole, or of a flag.
    #[must_use]
    pub fn whole(file: &str, message: impl Into<String>, help: Option<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into(), help }
    }

    /// Forgets the line: it may hold a secret.
    pub fn hide_line(&mut self) {
        if let Some(place) = &mut self.place {
            place.shown = None;
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            write!(f, "{}: {}", self.file, self.message)?;
            return self.help.iter().try_for_each(|help| write!(f, "\n  = {help}"));
        };
        let Place { line, column, shown, indent, width } = place;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        let Some(shown) = shown else {
            return self.help.iter().try_for_each(|help| write!(f, "\n  = {help}"));
        };
        writeln!(f)?;
        writeln!(f, "  {number} | {shown}")?;
        write!(f, "  {gutter} | {}{}", " ".repeat(*indent), "^".repeat(*width))?;
        self.help.iter().try_for_each(|help| write!(f, "\n  {gutter} = {help}"))
    }
}

/// A text and where its lines begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The end of the last line that is not empty.
    end: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, end: text.trim_end_matches(['\n', '\r']).len() }
    }

    /// The line (from 0) that holds this byte.
    pub(super) fn index(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= self.clamp(byte)).saturating_sub(1)
    }

    /// Where `at` is, with its line.
    pub(super) fn place(&self, at: Span) -> Place {
        let from = self.clamp(at.start);
        let index = self.index(from);
        let start = self.starts.get(index).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let until = at.end.min(start + line.len()).max(from);
        // A byte order mark is no column.
        let mark = if line.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let count = |from: usize, to: usize| self.text.get(from..self.boundary(to)).unwrap_or_default().chars().count();
        let before = count(start + mark, from);
        let (shown, indent, width) = cut(line.get(mark..).unwrap_or_default(), before, count(from, until));
        Place { line: index + 1, column: before + 1, shown: Some(shown), indent, width }
    }

    /// The end of a file is shown at its last line, not on the empty one after it.
    fn clamp(&self, byte: usize) -> usize {
        self.boundary(byte.min(self.end))
    }

    fn boundary(&self, byte: usize) -> usize {
        self.text.floor_char_boundary(byte)
    }
}

/// The readable part of a line around its fault (`before` characters in, `width` long), where the
/// fault begins in it, and how much of it is at fault.
fn cut(line: &str, before: usize, width: usize) -> (String, usize, usize) {
    let length = line.chars().count();
    let skip = if length <= SHOWN { 0 } else { before.saturating_sub(BEFORE) };
    let mut shown = String::from(if skip > 0 { "…" } else { "" });
    let (mut indent, mut carets) = (shown.chars().count(), 0);
    for (column, letter) in line.chars().enumerate().skip(skip).take(SHOWN) {
        let cells = push(&mut shown, letter);
        if column < before {
            indent += cells;
        } else if column < before + width {
            carets += cells;
        }
    }
    if length > skip + SHOWN {
        shown.push('…');
    }
    (shown, indent, carets.max(1))
}

/// Appends a character as it is safe to print, and says how many characters that took.
fn push(shown: &mut String, letter: char) -> usize {
    match letter {
        '\t' => {
            shown.push_str(TAB);
            TAB.len()
        }
        c if c.is_control() || is_invisible(c) => {
            shown.push('\u{fffd}');
            1
        }
        c => {
            shown.push(c);
            1
        }
    }
}

/// Whether a character takes no room or changes the direction of others: like escape sequences, such
/// text could show a terminal something else than what the file holds.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
