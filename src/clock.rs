//! The only place that reads a clock.

use crate::types::Time;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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

/// Seconds since the Unix epoch, for fields that name a date.
#[must_use]
pub fn unix_seconds() -> u64 {
    wall_now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
