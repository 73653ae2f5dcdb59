//! Runs that take longer or shorter than they should, the same way each time.

/// Draws of one seed (splitmix64; Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Noise {
    state: u64,
    share: f64,
}

impl Noise {
    pub(super) fn new(share: f64, seed: u64) -> Self {
        Self { state: seed, share }
    }

    /// The next factor: 1 ± at most the share, evenly spread, where there is one; else one out of `spread`, which are
    /// quantiles, evenly apart, between which it is linear; 1 where these are none.
    pub(super) fn factor(&mut self, spread: &[f64]) -> f64 {
        let even = [1.0 - self.share, 1.0 + self.share];
        let quantiles = if self.share > 0.0 { &even[..] } else { spread };
        let Some(steps) = quantiles.len().checked_sub(1).filter(|steps| *steps > 0) else { return 1.0 };
        let place = self.unit() * steps as f64;
        let at = (place as usize).min(steps - 1);
        quantiles[at] + (quantiles[at + 1] - quantiles[at]) * (place - at as f64)
    }

    /// Evenly spread from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
