//! The learned cost of a batch: how long a run of B rows at padded length S takes.
//!
//! t̂(B, S) = (a₀ + a₁·B·S + a₂·B·S²) × correction(B, S): a non-negative fit ([`fit`]) for the trend and
//! a table of measured cells ([`cells`]) for what no smooth curve shows, such as the cache effects that make a large
//! batch of long rows slower than the same rows one by one. One such model for each number of busy
//! workers, because workers that share a device slow each other. While the device is throttled, all of it
//! is scaled by how much slower it is of late ([`drift`]). Knows nothing of queues or policies.

mod cells;
mod drift;
mod fit;
mod margin;

use cells::{Cell, Cells};
use drift::Drift;
use fit::Fit;
use margin::Margin;
use std::time::Duration;

pub(super) use cells::ROW_STEPS;

/// How many busy-worker counts are told apart; more share the last.
const MAX_BUSY: usize = 8;
/// Observations after which predictions follow what was observed; between, they stand still.
const REFRESH: u32 = 8;
/// A surprise larger than this makes them follow at once.
const SURPRISE: f64 = 0.25;
/// While so few were observed, every one counts at once.
const EARLY: u32 = 32;

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
    observations: u64,
    /// Set while the device is throttled.
    drift: Option<Drift>,
}

/// One measured shape beside what is predicted of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Rows; of several near shapes their mean.
    pub rows: f64,
    /// Padded length; likewise.
    pub len: f64,
    /// Nanoseconds that such a run is predicted to take.
    pub predicted: f64,
    /// Nanoseconds that such runs took of late.
    pub measured: f64,
}

#[derive(Debug, Clone, Default)]
struct Curve {
    fit: Fit,
    cells: Cells,
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
            observations: 0,
            drift: None,
        }
    }
}

impl CostModel {
    /// Predicts a run of `rows` at padded length `len` while `busy` workers of the device run, itself
    /// included, in nanoseconds. Before any observation: a guess of 1 ms and 50 µs a token.
    #[must_use]
    pub fn predict(&self, rows: u32, len: u32, busy: u32) -> f64 {
        let curve = &self.by_busy[self.nearest(busy)];
        if curve.fit.known() {
            curve.predict(rows, len) * self.scale()
        } else {
            1e6 + 5e4 * f64::from(rows) * f64::from(len)
        }
    }

    /// Takes note of whether the device runs slower than it could. While it does, its latest runs scale
    /// every prediction; what was learned before holds again once it does not.
    pub fn set_throttled(&mut self, throttled: bool) {
        if throttled == self.drift.is_some() {
            return;
        }
        self.drift = throttled.then(Drift::default);
        self.version = self.version.wrapping_add(1);
    }

    fn scale(&self) -> f64 {
        self.drift.as_ref().map_or(1.0, Drift::scale)
    }

    /// Whether a run of about this shape was ever measured under about this load.
    #[must_use]
    pub fn measured(&self, rows: u32, len: u32, busy: u32) -> bool {
        self.by_busy[self.nearest(busy)].cells.measured(rows, len)
    }

    /// Learns from one measured run.
    pub fn observe(&mut self, rows: u32, len: u32, busy: u32, took: Duration) {
        let mut took = (took.as_nanos() as f64).max(1.0);
        if self.known() {
            let predicted = self.predict(rows, len, busy);
            let error = (predicted - took).abs() / took;
            self.error += (error.min(4.0) - self.error) * 0.05;
            self.margin.observe(took / predicted);
        }
        self.observations += 1;
        let nearest = self.nearest(busy);
        let curve = &self.by_busy[nearest];
        if let Some(drift) = self.drift.as_mut().filter(|_| curve.fit.seen() >= EARLY) {
            let usual = curve.predict(rows, len);
            self.version = self.version.wrapping_add(u32::from(drift.observe(took / usual)));
            // How much slower it is now is no news about the shape.
            let Some(unscaled) = drift.explain(took, usual) else { return };
            took = unscaled;
        }
        let index = slot(busy);
        let first = !self.by_busy[index].fit.known();
        if first {
            // A first look at this load starts from what the nearest known one says.
            self.by_busy[index] = self.by_busy[nearest].as_prior();
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
        curve.cells.most_measured(limit).into_iter().map(point).collect()
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

impl Curve {
    fn predict(&self, rows: u32, len: u32) -> f64 {
        self.fit.time(f64::from(rows), f64::from(len)) * self.cells.correction(rows, len)
    }

    /// Takes a run in; answers by what share the prediction was off.
    fn observe(&mut self, rows: u32, len: u32, took: f64) -> f64 {
        let off = (self.predict(rows, len) / took - 1.0).abs();
        self.fit.observe(rows, len, took);
        self.cells.observe(rows, len, took);
        off
    }

    /// Makes what was taken in count.
    fn refresh(&mut self) {
        self.fit.solve();
        self.cells.refresh(&self.fit);
    }

    fn as_prior(&self) -> Self {
        Self { fit: self.fit.as_prior(), cells: self.cells.faded() }
    }
}

#[cfg(test)]
mod tests;
