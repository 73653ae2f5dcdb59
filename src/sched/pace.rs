//! How fast rows arrive: counted over two windows, so that it follows a change within one.

use crate::types::Time;

/// How long a window is, in ns.
const WINDOW: u64 = 100_000_000;

/// The rows of this window and the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    start: u64,
    before: u32,
    rows: u32,
}

impl Pace {
    /// Takes in rows that arrived.
    pub(super) fn add(&mut self, rows: u32, now: Time) {
        self.turn(now);
        self.rows = self.rows.saturating_add(rows);
    }

    /// Rows a nanosecond over the last window.
    pub(super) fn rate(&mut self, now: Time) -> f64 {
        self.turn(now);
        let rest = 1.0 - now.0.saturating_sub(self.start) as f64 / WINDOW as f64;
        (f64::from(self.before) * rest.max(0.0) + f64::from(self.rows)) / WINDOW as f64
    }

    fn turn(&mut self, now: Time) {
        let past = now.0.saturating_sub(self.start);
        if past >= WINDOW {
            let next = past < 2 * WINDOW;
            self.before = if next { self.rows } else { 0 };
            self.start = if next { self.start + WINDOW } else { now.0 };
            self.rows = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_seen_as_it_is_and_forgotten_when_it_ends() {
        let mut pace = Pace::default();
        assert!(pace.rate(Time(5)).abs() < f64::EPSILON);
        for i in 0..2_000_u64 {
            pace.add(2, Time(1_000_000_000 + i * 1_000_000));
        }
        let per_ms = pace.rate(Time(3_000_000_000)) * 1e6;
        assert!((per_ms - 2.0).abs() < 0.05, "{per_ms}");
        assert!(pace.rate(Time(3_150_000_000)) * 1e6 < 1.1);
        assert!(pace.rate(Time(3_400_000_000)).abs() < f64::EPSILON);
    }

    #[test]
    fn a_burst_is_no_stream() {
        let mut pace = Pace::default();
        pace.add(16, Time(1_000_000_000));
        assert!(pace.rate(Time(1_000_000_000)) * 1e9 <= 160.0 + 1e-6);
    }
}
