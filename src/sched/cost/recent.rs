//! The last runs beside what was predicted of them: how far off predictions are of late.
//!
//! Keeps the ratios and tells their quantiles when asked. Draws no conclusions.

use serde::{Deserialize, Serialize};

/// How many runs are kept.
const KEPT: usize = 128;
/// Runs before there is anything to tell.
const ENOUGH: usize = 32;

/// Measured ÷ predicted of the last runs, oldest first from `next` once there are [`KEPT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Recent {
    ratios: Vec<f32>,
    #[serde(skip)]
    next: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { ratios: Vec::with_capacity(KEPT), next: 0 }
    }
}

impl Recent {
    pub(super) fn push(&mut self, ratio: f64) {
        match self.ratios.get_mut(self.next) {
            Some(slot) => *slot = ratio as f32,
            None => self.ratios.push(ratio as f32),
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The median of |predicted − measured| ÷ measured; `None` before there are enough runs.
    pub(super) fn median_error(&self) -> Option<f64> {
        if self.ratios.len() < ENOUGH {
            return None;
        }
        let mut errors: Vec<f64> = self.ratios.iter().map(|ratio| (1.0 / f64::from(*ratio) - 1.0).abs()).collect();
        errors.sort_unstable_by(f64::total_cmp);
        Some(quantile(&errors, 0.5))
    }

    /// How far the middle half of the ratios reaches, as a difference of logarithms; 0 before there are
    /// enough. Allocates nothing.
    pub(super) fn noise(&self) -> f64 {
        if self.ratios.len() < ENOUGH {
            return 0.0;
        }
        let mut kept = [0.0_f32; KEPT];
        let kept = &mut kept[..self.ratios.len()];
        kept.copy_from_slice(&self.ratios);
        kept.sort_unstable_by(f32::total_cmp);
        f64::from(kept[kept.len() * 3 / 4] / kept[kept.len() / 4]).ln()
    }

    /// Whether it could have come from runs.
    pub(super) fn is_sound(&self) -> bool {
        self.ratios.len() <= KEPT && self.ratios.iter().all(|r| r.is_finite() && *r > 0.0)
    }

    /// The same, ready to go on after it was read back.
    pub(super) fn resumed(mut self) -> Self {
        self.next = self.ratios.len() % KEPT;
        self.ratios.reserve_exact(KEPT - self.ratios.len());
        self
    }

    /// The same, oldest first.
    pub(super) fn in_order(&self) -> Self {
        let mut ratios = self.ratios.clone();
        let oldest = self.next % ratios.len().max(1);
        ratios.rotate_left(oldest);
        Self { ratios, next: 0 }
    }
}

/// The value that this share of the ascending `values` is below, between the two nearest.
fn quantile(values: &[f64], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_runs_count() {
        let mut recent = Recent::default();
        assert_eq!((recent.median_error(), recent.noise()), (None, 0.0));
        (0..500).for_each(|_| recent.push(9.0));
        (0..KEPT).for_each(|i| recent.push(0.5 + i as f64 / (KEPT - 1) as f64));
        assert!((recent.noise() - (1.25_f64 / 0.75).ln()).abs() < 0.03, "{}", recent.noise());
        let ordered = recent.in_order().resumed();
        assert_eq!((ordered.noise(), ordered.median_error()), (recent.noise(), recent.median_error()));
    }

    #[test]
    fn the_error_is_relative_to_what_was_measured() {
        let mut recent = Recent::default();
        (0..40).for_each(|_| recent.push(2.0));
        assert_eq!(recent.median_error(), Some(0.5), "half of what it took was predicted");
    }
}
