//! What is wrong with a script, and where.

use super::engine::{LOAD_FIELDS, OPERATIONS, SEGMENT_FIELDS};
use rhai::{EvalAltResult, ParseError, Position};
use std::fmt;

/// What a script may end with.
const ALLOWED: &str = "a script ends with a number (the score), wait(ms), or () for not this one";
/// Longest message; a script can throw any text.
const LONGEST: usize = 300;

/// A fault in a script. Displays as `line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or how to mend it.
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn of_syntax(error: ParseError) -> Self {
        let ParseError(kind, place) = error;
        let message = kind.to_string();
        let help =
            message.contains("ariable").then(|| "a script knows `segment`, `load` and what it defines".to_owned());
        Self::at(place, message, help)
    }

    /// A fault of a run, at the innermost place that is known.
    pub(super) fn of_run(error: EvalAltResult, text: &str) -> Self {
        let (mut error, mut place) = innermost(error);
        place = Some(error.take_position()).filter(|own| !own.is_none()).unwrap_or(place);
        let help = match &error {
            EvalAltResult::ErrorTooManyOperations(_) => Some(format!("at most {OPERATIONS} operations a segment")),
            EvalAltResult::ErrorDotExpr(..) | EvalAltResult::ErrorPropertyNotFound(..) => {
                let [segment, load] = [SEGMENT_FIELDS.join(", "), LOAD_FIELDS.join(", ")];
                Some(format!("`segment` has {segment}; `load` has {load}"))
            }
            _ => None,
        };
        // What follows tells of the engine's insides.
        let told = error.to_string();
        let message = told.split(" - a getter").next().unwrap_or_default().to_owned();
        match place.is_none() {
            true => Self { help, ..Self::at_end(message, text) },
            false => Self::at(place, message, help),
        }
    }

    /// A fault of what the script comes to: at its last line.
    pub(super) fn at_end(message: String, text: &str) -> Self {
        let last = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).last();
        let (line, column) =
            last.map_or((1, 1), |(at, line)| (at + 1, 1 + line.chars().take_while(|c| c.is_whitespace()).count()));
        Self { line, column, message: shortened(message), help: Some(ALLOWED.to_owned()) }
    }

    /// A panic of the engine, which is told no place.
    pub(super) fn of_panic(panic: &str, text: &str) -> Self {
        Self { help: None, ..Self::at_end(format!("the engine panicked on the script: {panic}"), text) }
    }

    /// Says that the script was only tried.
    pub(super) fn of_rehearsal(mut self) -> Self {
        self.message.push_str(" (in a dry run)");
        self
    }

    fn at(place: Position, message: String, help: Option<String>) -> Self {
        let [line, column] = [place.line(), place.position()].map(|at| at.unwrap_or(1).max(1));
        Self { line, column, message: shortened(message), help }
    }
}

/// The error that others were caused by, and the place of the nearest of those.
fn innermost(error: EvalAltResult) -> (EvalAltResult, Position) {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, place) => match innermost(*inner) {
            (inner, Position::NONE) => (inner, place),
            found => found,
        },
        error => (error, Position::NONE),
    }
}

/// One line that a log can hold.
fn shortened(message: String) -> String {
    let plain = message.replace(char::is_control, " ");
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}
