//! A measurement over time: a few figures for each second, or for each sixtieth of a longer one.

use super::Measured;
use super::report::{Window, round};
use crate::types::Time;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Of longer measurements, windows are longer instead of more.
const MOST_WINDOWS: u32 = 60;

/// Two digits keep a window small; nobody reads more off a plot.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Ten minutes.
const LONGEST_MICROS: u64 = 600_000_000;

/// The windows of one measured time.
#[derive(Debug)]
pub(super) struct Timeline {
    measured: Measured,
    width: Duration,
    windows: Vec<Counts>,
}

#[derive(Debug)]
struct Counts {
    requests: u64,
    errors: u64,
    arrived: u64,
    /// Microseconds.
    latencies: Histogram<u32>,
}

impl Counts {
    #[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
    fn new() -> Self {
        let latencies = Histogram::new_with_max(LONGEST_MICROS, SIGNIFICANT_DIGITS).expect("ten minutes at two digits");
        Self { requests: 0, errors: 0, arrived: 0, latencies }
    }
}

impl Timeline {
    pub(super) fn new(measured: Measured) -> Self {
        let duration = measured.until.since(measured.from);
        let width = (duration / MOST_WINDOWS).max(Duration::from_secs(1));
        // A width is a whole number of nanoseconds; what is left of the division belongs to the last window.
        let count = duration.as_nanos().div_ceil(width.as_nanos()).clamp(1, MOST_WINDOWS.into());
        Self { measured, width, windows: (0..count).map(|_| Counts::new()).collect() }
    }

    /// A good answer arrived, at `time` within the measured time.
    pub(super) fn arrived(&mut self, time: Time) {
        self.at(time).arrived += 1;
    }

    /// A request counted, by `time` within the measured time; `waited` is its latency where it has one.
    pub(super) fn counted(&mut self, time: Time, waited: Option<Duration>, good: bool) {
        let window = self.at(time);
        if good {
            window.requests += 1;
        } else {
            window.errors += 1;
        }
        if let Some(waited) = waited {
            window.latencies.saturating_record(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn at(&mut self, time: Time) -> &mut Counts {
        let index = time.since(self.measured.from).as_nanos() / self.width.as_nanos();
        let last = self.windows.len() - 1;
        &mut self.windows[usize::try_from(index).map_or(last, |index| index.min(last))]
    }

    /// The figures of each window, in order.
    pub(super) fn windows(&self) -> Vec<Window> {
        let (duration, width) = (self.measured.until.since(self.measured.from), self.width.as_secs_f64());
        let figures = |(number, counts): (usize, &Counts)| {
            let from_s = number as f64 * width;
            let last = number + 1 == self.windows.len();
            let seconds = if last { duration.as_secs_f64() - from_s } else { width };
            let ms = |quantile| {
                let micros = counts.latencies.value_at_quantile(quantile).min(counts.latencies.max());
                (!counts.latencies.is_empty()).then(|| round(micros as f64 / 1e3))
            };
            Window {
                from_s: round(from_s),
                requests: counts.requests,
                errors: counts.errors,
                throughput_rps: round(counts.arrived as f64 / seconds),
                p50_ms: ms(0.5),
                p99_ms: ms(0.99),
            }
        };
        self.windows.iter().enumerate().map(figures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(duration: Duration) -> Timeline {
        let from = Time::from_millis(500);
        Timeline::new(Measured { start: Time(0), from, until: from + duration })
    }

    #[test]
    fn there_is_a_window_a_second_and_sixty_at_most() {
        for (millis, windows) in [(300, 1), (1_000, 1), (2_500, 3), (60_000, 60), (600_000, 60), (61_001, 60)] {
            assert_eq!(timeline(Duration::from_millis(millis)).windows().len(), windows, "{millis}");
        }
    }

    #[test]
    fn a_window_has_its_own_requests_and_its_own_length() {
        let mut timeline = timeline(Duration::from_millis(1_500));
        for millis in [500, 700, 1_499] {
            timeline.counted(Time::from_millis(millis), Some(Duration::from_millis(4)), true);
        }
        timeline.counted(Time::from_millis(1_500), None, false);
        // Both ends belong to the measured time.
        timeline.arrived(Time::from_millis(2_000));
        let windows = timeline.windows();
        assert_eq!((windows[0].requests, windows[0].errors), (3, 0));
        assert!(windows[0].p50_ms.is_some_and(|ms| (ms - 4.0).abs() < 0.05), "{windows:?}");
        assert_eq!((windows[1].requests, windows[1].errors, windows[1].p99_ms), (0, 1, None));
        assert_eq!((windows[1].from_s, windows[1].throughput_rps), (1.0, 2.0));
    }
}
