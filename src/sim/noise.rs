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

    /// The next factor: 1 ± at most the share, evenly spread.
    pub(super) fn factor(&mut self) -> f64 {
        if self.share == 0.0 {
            return 1.0;
        }
        1.0 + self.share * (2.0 * self.random.unit() - 1.0)
    }
}
