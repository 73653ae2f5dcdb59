//! When the requests of an open loop are sent: a Poisson process, from a seed.
//!
//! Decides the arrivals and nothing else. The same rate, seed and time make the same plan, so two servers can be
//! measured under the very same arrivals.

use std::time::Duration;

/// The seed where none is named.
pub const DEFAULT_SEED: u64 = 1;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast and even enough for loads and payloads.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number from 0, and less than 1, with 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The arrivals of a Poisson process, as times since its start, in order, up to its end.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    random: Random,
    /// Requests a second.
    rate: f64,
    /// Seconds since the start.
    at: f64,
    end: f64,
}

impl Arrivals {
    /// Plans `rate` requests a second (> 0) on average for the time `total`.
    pub(super) fn new(rate: f64, seed: u64, total: Duration) -> Self {
        Self { random: Random::new(seed), rate, at: 0.0, end: total.as_secs_f64() }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The gaps of a Poisson process are exponentially distributed; 1 - u is never zero.
        self.at += -(1.0 - self.random.unit()).ln() / self.rate;
        (self.at < self.end).then(|| Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: f64, seed: u64, seconds: u64) -> Vec<Duration> {
        Arrivals::new(rate, seed, Duration::from_secs(seconds)).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(plan(100.0, 7, 10), plan(100.0, 7, 10));
        assert_ne!(plan(100.0, 7, 10), plan(100.0, 8, 10));
        // A longer plan begins as the shorter one.
        assert_eq!(plan(100.0, 7, 20)[..plan(100.0, 7, 10).len()], plan(100.0, 7, 10));
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        for (rate, seconds) in [(1000.0, 100), (0.5, 200_000)] {
            let plan = plan(rate, DEFAULT_SEED, seconds);
            assert!(plan.is_sorted());
            let gaps: Vec<f64> = plan.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let spread = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
            assert!((mean * rate - 1.0).abs() < 0.02, "{mean}");
            assert!((spread / mean - 1.0).abs() < 0.02, "{spread}");
        }
    }
}
