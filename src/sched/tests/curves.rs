//! How long runs take on the machines that the tests pretend to have, in nanoseconds.

use super::saturation;

/// A kind of machine: rows and padded length to nanoseconds.
pub(super) type Curve = fn(u32, u32) -> f64;

/// All of them, by name.
pub(super) const ALL: [(&str, Curve); 3] = [("cpu", cpu), ("gpu", gpu), ("stepped", stepped)];

/// A CPU as it was measured: short rows gain by company, long ones lose.
pub(super) fn cpu(rows: u32, len: u32) -> f64 {
    saturation::curve(rows, len)
}

/// Flat, then linear in the tokens, then worse.
pub(super) fn gpu(rows: u32, len: u32) -> f64 {
    let (rows, len) = (f64::from(rows), f64::from(len));
    (0.8 + 0.004 * rows * len + 9.2e-7 * rows * len * len).max(2.5) * 1e6
}

/// A device that works in waves of 512 tokens: a wave costs the same, however little is in it.
pub(super) fn stepped(rows: u32, len: u32) -> f64 {
    (0.5 + 1.5 * f64::from((rows * len).div_ceil(512))) * 1e6
}

/// Numbers that look drawn, the same every time.
#[derive(Debug, Clone)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// Evenly spread over 0 to 1.
    pub(super) fn even(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The gap to the next of a Poisson stream, in means.
    pub(super) fn gap(&mut self) -> f64 {
        -(1.0 - self.even()).ln()
    }

    /// 70 % queries of about 12 tokens, 30 % documents of about 160, at most 512.
    pub(super) fn length(&mut self) -> u32 {
        let median = if self.even() < 0.7 { 12.0 } else { 160.0 };
        self.near(median)
    }

    /// A length around a median, at most 512.
    pub(super) fn near(&mut self, median: f64) -> u32 {
        let spread = (0..4).map(|_| self.even()).sum::<f64>() - 2.0;
        (median * spread.exp()).round().clamp(1.0, 512.0) as u32
    }
}
