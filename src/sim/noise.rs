//! Runs that take longer or shorter than they should, the same way each time.

use super::random::Random;

/// Factors of one seed.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    random: Random,
    share: f64,
}

impl Noise {
    pub(super) fn new(share: f64, seed: u64) -> Self {
        Self { random: Random::new(seed), share }
    }

    /// The next factor: 1 ± at most the share, evenly spread, where there is one; else one out of `spread`; 1 where
    /// nothing is known of that.
    pub(super) fn factor(&mut self, spread: &[f64]) -> f64 {
        let even = [1.0 - self.share, 1.0 + self.share];
        self.draw(if self.share > 0.0 { &even } else { spread }).unwrap_or(1.0)
    }

    /// One of what these quantiles, evenly apart, are of; linear between them, `None` of none.
    pub(super) fn draw(&mut self, quantiles: &[f64]) -> Option<f64> {
        let [least, .., _] = quantiles else { return quantiles.first().copied() };
        let place = self.random.unit() * (quantiles.len() - 1) as f64;
        let mut pairs = quantiles.windows(2).skip(place as usize);
        let between = |pair: &[f64]| pair[0] + (pair[1] - pair[0]) * place.fract();
        Some(pairs.next().map_or(*least, between))
    }
}
