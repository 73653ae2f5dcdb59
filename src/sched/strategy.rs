//! The strategies, as settings of one core.

use crate::policy::{Policy, Strategy};
use std::time::Duration;

/// How a lane's next batch is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The cheapest segment that holds the most urgent item.
    Anchor,
    /// The segment with the most useful tokens a second, unless the most urgent item waited too long.
    Richest,
    /// The segment that a script scores highest.
    Scored,
    /// Arrival order, lengths ignored.
    Arrival,
    /// The most urgent item alone.
    Alone,
}

/// A strategy's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) choice: Choice,
    /// Whether an unfull batch is held back, up to the policy's delay, though a worker is free.
    pub(super) waits: bool,
    /// Whether rows are shared out among free workers.
    pub(super) spreads: bool,
    /// Whether an unfull batch may be put off while other workers run and rows come fast.
    pub(super) defers: bool,
    /// Whether a batch may run at most twice as long as its most urgent row alone, or half the SLO.
    pub(super) brief: bool,
}

impl Rule {
    /// That of `adaptive`.
    pub(super) const ADAPTIVE: Self =
        Self { choice: Choice::Anchor, waits: false, spreads: true, defers: true, brief: false };

    /// The settings of a policy, for a model that can batch or cannot.
    pub(super) fn of(policy: &Policy, batchable: bool) -> Self {
        if !policy.dynamic_batching {
            return Self { choice: Choice::Alone, waits: false, spreads: false, defers: false, brief: false };
        }
        let (choice, waits, spreads, brief) = match policy.strategy {
            Strategy::Adaptive => (Choice::Anchor, false, true, false),
            Strategy::Coalescing => (Choice::Anchor, true, false, false),
            Strategy::LatencyOptimized => (Choice::Anchor, false, true, true),
            Strategy::ThroughputOptimized => (Choice::Richest, true, false, false),
            Strategy::FixedSize => (Choice::Arrival, true, false, false),
            Strategy::Custom => (Choice::Scored, false, true, false),
        };
        let defers = policy.strategy == Strategy::Adaptive;
        let rule = Self { choice, waits, spreads, defers, brief };
        if batchable { rule } else { Self { choice: Choice::Alone, waits: false, ..rule } }
    }
}

/// How many delays the most urgent item may wait before `Richest` must take its segment.
pub(super) const GUARD: u32 = 8;
/// The least time the guard gives, for policies with next to no delay.
pub(super) const LEAST_GUARD: Duration = Duration::from_millis(50);
/// How far one priority level sets an item back: strict within it, aged past it.
const AGEING: Duration = Duration::from_secs(2);
/// The urgency given to an item without a deadline or an SLO.
const PATIENCE: Duration = Duration::from_secs(1);

/// An item's urgency: the time by which it ought to be served, in ns, levels apart.
///
/// The earlier of its deadline and its arrival plus the policy's patience (the SLO target, or a
/// second), so that a far deadline never starves it; in arrival order alone for `fixed_size`. Each
/// priority level adds a set-back: a more urgent level goes first unless the other has aged past it.
pub(super) fn urgency(policy: &Policy, arrival: crate::types::Time, deadline: crate::types::Time, level: u32) -> u64 {
    let back = AGEING * level.saturating_sub(1);
    if policy.strategy == Strategy::FixedSize {
        return (arrival + back).0;
    }
    let patience = policy.slo.target.unwrap_or(PATIENCE);
    ((arrival + patience).min(deadline) + back).0
}
