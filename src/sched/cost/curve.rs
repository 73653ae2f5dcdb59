//! The cost under one load: a trend and the departures from it.
//!
//! Puts [`fit`](super::fit) and [`cells`](super::cells) together. Knows nothing of other loads.

use super::cells::{Cell, Cells, Corrections, KNOWN};
use super::fit::Fit;

/// The cost while so many workers are busy.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    pub(super) fit: Fit,
    pub(super) cells: Cells,
}

/// The cost of batches of one length under one load.
#[derive(Debug, Clone, Copy)]
pub(in crate::sched) struct Line<'a> {
    pub(super) fixed: f64,
    pub(super) row: f64,
    pub(super) corrections: Corrections<'a>,
}

impl Line<'_> {
    /// Predicted ns of a batch of so many rows.
    pub(in crate::sched) fn time(&self, rows: u32) -> f64 {
        (self.fixed + self.row * f64::from(rows)) * self.corrections.of(rows)
    }
}

impl Curve {
    pub(super) fn predict(&self, rows: u32, len: u32) -> f64 {
        self.line(len, 1.0).time(rows)
    }

    /// The cost at one length, times a factor.
    pub(super) fn line(&self, len: u32, scale: f64) -> Line<'_> {
        let (fixed, row) = self.fit.line(f64::from(len));
        Line { fixed: fixed * scale, row: row * scale, corrections: self.cells.corrections(len) }
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
