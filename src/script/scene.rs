//! What a script is shown, and what may come of it.
//!
//! Every number is a fraction-bearing one, so that a division in a script is never cut to a whole
//! number; what does not exist (a deadline, a goal) is [`FAR`] away.

use std::time::Duration;

/// How far away is what does not exist, in ms: some eleven days. Not infinite, for the language compares
/// numbers by their difference, and that of infinite ones is none.
pub const FAR: f64 = 1e9;

/// What could run next on one free worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The groups of like lengths that the cheapest plan makes of what waits, none of them empty.
    pub segments: Vec<Segment>,
    /// What goes for all of them.
    pub load: Load,
}

/// A group of waiting rows that are cheapest to pad together, and the batch that it would run as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Rows of the batch.
    pub rows: f64,
    /// Rows that wait in the group; the batch takes the most urgent of them.
    pub waiting: f64,
    /// Rows of the batch that takes the least time a row, within the policy's limits.
    pub best_rows: f64,
    /// Length that every row is padded to, in tokens.
    pub length: f64,
    /// The rows' own tokens, about: the batch's part of the group's.
    pub tokens: f64,
    /// Tokens of padding.
    pub padding: f64,
    /// How long the batch is predicted to run.
    pub predicted_ms: f64,
    /// How long rows of the group have waited: the longest among the most urgent row of each length and tenant.
    pub waited_ms: f64,
    /// What a batch that starts now leaves until the earliest deadline among those rows; [`FAR`] without one.
    pub slack_ms: f64,
    /// Whether it holds the row whose turn it is among tenants.
    pub is_anchor: bool,
    /// Whether at least `best_rows` wait in it.
    pub full: bool,
}

/// What goes for every segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Rows that wait under the policy.
    pub waiting_rows: f64,
    /// Rows a second that arrive under the policy, over the last tenth of a second.
    pub arrivals_per_s: f64,
    /// Workers of the model, each counted by its speed beside the one that is asked for.
    pub workers: f64,
    /// Those of them that are free, that one included.
    pub free_workers: f64,
    /// Whether the device is a GPU.
    pub gpu: bool,
    /// Whether the device's memory is scarce.
    pub memory_scarce: bool,
    /// `batch.max_queue_delay`.
    pub max_wait_ms: f64,
    /// `slo.target`; [`FAR`] without one.
    pub slo_ms: f64,
}

/// What a script wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This one of the segments.
    Run(usize),
    /// None yet; at most for so long, if it said.
    Wait(Option<Duration>),
}
