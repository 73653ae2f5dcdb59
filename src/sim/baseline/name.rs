//! Baselines as words.

use super::{Baseline, Rule};
use crate::document::{duration, duration_as_text};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is said of a word that is none.
const WANTED: &str = "none, fixed:ROWS[:DELAY], fifo:TOKENS, window:ROWS[:BATCH], regression[:ROWS] or drop[:ROWS] is wanted, \
                      with numbers from 1 to 1000000, and with +drop behind it where late requests are to be dropped";

/// The most that any number can be.
const MOST: u32 = 1_000_000;
/// What is meant where nothing is said: Triton's documentation has no delay but zero, under which nothing waits.
const DELAY: Duration = Duration::from_millis(5);
/// infinity's `batch_size`.
const BATCH: u32 = 32;
/// BentoML's `max_batch_size`.
const REGRESSION: u32 = 100;
/// As many as `adaptive` takes at most.
const DROP: u32 = 64;

impl FromStr for Baseline {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (rule, drops) = word.strip_suffix("+drop").map_or((word, false), |rule| (rule, true));
        let mut parts = rule.split(':');
        let (name, first, second) = (parts.next(), parts.next(), parts.next());
        let number = |part: &str| part.parse().ok().filter(|n| (1..=MOST).contains(n));
        let or = |part: Option<&str>, usual| part.map_or(Some(usual), number);
        let delay = |part: Option<&str>| part.map_or(Some(DELAY), |text| duration(text, Duration::ZERO));
        let parsed = match (name, first, second) {
            (Some("none"), None, None) => Some(Rule::None),
            (Some("fixed"), Some(rows), wait) => {
                number(rows).zip(delay(wait)).map(|(rows, delay)| Rule::Fixed { rows, delay })
            }
            (Some("fifo"), Some(tokens), None) => number(tokens).map(|tokens| Rule::Fifo { tokens }),
            (Some("window"), Some(rows), batch) => {
                number(rows).zip(or(batch, BATCH)).map(|(rows, batch)| Rule::Window { rows, batch })
            }
            (Some("regression"), rows, None) => or(rows, REGRESSION).map(|rows| Rule::Regression { rows }),
            (Some("drop"), rows, None) if !drops => or(rows, DROP).map(|rows| Rule::Drop { rows }),
            _ => None,
        };
        let rule = parsed.filter(|_| parts.next().is_none()).ok_or(WANTED)?;
        Ok(Self { rule, drops: drops || matches!(rule, Rule::Drop { .. }) })
    }
}

impl fmt::Display for Baseline {
    /// The shortest word that means it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::None => f.write_str("none")?,
            Rule::Fixed { rows, delay: DELAY } => write!(f, "fixed:{rows}")?,
            Rule::Fixed { rows, delay } => write!(f, "fixed:{rows}:{}", duration_as_text(delay))?,
            Rule::Fifo { tokens } => write!(f, "fifo:{tokens}")?,
            Rule::Window { rows, batch: BATCH } => write!(f, "window:{rows}")?,
            Rule::Window { rows, batch } => write!(f, "window:{rows}:{batch}")?,
            Rule::Regression { rows: REGRESSION } => f.write_str("regression")?,
            Rule::Regression { rows } => write!(f, "regression:{rows}")?,
            Rule::Drop { rows: DROP } => return f.write_str("drop"),
            Rule::Drop { rows } => return write!(f, "drop:{rows}"),
        }
        f.write_str(if self.drops { "+drop" } else { "" })
    }
}
