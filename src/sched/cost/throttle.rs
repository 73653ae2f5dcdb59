//! How much slower than it could a throttled device runs: one factor over every prediction.
//!
//! Follows the runs within a few of them, where the curve and the cells would take dozens and would then
//! have to unlearn it all.

/// How much the newest run counts, as a logarithm.
const GAIN: f64 = 0.4;
/// The factor in use follows the running one once they are so far apart: each change has every cached
/// optimum computed anew.
const STEP: f64 = 0.05;
/// A run this far off what the factor explains says nothing about its shape.
const OFF: f64 = 0.25;
/// One run counts as at most so many times slower or faster than usual.
const MOST: f64 = 16.0;

/// The factor.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttle {
    /// Logarithm of the running factor.
    log: f64,
    /// Logarithm of the factor in use.
    used: f64,
}

impl Throttle {
    /// The factor in use.
    pub(super) fn scale(&self) -> f64 {
        self.used.exp()
    }

    /// Takes in a run that took `ratio` times as long as usual; answers whether the factor in use changed.
    pub(super) fn observe(&mut self, ratio: f64) -> bool {
        self.log += (ratio.clamp(1.0 / MOST, MOST).ln() - self.log) * GAIN;
        let moved = (self.log - self.used).abs() > STEP;
        if moved {
            self.used = self.log;
        }
        moved
    }

    /// What a run that `took` so long would have taken without the factor, if the factor explains it.
    pub(super) fn explain(&self, took: f64, usual: f64) -> Option<f64> {
        let unscaled = took / self.scale();
        ((unscaled / usual - 1.0).abs() <= OFF).then_some(unscaled)
    }
}
