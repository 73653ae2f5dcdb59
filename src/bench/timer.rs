//! A timer of microseconds: the runtime's own has steps of a millisecond, more than some servers take to answer.
//!
//! Decides nothing. One timer of the kernel (`timerfd`), watched by the runtime like a socket: no spinning, no thread.

use crate::clock;
use crate::types::Time;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use rustix::time::{Timespec, timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// A timer for one task.
#[derive(Debug)]
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Makes a timer, watched by the runtime this is called in.
    #[expect(
        deprecated,
        reason = "an `OwnedFd` always answers the same open descriptor, which is all `register` asks for"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Waits until `due`; where that is past, only lets other tasks have their turn now and then. Cancel safe.
    pub(super) async fn until(&self, due: Time) -> io::Result<()> {
        loop {
            let wait = due.since(clock::now());
            if wait.is_zero() {
                // Whoever is behind the plan must not keep the connections from their work.
                tokio::task::consume_budget().await;
                return Ok(());
            }
            // Setting it anew takes back that it has rung, so nothing needs to be read.
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once(wait))?;
            self.0.readable().await?.clear_ready();
        }
    }
}

/// To ring once after `wait`, which is not zero.
fn once(wait: Duration) -> Itimerspec {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: seconds, tv_nsec: i64::from(wait.subsec_nanos()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rings_at_or_after_its_time_again_and_again() {
        let timer = Timer::new().unwrap();
        let start = clock::now();
        for wait in [300, 0, 1_500, 2_000, 2_050].map(Duration::from_micros) {
            timer.until(start + wait).await.unwrap();
            assert!(clock::now().since(start) >= wait);
        }
    }
}
