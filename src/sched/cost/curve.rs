//! The cost under one load: a trend and the departures from it.
//!
//! Puts [`fit`](super::fit) and [`cells`](super::cells) together. Knows nothing of other loads.

use super::cells::{Cell, Cells, KNOWN};
use super::fit::Fit;

/// The cost while so many workers are busy.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    pub(super) fit: Fit,
    pub(super) cells: Cells,
}

impl Curve {
    pub(super) fn predict(&self, rows: u32, len: u32) -> f64 {
        self.fit.time(f64::from(rows), f64::from(len)) * self.cells.correction(rows, len)
    }

    /// Whether runs of about this shape are known so well that one which is off has a reason.
    pub(super) fn is_sure_of(&self, rows: u32, len: u32) -> bool {
        self.cells.evidence(rows, len) >= KNOWN
    }

    /// Takes a run in; answers by what share the prediction was off.
    pub(super) fn observe(&mut self, rows: u32, len: u32, took: f64) -> f64 {
        let off = (self.predict(rows, len) / took - 1.0).abs();
        self.fit.observe(rows, len, took);
        self.cells.observe(rows, len, took, &self.fit);
        off
    }

    /// Makes what was taken in count.
    pub(super) fn refresh(&mut self) {
        self.fit.solve();
        self.cells.refresh(&self.fit);
    }

    /// The same curve of runs that all took `factor` times as long.
    pub(super) fn rescale(&mut self, factor: f64) {
        self.fit.rescale(factor);
        self.cells.rescale(factor);
    }

    /// A curve that starts from this one and holds it for no evidence.
    pub(super) fn as_prior(&self) -> Self {
        Self { fit: self.fit.as_prior(), cells: self.cells.faded() }
    }

    /// Keeps the trend, for a start; what was measured does not hold.
    pub(super) fn forget(&mut self) {
        *self = Self { fit: self.fit.as_prior(), cells: Cells::default() };
    }

    pub(super) fn most_measured(&self, limit: usize) -> Vec<&Cell> {
        self.cells.most_measured(limit)
    }
}
