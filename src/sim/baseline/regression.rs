//! BentoML's adaptive batching: a line fitted to what batches took, and waits that pay by it.
//!
//! From its published dispatcher (`CorkDispatcher` and `Optimizer`, version 1.2). A batch of n items is taken to last
//! a·n + b, by least squares over the last 50 batches, fitted anew every five seconds. With n items waiting, the oldest
//! for w₀ and the newest for wₙ:
//!
//! 1. While n > 1 and w₀ + a·n + b reaches the latency that was asked for, the oldest is refused.
//! 2. While n is below the largest batch and n·(wₙ + tick + a) is at most 0.95 of the mean time that the oldest of the
//!    last batches waited, it looks again after a tick of 1 ms: what all lose by waiting is less than they usually wait.
//! 3. Else the oldest go, as many as a batch holds.
//!
//! The first batches train it: two are not counted, and the next three, of at most 1, 2 and 3 items, fit it each. Its
//! code takes the newest items where the estimate is of the oldest; here the oldest go, which it is meant for.

use crate::types::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Batches that the line is fitted to.
const KEPT: usize = 50;
/// First batches that are not counted.
const SKIPPED: u32 = 2;
/// Last of the first batches that are small and fit the line each.
const TRAINED: u32 = SKIPPED + 3;
/// How often the line is fitted.
const EVERY: Duration = Duration::from_secs(5);
/// How often it looks whether to go on waiting.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// The share of the usual wait that waiting may cost.
const DECAY: f64 = 0.95;
/// The latency that is asked for where there is no SLO: its own default.
pub(super) const LATENCY: Duration = Duration::from_secs(60);

/// What it knows, in seconds.
#[derive(Debug)]
pub(super) struct Regression {
    /// Items, how long they took, and how long the oldest had waited.
    runs: VecDeque<(f64, f64, f64)>,
    seen: u32,
    slope: f64,
    base: f64,
    wait: f64,
    fitted: Time,
}

/// What waits: how many items, and since when the oldest and the newest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    pub(super) items: usize,
    pub(super) oldest: Time,
    pub(super) newest: Time,
}

impl Regression {
    /// Before anything ran, for this latency.
    pub(super) fn new(latency: Duration) -> Self {
        let latency = latency.as_secs_f64();
        let (slope, base) = ((latency * 2.0 / 30.0).min(2.0), (latency / 30.0).min(1.0));
        Self { runs: VecDeque::new(), seen: 0, slope, base, wait: 0.01, fitted: Time::default() }
    }

    /// Whether the oldest is too late to be served.
    pub(super) fn refuses(&self, queue: Queue, latency: Duration, now: Time) -> bool {
        let waited = now.since(queue.oldest).as_secs_f64();
        let lasts = self.slope * queue.items as f64 + self.base;
        let predicted = if self.seen < TRAINED { waited } else { waited + lasts };
        queue.items > 1 && predicted >= latency.as_secs_f64()
    }

    /// Whether waiting another tick pays.
    pub(super) fn waits(&self, queue: Queue, now: Time) -> bool {
        let since = now.since(queue.newest).as_secs_f64() + TICK.as_secs_f64();
        self.seen >= TRAINED && queue.items as f64 * (since + self.slope) <= self.wait * DECAY
    }

    /// Most items of the next batch.
    pub(super) fn most(&self) -> u32 {
        if self.seen < TRAINED { (self.seen + 1).saturating_sub(SKIPPED).max(1) } else { u32::MAX }
    }

    /// Learns from a batch.
    pub(super) fn ran(&mut self, items: usize, took: Duration, waited: Duration, now: Time) {
        self.seen = self.seen.saturating_add(1);
        if self.seen <= SKIPPED {
            return;
        }
        if self.runs.len() == KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back((items as f64, took.as_secs_f64(), waited.as_secs_f64()));
        if self.seen <= TRAINED || now.since(self.fitted) >= EVERY {
            self.fitted = now;
            self.fit();
        }
    }

    fn fit(&mut self) {
        let count = self.runs.len() as f64;
        let mean = |part: fn(&(f64, f64, f64)) -> f64| self.runs.iter().map(part).sum::<f64>() / count;
        let (n, t) = (mean(|run| run.0), mean(|run| run.1));
        let (across, along) = (mean(|run| run.0 * run.1) - n * t, mean(|run| run.0 * run.0) - n * n);
        // Batches all alike leave the line open: of those that fit, the one with the least a² + b².
        let slope = if along > 1e-9 { across / along } else { t * n / (n * n + 1.0) };
        (self.slope, self.base) = (slope.max(1e-6), (t - slope * n).max(0.0));
        self.wait = mean(|run| run.2);
    }
}
