//! How much longer than predicted a run may take: the factor that 95 of 100 runs stay under.
//!
//! The factor follows the runs: one that takes longer raises it by 95 % of a step, one that does not
//! lowers it by 5 % (the quantile as a stochastic approximation: Robbins and Monro 1951), so
//! that it stands still where one run of twenty is above it. The step goes with how far runs are off
//! their prediction. Each run is held against the factor as it was before the run was known.

use serde::{Deserialize, Serialize};

/// Share of the runs that are to stay under.
const SHARE: f64 = 0.95;
/// How far one run moves the factor, as a logarithm, for each of the mean by which runs are off.
const STEP: f64 = 0.2;
/// The mean by which runs are off before any, and the least and most it counts as.
const NOISE: f64 = 0.1;
const NOISES: (f64, f64) = (0.05, 0.5);
/// How much the newest run counts in that mean.
const GAIN: f64 = 0.02;
/// The factor before any run.
const FIRST: f64 = 1.2;
/// Runs over which the share that stayed under is averaged.
const MEMORY: f64 = 256.0;

/// The running factor, and how often it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Margin {
    /// Logarithm of the factor.
    log: f64,
    /// Running mean of the logarithms by which runs are off.
    noise: f64,
    /// Running share of runs that stayed under.
    held: f64,
    runs: u64,
}

impl Default for Margin {
    fn default() -> Self {
        Self { log: FIRST.ln(), noise: NOISE, held: 0.0, runs: 0 }
    }
}

impl Margin {
    /// Takes in a run that took `ratio` times as long as predicted.
    pub(super) fn observe(&mut self, ratio: f64) {
        let off = ratio.ln();
        let held = off <= self.log;
        self.noise += (off.abs().clamp(NOISES.0, NOISES.1) - self.noise) * GAIN;
        self.log += STEP * self.noise * if held { SHARE - 1.0 } else { SHARE };
        self.runs += 1;
        let gain = (1.0 / self.runs as f64).max(1.0 / MEMORY);
        self.held += (f64::from(u8::from(held)) - self.held) * gain;
    }

    /// Whether it could have come from runs.
    pub(super) fn is_sound(&self) -> bool {
        let shares = (0.0..=1.0).contains(&self.held) && (NOISES.0..=NOISES.1).contains(&self.noise);
        self.log.abs() < 10.0 && shares && self.runs < super::MOST_RUNS
    }

    /// The factor as of now.
    pub(super) fn factor(&self) -> f64 {
        self.log.exp()
    }

    /// The share of recent runs that stayed under the factor of their time; `None` before any.
    pub(super) fn coverage(&self) -> Option<f64> {
        (self.runs > 0).then_some(self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios between 0.8 and 1.8, evenly spread, in a fixed order without pattern.
    fn ratio(i: u64) -> f64 {
        0.8 + (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24)
    }

    #[test]
    fn nineteen_runs_of_twenty_stay_under() {
        let mut margin = Margin::default();
        assert_eq!(margin.coverage(), None);
        (0..2_000).for_each(|i| margin.observe(ratio(i)));
        let coverage = margin.coverage().unwrap();
        assert!((coverage - 0.95).abs() < 0.03, "{coverage}");
        assert!((margin.factor() - 1.75).abs() < 0.15, "{}", margin.factor());
    }

    #[test]
    fn it_follows_runs_that_become_regular() {
        let mut margin = Margin::default();
        (0..2_000).for_each(|i| margin.observe(ratio(i)));
        (0..2_000).for_each(|_| margin.observe(1.0));
        assert!((margin.factor() - 1.0).abs() < 0.06, "{}", margin.factor());
    }

    #[test]
    fn coverage_is_of_what_was_known_before_each_run() {
        let mut margin = Margin::default();
        margin.observe(10.0);
        assert_eq!(margin.coverage(), Some(0.0));
        margin.observe(1.0);
        assert_eq!(margin.coverage(), Some(0.5));
    }
}
