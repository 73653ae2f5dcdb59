//! How fast rows arrive, all and by length: counted over two windows each, so that it follows a change
//! within one.

use crate::types::Time;

/// How long a window of all rows is, in ns.
const WINDOW: u64 = 100_000_000;
/// And one of rows of like length, which come more seldom.
const LONG_WINDOW: u64 = 1_000_000_000;
/// Octaves of length told apart; longer rows share the last.
const OCTAVES: usize = 16;

/// The rows of a lane.
#[derive(Debug, Clone)]
pub(super) struct Paces {
    all: Pace,
    by_octave: [Pace; OCTAVES],
    /// When the first came.
    since: Option<Time>,
}

impl Default for Paces {
    fn default() -> Self {
        Self { all: Pace::of(WINDOW), by_octave: [Pace::of(LONG_WINDOW); OCTAVES], since: None }
    }
}

impl Paces {
    /// Takes in rows of a length.
    pub(super) fn add(&mut self, rows: u32, len: u32, now: Time) {
        self.since.get_or_insert(now);
        self.all.add(rows, now);
        self.by_octave[octave(len)].add(rows, now);
    }

    /// Rows a nanosecond over the last 100 ms.
    pub(super) fn rate(&mut self, now: Time) -> f64 {
        self.all.rate(now)
    }

    /// Rows a nanosecond, over the last second, of about these lengths; `None` before a second was seen.
    pub(super) fn rate_of(&mut self, shortest: u32, longest: u32, now: Time) -> Option<f64> {
        let seen = self.since.is_some_and(|since| now.0.saturating_sub(since.0) >= LONG_WINDOW);
        let near = octave(shortest)..=octave(longest.max(shortest));
        seen.then(|| self.by_octave[near].iter_mut().map(|pace| pace.rate(now)).sum())
    }
}

fn octave(len: u32) -> usize {
    (len.max(1).ilog2() as usize).min(OCTAVES - 1)
}

/// The rows of this window and the one before it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    window: u64,
    start: u64,
    before: u32,
    rows: u32,
}

impl Pace {
    fn of(window: u64) -> Self {
        Self { window, start: 0, before: 0, rows: 0 }
    }

    /// Takes in rows that arrived.
    fn add(&mut self, rows: u32, now: Time) {
        self.turn(now);
        self.rows = self.rows.saturating_add(rows);
    }

    /// Rows a nanosecond over the last window.
    fn rate(&mut self, now: Time) -> f64 {
        self.turn(now);
        let rest = 1.0 - now.0.saturating_sub(self.start) as f64 / self.window as f64;
        (f64::from(self.before) * rest.max(0.0) + f64::from(self.rows)) / self.window as f64
    }

    fn turn(&mut self, now: Time) {
        let past = now.0.saturating_sub(self.start);
        if past >= self.window {
            let next = past < 2 * self.window;
            self.before = if next { self.rows } else { 0 };
            self.start = if next { self.start + self.window } else { now.0 };
            self.rows = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_seen_as_it_is_and_forgotten_when_it_ends() {
        let mut pace = Pace::of(WINDOW);
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
        let mut pace = Pace::of(WINDOW);
        pace.add(16, Time(1_000_000_000));
        assert!(pace.rate(Time(1_000_000_000)) * 1e9 <= 160.0 + 1e-6);
    }

    #[test]
    fn lengths_are_told_apart_once_a_second_was_seen() {
        let mut paces = Paces::default();
        for i in 0..3_000_u64 {
            let now = Time(1_000_000_000 + i * 1_000_000);
            assert_eq!(paces.rate_of(8, 15, now).is_some(), i >= 1_000, "{i}");
            paces.add(1, if i % 4 == 0 { 100 } else { 10 }, now);
        }
        let mut per_s = |low, high| paces.rate_of(low, high, Time(4_000_000_000)).unwrap_or_default() * 1e9;
        assert!((per_s(9, 12) - 750.0).abs() < 10.0 && (per_s(70, 120) - 250.0).abs() < 10.0);
        assert!((per_s(10, 100) - 1000.0).abs() < 10.0 && per_s(200, 500) < 1.0);
    }
}
