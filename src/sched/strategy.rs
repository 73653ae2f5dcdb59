//! The strategies, as settings of one core.

use crate::policy::{Policy, Strategy};
use crate::types::Time;
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
    /// Whether that is so only while company is likely and saves time.
    pub(super) weighs: bool,
    /// Whether rows are shared out among free workers.
    pub(super) spreads: bool,
    /// Whether an unfull batch may be put off while other workers run and rows come fast.
    pub(super) defers: bool,
    /// Where set, how long a batch may run, or twice as long as one row of its length if that is more.
    pub(super) brief: Option<Duration>,
}

impl Rule {
    /// That of `adaptive`.
    pub(super) const ADAPTIVE: Self =
        Self { choice: Choice::Anchor, waits: false, weighs: false, spreads: true, defers: true, brief: None };

    /// The settings of a policy, for a model that can batch or cannot.
    pub(super) fn of(policy: &Policy, batchable: bool) -> Self {
        if !policy.dynamic_batching {
            return Self {
                choice: Choice::Alone,
                waits: false,
                weighs: false,
                spreads: false,
                defers: false,
                brief: None,
            };
        }
        let (choice, waits, spreads) = match policy.strategy {
            Strategy::Adaptive => (Choice::Anchor, false, true),
            Strategy::Coalescing => (Choice::Anchor, true, false),
            Strategy::LatencyOptimized => (Choice::Anchor, false, true),
            Strategy::ThroughputOptimized => (Choice::Richest, true, false),
            Strategy::FixedSize => (Choice::Arrival, true, false),
            Strategy::Custom => (Choice::Scored, false, true),
        };
        let brief = match policy.strategy {
            Strategy::Adaptive => policy.slo.target.map(|t| t / BESIDE),
            Strategy::LatencyOptimized => Some(policy.slo.target.unwrap_or_default() / 2),
            _ => None,
        };
        let weighs = policy.strategy == Strategy::Coalescing;
        let defers = policy.strategy == Strategy::Adaptive;
        let rule = Self { choice, waits, weighs, spreads, defers, brief };
        if batchable { rule } else { Self { choice: Choice::Alone, waits: false, ..rule } }
    }
}

/// A batch of `adaptive` takes at most this part of the SLO: whoever arrives while it runs waits for it.
const BESIDE: u32 = 4;
/// How many delays the most urgent item may wait before `Richest` must take its segment.
pub(super) const GUARD: u32 = 8;
/// The least time the guard gives, for policies with next to no delay.
pub(super) const LEAST_GUARD: Duration = Duration::from_millis(50);
/// How far one priority level sets an item back at least: strict within it, aged past it.
const AGEING: Duration = Duration::from_secs(2);
/// The urgency given to an item without a deadline or an SLO.
const PATIENCE: Duration = Duration::from_secs(1);

/// An item's urgency: the time by which it ought to be served, in ns, levels apart.
///
/// The earlier of its deadline and its arrival plus the policy's patience (the SLO target, or a
/// second), so that a far deadline never starves it; in arrival order alone for `fixed_size`. Each
/// priority level adds a set-back: a more urgent level goes first unless the other has aged past it.
pub(super) fn urgency(policy: &Policy, arrival: Time, deadline: Time, level: u32) -> u64 {
    let patience = policy.slo.target.unwrap_or(PATIENCE);
    let wanted = if policy.strategy == Strategy::FixedSize { arrival } else { (arrival + patience).min(deadline) };
    // Levels are no nearer than the patience: else a deadline would cross them.
    (wanted + AGEING.max(patience) * level.saturating_sub(1)).0
}
