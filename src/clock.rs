//! The only place that reads a clock, and the measure of what is said only now and then.

use crate::types::Time;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "this is the module that may read the clock")]
fn instant() -> Instant {
    Instant::now()
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(instant)
}

/// The present, in nanoseconds since the first reading (never zero, so zero can mean "unset").
#[must_use]
pub fn now() -> Time {
    let origin = origin();
    Time(u64::try_from(instant().duration_since(origin).as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
}

/// The tokio instant at which `time` comes, for timers.
#[must_use]
pub fn deadline(time: Time) -> tokio::time::Instant {
    tokio::time::Instant::from_std(origin() + time.since(Time(1)))
}

/// The present by the wall clock; unlike [`now`] it may jump.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the module that may read the clock")]
pub fn wall_now() -> SystemTime {
    SystemTime::now()
}

/// The date at which `time`, which is past, was.
#[must_use]
pub fn date(time: Time) -> SystemTime {
    wall_now() - now().since(time)
}

/// Processor time of this process so far, of all its threads, in the kernel and outside.
#[must_use]
pub fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(spent.tv_nsec).unwrap_or_default())
}

/// Seconds since the Unix epoch, for fields that name a date.
#[must_use]
pub fn unix_seconds() -> u64 {
    wall_now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Lets one of many like log lines through now and then: a fault that meets every request must not
/// fill the disk.
#[derive(Debug)]
pub struct Seldom {
    gap: Duration,
    /// When the next may pass.
    next: AtomicU64,
    withheld: AtomicU64,
}

impl Seldom {
    /// Builds one that lets a line through every `gap`.
    #[must_use]
    pub const fn new(gap: Duration) -> Self {
        Self { gap, next: AtomicU64::new(0), withheld: AtomicU64::new(0) }
    }

    /// Whether a line may be written at `now`, and then how many were withheld since the last.
    pub fn pass(&self, now: Time) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let claim = || self.next.compare_exchange(next, (now + self.gap).0, Ordering::Relaxed, Ordering::Relaxed);
        if now.0 >= next && claim().is_ok() {
            return Some(self.withheld.swap(0, Ordering::Relaxed));
        }
        self.withheld.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_passes_every_gap_and_says_how_many_did_not() {
        let seldom = Seldom::new(Duration::from_secs(1));
        let passed = [5, 6, 900, 1_005, 1_006, 9_000].map(|ms| seldom.pass(Time::from_millis(ms)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
