//! Recorded arrivals: what came when, as JSON Lines that can be replayed.
//!
//! Decides the format (docs/interface.md), how much one recording keeps, and what is measured beside it. Holds all
//! that a scheduler is told of an arrival but its ids, no payload, and what was learned of the models' cost. Does not
//! know who records, who replays, or what time it is.

mod chunks;
mod files;
mod flow;
mod meter;
mod models;
mod read;
mod recorder;
mod runs;
mod tape;

pub use files::{Files, Writer};
pub use flow::Load;
pub use meter::{Answered, Figures, Measured, Percentiles, Ran};
pub use models::{Coefficients, Curve, Models, Place, Point, Served};
pub use read::{ReadError, Trace};
pub use recorder::{Lines, Recorder, Recording, Refused};

use crate::types::ShapeClass;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// The version of the format: what [`Header::trace`] must be.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    pub trace: u32,
    /// When the recording began, to the microsecond.
    #[serde(with = "date")]
    pub started_at: SystemTime,
    /// How long it was to last; 0 for one that lasts until its file is full or the program ends.
    pub seconds: u64,
    /// What a replay must know of the models: as they were when it ended, or when its file was begun. Empty where
    /// nothing is known.
    #[serde(default, skip_serializing_if = "Models::is_empty")]
    pub models: Models,
}

/// One arrival: a line between the first and the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// Microseconds from the start of the recording.
    pub at_us: u64,
    /// The model's name.
    pub model: Arc<str>,
    /// The tenant's name; empty when none was given.
    #[serde(default = "nobody", skip_serializing_if = "is_empty")]
    pub tenant: Arc<str>,
    /// The urgency that was asked for; 0 when none was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Microseconds from the arrival to its deadline; 0 for one that had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_us: Option<u64>,
    /// Its items in order, neighbours that are equal as one run; at least one.
    pub items: Vec<Run>,
}

/// Equal items that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// How many they are, ≥ 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// Rows of each, ≥ 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub rows: u32,
    /// Tokens of each of their rows, ≥ 1.
    pub len: u32,
    /// Bytes that each keeps in memory.
    pub bytes: u32,
    /// Everything else about their shape: only items of one class share a batch.
    #[serde(with = "class")]
    pub class: ShapeClass,
}

/// The last line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// Lines between the first and this one.
    pub arrivals: u64,
    /// Rows of all of them.
    pub rows: u64,
    /// How long the recording lasted, in microseconds.
    pub duration_us: u64,
    /// Whether it was full before its time was over, so that later arrivals are missing.
    pub truncated: bool,
    /// Arrivals that are missing because their file could not be written fast enough, or at all.
    #[serde(default, skip_serializing_if = "is_none")]
    pub dropped: u64,
    /// Whether callers waited for answers before they asked again.
    #[serde(default)]
    pub load: Load,
    /// What was measured of the models while it lasted.
    #[serde(default, skip_serializing_if = "Measured::is_empty")]
    pub measured: Measured,
    /// The models as they were when it ended, where the first line was written before; these count.
    #[serde(default, skip_serializing_if = "Models::is_empty")]
    pub models: Models,
}

impl Arrival {
    /// The rows of all its items.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let rows = self.items.iter().map(|run| u64::from(run.count) * u64::from(run.rows));
        rows.fold(0, u64::saturating_add)
    }
}

impl Run {
    /// Joins equal neighbours.
    #[must_use]
    pub fn join(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
        let mut joined: Vec<Run> = Vec::new();
        for run in runs {
            match joined.last_mut() {
                Some(last) if (Run { count: run.count, ..*last }) == run => {
                    last.count = last.count.saturating_add(run.count);
                }
                _ => joined.push(run),
            }
        }
        joined
    }
}

fn nobody() -> Arc<str> {
    "".into()
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn one() -> u32 {
    1
}

// serde hands every field over by reference.
fn is_none(n: &u64) -> bool {
    *n == 0
}

fn is_one(n: &u32) -> bool {
    *n == 1
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A date as RFC 3339 in UTC.
mod date {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::SystemTime;

    pub(super) fn serialize<S: Serializer>(date: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_micros(*date))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(|e| D::Error::custom(format!("{text:?} is no date: {e}")))
    }
}

/// A shape class as 16 hexadecimal digits: a JSON number would lose some of its bits in many readers.
mod class {
    use crate::types::ShapeClass;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(class: &ShapeClass, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:016x}", class.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ShapeClass, D::Error> {
        let text = String::deserialize(from)?;
        let is_class = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let class = u64::from_str_radix(&text, 16).ok().filter(|_| is_class).map(ShapeClass);
        class.ok_or_else(|| D::Error::custom(format!("class is {text:?}: expected 16 hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests;
