//! What happened of late: durations of the last minute, events of the last ten seconds.
//!
//! Decides how the past is forgotten: in slots, a whole slot at a time. Reads no clock: it is told the
//! time, which may stand still but not run back.

use crate::types::Time;
use hdrhistogram::Histogram;
use std::time::Duration;

/// How far back durations are kept: the present slot and those before it.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The length of a slot of durations.
pub const SLOT: Duration = Duration::from_secs(10);
const SLOTS: usize = 6;
/// Durations are told apart to 1 %, in microseconds; longer ones count as this.
const LONGEST: u64 = 600_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

/// Events are counted by the half second, for ten seconds before the present one.
const TICK: Duration = Duration::from_millis(500);
const TICKS: u64 = 20;

/// Durations that so many of a hundred stay under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of them.
    pub p50: Duration,
    /// Nineteen of twenty.
    pub p95: Duration,
    /// All but one of a hundred.
    pub p99: Duration,
}

/// Durations of the last minute.
#[derive(Debug)]
pub(super) struct Window {
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// Which slot since the origin of time.
    number: u64,
    micros: Histogram<u32>,
}

impl Default for Window {
    #[expect(clippy::expect_used, reason = "constant bounds that the histogram supports")]
    fn default() -> Self {
        let micros = Histogram::new_with_max(LONGEST, SIGNIFICANT_DIGITS).expect("ten minutes at two digits");
        Self { slots: (0..SLOTS).map(|_| Slot { number: 0, micros: micros.clone() }).collect() }
    }
}

impl Window {
    /// Takes a duration in, so many times.
    pub(super) fn record(&mut self, now: Time, took: Duration, times: u32) {
        let number = slot_of(now, SLOT);
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.number != number {
            slot.micros.reset();
            slot.number = number;
        }
        slot.micros.saturating_record_n(u64::try_from(took.as_micros()).unwrap_or(LONGEST), times);
    }

    /// A copy of the present slot and those that began within `over` before it ends, which is at most a
    /// minute.
    pub(super) fn recent(&self, now: Time, over: Duration) -> Recent {
        let present = slot_of(now, SLOT);
        let slots = (over.as_nanos() / SLOT.as_nanos()).clamp(1, SLOTS as u128) as u64;
        let recent = self.slots.iter().filter(|s| s.number <= present && s.number + slots > present);
        Recent(recent.map(|slot| slot.micros.clone()).collect())
    }
}

/// Slots of a window, as they were.
pub(super) struct Recent(Vec<Histogram<u32>>);

impl Recent {
    /// The percentiles over all of them; `None` when nothing was recorded.
    pub(super) fn percentiles(self) -> Option<Percentiles> {
        let mut slots = self.0.into_iter();
        let mut all = slots.next()?;
        for slot in slots {
            all += slot;
        }
        let at = |quantile| Duration::from_micros(all.value_at_quantile(quantile));
        (!all.is_empty()).then(|| Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) })
    }
}

/// Events of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Which tick since the origin of time, and the events in it.
    ticks: [(u64, u64); TICKS as usize + 1],
}

impl Rate {
    /// Counts an event.
    pub(super) fn count(&mut self, now: Time) {
        let number = slot_of(now, TICK);
        let tick = &mut self.ticks[(number % (TICKS + 1)) as usize];
        if tick.0 != number {
            *tick = (number, 0);
        }
        tick.1 += 1;
    }

    /// Events a second: over the ten seconds before the present tick, and what of it has passed.
    pub(super) fn per_second(&self, now: Time) -> f64 {
        let present = slot_of(now, TICK);
        let recent = self.ticks.iter().filter(|t| t.0 <= present && t.0 + TICKS >= present);
        let events: u64 = recent.map(|t| t.1).sum();
        let span = TICK * TICKS as u32 + now.since(Time(present * TICK.as_nanos() as u64));
        events as f64 / span.as_secs_f64()
    }
}

fn slot_of(now: Time, slot: Duration) -> u64 {
    now.0 / slot.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Time {
        Time((seconds * 1e9) as u64)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn percentiles(window: &Window, now: Time, over: Duration) -> Option<Percentiles> {
        window.recent(now, over).percentiles()
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut window = Window::default();
        assert_eq!(percentiles(&window, at(1.0), MINUTE), None);
        (1..=100).for_each(|i| window.record(at(100.0 + i as f64 / 4.0), ms(i), 1));
        let seen = percentiles(&window, at(125.0), MINUTE).unwrap();
        for (seen, exact) in [(seen.p50, 50.0), (seen.p95, 95.0), (seen.p99, 99.0)] {
            assert!((seen.as_secs_f64() * 1e3 / exact - 1.0).abs() < 0.011, "{seen:?} for {exact} ms");
        }
    }

    #[test]
    fn what_happened_many_times_counts_as_often() {
        let mut window = Window::default();
        window.record(at(1.0), ms(100), 1);
        window.record(at(1.0), ms(3), 19);
        let seen = percentiles(&window, at(1.0), MINUTE).unwrap();
        assert!(seen.p95 < ms(4) && seen.p99 > ms(90), "{seen:?}");
    }

    #[test]
    fn a_minute_later_nothing_is_left_and_a_new_slot_starts_afresh() {
        let mut window = Window::default();
        window.record(at(5.0), ms(100), 1);
        assert!(percentiles(&window, at(59.9), MINUTE).is_some());
        assert_eq!(percentiles(&window, at(60.0), MINUTE), None);
        window.record(at(65.0), ms(3), 1);
        let seen = percentiles(&window, at(65.0), MINUTE).unwrap();
        assert!(seen.p99 < ms(4), "the slot's earlier life counts no more: {seen:?}");
    }

    #[test]
    fn a_shorter_look_sees_the_newest_slots_alone() {
        let mut window = Window::default();
        window.record(at(101.0), ms(100), 1);
        window.record(at(115.0), ms(3), 1);
        assert!(percentiles(&window, at(115.0), SLOT).unwrap().p99 < ms(4));
        assert!(percentiles(&window, at(115.0), SLOT * 2).unwrap().p99 > ms(90));
        assert_eq!(percentiles(&window, at(125.0), SLOT), None);
    }

    #[test]
    fn what_takes_for_ever_counts_as_the_longest() {
        let mut window = Window::default();
        window.record(at(1.0), Duration::MAX, 1);
        assert!(percentiles(&window, at(1.0), MINUTE).unwrap().p50 >= Duration::from_micros(LONGEST));
    }

    #[test]
    fn a_rate_is_of_the_last_ten_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(at(0.0)), 0.0);
        for i in 0..400 {
            rate.count(at(20.0 + f64::from(i) / 20.0));
        }
        let steady = rate.per_second(at(39.99));
        assert!((steady - 20.0).abs() < 0.1, "{steady}");
        assert!((rate.per_second(at(45.0)) - 10.0).abs() < 0.1);
        assert_eq!(rate.per_second(at(51.0)), 0.0);
    }
}
