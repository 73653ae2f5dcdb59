//! Whether callers waited for answers before they asked again, told from when requests came and went.
//!
//! Keeps a few sums and one histogram, whatever the load. The verdict rests on three things (docs/interface.md):
//! arrivals that do not depend on the answers see, on average, at least half the mean time between answers pass since
//! the last (the mean age of a renewal interval; Wolff, Poisson Arrivals See Time Averages, 1982), callers in a loop come back at once; the number in a house served
//! in order of arrival varies as much as its mean or more (the distributional form of Little's law; Haji and Newell,
//! 1971), a fixed number of callers varies less; and a fixed number is reached again and again.

use crate::types::Time;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Fewer arrivals, or fewer times that answers left, tell nothing.
const FEWEST: u64 = 50;
/// The share of the ceiling that is in the house on average: below, its callers' own pace made the gaps.
const EMPTY: f64 = 0.25;
/// The same for a closed loop, whose callers are nearly always there.
const FULL: f64 = 0.5;
/// Where it is more, batches that leave whole make a fixed number of callers vary as well, and the number in an
/// open loop's house must vary by as much as this to be told from theirs.
const CROWDED: f64 = 0.75;
const WIDE: f64 = 2.0;
/// Mean time from the last answer to an arrival, in mean times between answers: a closed loop's is below.
const PROMPT: f64 = 0.35;
/// An open loop's is at least a half; this leaves room for chance.
const UNMOVED: f64 = 0.42;
/// Variance ÷ mean of the number in the house: an open loop's is at least one, but for chance.
const SPREAD: f64 = 0.8;
/// The share of the times that answers left with the house at its ceiling: an open loop's is below.
const SELDOM: f64 = 0.3;

/// Who set the pace of a recorded load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Callers asked whether or not they had been answered.
    Open,
    /// Callers asked again once they were answered: the server's own speed made the gaps.
    Closed,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// What is kept of the comings and goings.
#[derive(Debug)]
pub(super) struct Flow {
    started: Time,
    /// When somebody last came or went, and how many there have been since.
    last: (Time, u64),
    /// Seconds, seconds × requests in the house, and seconds × their square.
    sums: [f64; 3],
    /// Requests in the house just before answers leave.
    full: Histogram<u32>,
    /// When answers first and last left.
    answers: Option<(Time, Time)>,
    /// Arrivals after an answer, and the seconds since it, summed.
    arrivals: u64,
    ages: f64,
}

impl Flow {
    #[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
    pub(super) fn new(now: Time) -> Self {
        let full = Histogram::new_with_max(1 << 24, 2).expect("millions at two digits");
        Self { started: now, last: (now, 0), sums: [0.0; 3], full, answers: None, arrivals: 0, ages: 0.0 }
    }

    /// Takes note of an arrival at `now` that finds so many in the house.
    pub(super) fn arrived(&mut self, now: Time, inside: u64) {
        self.pass(now, inside + 1);
        if let Some((_, last)) = self.answers {
            self.arrivals += 1;
            self.ages += now.since(last).as_secs_f64();
        }
    }

    /// Takes note of answers that leave together at `now`: how many are in the house before and after.
    pub(super) fn answered(&mut self, now: Time, before: u64, after: u64) {
        self.pass(now, after);
        self.full.saturating_record(before);
        self.answers = Some((self.answers.map_or(now, |(first, _)| first), now));
    }

    fn pass(&mut self, now: Time, inside: u64) {
        let (seconds, there) = (now.since(self.last.0).as_secs_f64(), self.last.1 as f64);
        // What was in the house when the recording began is not known before somebody comes or goes.
        if self.last.0 > self.started {
            self.sums[0] += seconds;
            self.sums[1] += seconds * there;
            self.sums[2] += seconds * there * there;
        }
        self.last = (now, inside);
    }

    /// The verdict so far.
    pub(super) fn load(&self) -> Load {
        let Some(Figures { filled, age, dispersion, at_ceiling }) = self.figures() else { return Load::Unknown };
        let is_closed = filled >= FULL && age < PROMPT;
        let least = if filled < CROWDED { SPREAD } else { WIDE };
        let is_open = filled < EMPTY || (age >= UNMOVED && dispersion >= least && at_ceiling < SELDOM);
        match (is_open, is_closed) {
            (true, false) => Load::Open,
            (false, true) => Load::Closed,
            _ => Load::Unknown,
        }
    }

    /// What the verdict rests on; `None` of too little.
    pub(super) fn figures(&self) -> Option<Figures> {
        let (first, last) = self.answers?;
        let [seconds, sum, squares] = self.sums;
        if self.arrivals < FEWEST || self.full.len() < FEWEST || sum <= 0.0 {
            return None;
        }
        let (mean, interval) = (sum / seconds, last.since(first).as_secs_f64() / (self.full.len() - 1) as f64);
        let ceiling = self.full.value_at_quantile(0.95) as f64;
        let near = (ceiling * 0.98).ceil() as u64;
        let below = if near == 0 { 0 } else { self.full.count_between(0, near - 1) };
        Some(Figures {
            filled: mean / ceiling,
            age: self.ages / self.arrivals as f64 / interval.max(f64::MIN_POSITIVE),
            dispersion: (squares / seconds - mean * mean) / mean,
            at_ceiling: 1.0 - below as f64 / self.full.len() as f64,
        })
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Mean in the house ÷ its ceiling, which is the 95th percentile just before answers leave.
    filled: f64,
    /// Mean time from the last answer to an arrival ÷ mean time between answers.
    age: f64,
    /// Variance ÷ mean of the number in the house.
    dispersion: f64,
    /// The share of the times that answers left with the house within 2 % of the ceiling.
    at_ceiling: f64,
}

#[cfg(test)]
mod tests;
