//! The learned cost of a batch: how long a run of B rows at padded length S takes.
//!
//! t̂(B, S) = (a₀ + a₁·B·S + a₂·B·S²) × correction(B, S): a non-negative fit ([`fit`]) for the trend and
//! a table of measured cells ([`cells`]) for what no smooth curve shows, such as the cache effects that make a large
//! batch of long rows slower than the same rows one by one. One such model for each number of busy
//! workers, because workers that share a device slow each other. A change that all runs share is a factor over
//! everything learned ([`shift`]); one that the device gives notice of passes without a trace
//! ([`throttle`]). Knows nothing of queues or policies.

mod cells;
mod curve;
mod fit;
mod margin;
mod recent;
mod shift;
mod state;
mod throttle;

use cells::Cell;
use curve::Curve;
use margin::Margin;
use recent::Recent;
use shift::{Shift, Verdict};
use std::time::Duration;
use throttle::Throttle;

pub use state::{CostState, Unsound};

pub(super) use cells::ROW_STEPS;
pub(super) use curve::Line;

/// How many busy-worker counts are told apart; more share the last.
const MAX_BUSY: usize = 8;
/// Observations after which predictions follow what was observed; between, they stand still.
const REFRESH: u32 = 8;
/// A surprise larger than this makes them follow at once.
const SURPRISE: f64 = 0.25;
/// While so few were observed, every one counts at once.
const EARLY: u32 = 32;
/// No model has learned from as many runs.
const MOST_RUNS: u64 = 1 << 53;

/// The learned cost of one model on one device.
#[derive(Debug, Clone)]
pub struct CostModel {
    by_busy: Vec<Curve>,
    /// The known curve nearest to each number of busy workers; its own before any is known.
    nearest: [usize; MAX_BUSY],
    version: u32,
    since_refresh: u32,
    error: f64,
    margin: Margin,
    recent: Recent,
    shift: Shift,
    /// How far off a run may be without a reason, as a logarithm.
    band: f64,
    observations: u64,
    /// Set while the device is throttled.
    throttle: Option<Throttle>,
    /// Whether part of it was learned in an earlier life.
    restored: bool,
}

/// One measured shape beside what is predicted of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Rows; of several near shapes, those of the first measured.
    pub rows: f64,
    /// Padded length; likewise.
    pub len: f64,
    /// Nanoseconds that such a run is predicted to take.
    pub predicted: f64,
    /// Nanoseconds that such runs took of late.
    pub measured: f64,
}

impl Default for CostModel {
    fn default() -> Self {
        Self {
            by_busy: vec![Curve::default(); MAX_BUSY],
            nearest: std::array::from_fn(|i| i),
            version: 1,
            since_refresh: 0,
            error: 0.0,
            margin: Margin::default(),
            recent: Recent::default(),
            shift: Shift::default(),
            band: shift::BAND,
            observations: 0,
            throttle: None,
            restored: false,
        }
    }
}

impl CostModel {
    /// Predicts a run of `rows` at padded length `len` while `busy` workers of the device run, itself
    /// included, in nanoseconds. Before any observation: a guess of 1 ms and 50 µs a token.
    #[must_use]
    pub fn predict(&self, rows: u32, len: u32, busy: u32) -> f64 {
        self.line(len, busy).time(rows)
    }

    /// The same for every number of rows at one length.
    pub(super) fn line(&self, len: u32, busy: u32) -> Line<'_> {
        let curve = &self.by_busy[self.nearest(busy)];
        if curve.fit.known() {
            curve.line(len, self.scale())
        } else {
            Line { fixed: 1e6, row: 5e4 * f64::from(len), corrections: curve.cells.corrections(len) }
        }
    }

    /// Takes note of whether the device runs slower than it could. While it does, its latest runs scale
    /// every prediction; what was learned before holds again once it does not.
    pub fn set_throttled(&mut self, throttled: bool) {
        if throttled == self.throttle.is_some() {
            return;
        }
        self.throttle = throttled.then(Throttle::default);
        self.shift = Shift::default();
        self.version = self.version.wrapping_add(1);
    }

    fn scale(&self) -> f64 {
        self.throttle.as_ref().map_or(1.0, Throttle::scale)
    }

    /// Whether a run of about this shape was ever measured under about this load.
    #[must_use]
    pub fn measured(&self, rows: u32, len: u32, busy: u32) -> bool {
        self.by_busy[self.nearest(busy)].cells.evidence(rows, len) > 0.0
    }

    /// Learns from one measured run.
    pub fn observe(&mut self, rows: u32, len: u32, busy: u32, took: Duration) {
        let took = (took.as_nanos() as f64).max(1.0);
        let known = self.known();
        let predicted = self.predict(rows, len, busy);
        if known {
            self.note(predicted, took);
        }
        self.observations += 1;
        let sure = known && self.by_busy[self.nearest(busy)].is_sure_of(rows, len);
        let took = match sure.then(|| self.judge(took / predicted)) {
            _ if self.throttle.is_some() => self.unthrottled(rows, len, busy, took),
            None | Some(Verdict::Learn) => Some(took),
            Some(Verdict::Hold) => None,
            Some(Verdict::Shift(factor)) => {
                self.rescale(factor);
                Some(took)
            }
            Some(Verdict::Forget) => {
                self.by_busy.iter_mut().for_each(Curve::forget);
                Some(took)
            }
        };
        if let Some(took) = took {
            self.learn(rows, len, busy, took);
        }
    }

    /// Holds a run against its prediction.
    fn note(&mut self, predicted: f64, took: f64) {
        let error = (predicted - took).abs() / took;
        self.error += (error.min(4.0) - self.error) * 0.05;
        self.margin.observe(took / predicted);
        self.recent.push(took / predicted);
        if self.observations.is_multiple_of(u64::from(EARLY)) {
            self.band = self.recent.noise().max(shift::BAND);
        }
    }

    /// What to make of a run of a well-known shape that took `ratio` times as long as predicted.
    fn judge(&mut self, ratio: f64) -> Verdict {
        if self.throttle.is_some() { Verdict::Learn } else { self.shift.observe(ratio, self.band) }
    }

    /// What a run would have taken were the device not throttled, where that is known: how much slower it is
    /// now is no news about the shape.
    fn unthrottled(&mut self, rows: u32, len: u32, busy: u32, took: f64) -> Option<f64> {
        let curve = &self.by_busy[self.nearest(busy)];
        let Some(throttle) = self.throttle.as_mut().filter(|_| curve.fit.seen() >= EARLY) else { return Some(took) };
        let usual = curve.predict(rows, len);
        self.version = self.version.wrapping_add(u32::from(throttle.observe(took / usual)));
        throttle.explain(took, usual)
    }

    /// Takes everything learned as if all runs had taken `factor` times as long.
    fn rescale(&mut self, factor: f64) {
        self.by_busy.iter_mut().for_each(|curve| curve.rescale(factor));
        self.version = self.version.wrapping_add(1);
    }

    /// Lets a run count for its shape.
    fn learn(&mut self, rows: u32, len: u32, busy: u32, took: f64) {
        let index = slot(busy);
        let first = !self.by_busy[index].fit.known();
        if first {
            // A first look at this load starts from what the nearest known one says.
            self.by_busy[index] = self.by_busy[self.nearest(busy)].as_prior();
        }
        let surprise = self.by_busy[index].observe(rows, len, took);
        if first {
            self.find_nearest();
        }
        self.since_refresh += 1;
        if surprise > SURPRISE || self.since_refresh >= REFRESH || self.by_busy[index].fit.seen() < EARLY {
            self.since_refresh = 0;
            self.version = self.version.wrapping_add(1);
            self.by_busy[index].refresh();
        }
    }

    /// Whether anything has been observed.
    #[must_use]
    pub fn known(&self) -> bool {
        self.by_busy.iter().any(|c| c.fit.known())
    }

    /// Changes whenever optima computed from predictions should be computed anew.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The running mean of |predicted − measured| ÷ measured.
    #[must_use]
    pub fn error_ratio(&self) -> f64 {
        self.error
    }

    /// The median of |predicted − measured| ÷ measured over the last 128 runs; `None` before 32.
    #[must_use]
    pub fn median_error(&self) -> Option<f64> {
        self.recent.median_error()
    }

    /// Whether part of it was learned in an earlier life of the program.
    #[must_use]
    pub fn restored(&self) -> bool {
        self.restored
    }

    /// How many runs it has learned from.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// The factor over its prediction that 95 of 100 runs are expected to stay under.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.margin.factor()
    }

    /// The share of recent runs that stayed under [`margin`](Self::margin) × predicted; `None` before any.
    #[must_use]
    pub fn coverage_ratio(&self) -> Option<f64> {
        self.margin.coverage()
    }

    /// The numbers of busy workers under which runs were measured, ascending; the last stands for all above.
    pub fn known_busy(&self) -> impl Iterator<Item = u32> {
        (1..).zip(&self.by_busy).filter(|(_, curve)| curve.fit.known()).map(|(busy, _)| busy)
    }

    /// The number of busy workers under which most runs were measured.
    #[must_use]
    pub fn usual_busy(&self) -> u32 {
        // Of equals, the fewest.
        let most = (0..MAX_BUSY).rev().max_by_key(|&i| self.by_busy[i].fit.seen());
        most.map_or(1, |i| i as u32 + 1)
    }

    /// At most `limit` measured shapes, those measured most often, by length and rows; each with what
    /// such runs took and are predicted to take while `busy` workers run. A shape not yet seen under
    /// that load counts as it was under the nearest.
    #[must_use]
    pub fn points(&self, busy: u32, limit: usize) -> Vec<Point> {
        let curve = &self.by_busy[self.nearest(busy)];
        let point = |&Cell { token, rows, len, .. }: &Cell| Point {
            rows,
            len,
            predicted: curve.predict(rows.round() as u32, len.round() as u32) * self.scale(),
            measured: token * rows * len * self.scale(),
        };
        curve.most_measured(limit).into_iter().map(point).collect()
    }

    /// The coefficients (a₀ in ns, a₁ in ns a token, a₂ in ns a squared token) while `busy` workers run.
    #[must_use]
    pub fn coefficients(&self, busy: u32) -> [f64; 3] {
        self.by_busy[self.nearest(busy)].fit.coefficients()
    }

    fn nearest(&self, busy: u32) -> usize {
        self.nearest[slot(busy)]
    }

    /// Looks anew, once a curve has become known.
    fn find_nearest(&mut self) {
        for want in 0..MAX_BUSY {
            let known = (0..MAX_BUSY).filter(|&i| self.by_busy[i].fit.known());
            self.nearest[want] = known.min_by_key(|&i| i.abs_diff(want)).unwrap_or(want);
        }
    }
}

fn slot(busy: u32) -> usize {
    (busy.max(1) as usize).min(MAX_BUSY) - 1
}

#[cfg(test)]
mod tests;
