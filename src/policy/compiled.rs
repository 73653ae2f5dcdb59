//! A validated policy. Past this point no field is checked again.

use std::sync::Arc;
use std::time::Duration;

/// How the next batch is chosen; each is a preset over the same core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Learns when batching and waiting pay.
    Adaptive,
    /// Groups by length, earliest deadline first, waits up to the delay to fill a batch.
    Coalescing,
    /// Earliest deadline first, never waits, small batches.
    LatencyOptimized,
    /// Most useful tokens a second, waits up to the delay.
    ThroughputOptimized,
    /// Arrival order, exactly N or the flush delay.
    FixedSize,
}

/// One policy file, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The file's stem, or `default` for the built-in policy.
    pub name: Arc<str>,
    /// The preset.
    pub strategy: Strategy,
    /// False: every request runs alone, at once.
    pub dynamic_batching: bool,
    /// Limits of one batch.
    pub batch: BatchLimits,
    /// Latency goals.
    pub slo: Slo,
    /// Limits of the queue.
    pub queue: QueueLimits,
}

/// Limits of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most rows, ≥ 1.
    pub max_batch_size: u32,
    /// Most padded tokens (longest × rows), ≥ 1; `u32::MAX` is none.
    pub max_batch_tokens: u32,
    /// Longest a row may be held back to fill its batch.
    pub max_queue_delay: Duration,
    /// Sizes at which a waiting segment is released early, ascending.
    pub preferred_batch_sizes: Vec<u32>,
}

/// Latency goals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slo {
    /// What adaptive steers p99 towards.
    pub target: Option<Duration>,
    /// Given to a request that names no deadline.
    pub deadline: Option<Duration>,
    /// What to do with a deadline that is predicted to be missed.
    pub on_predicted_miss: OnPredictedMiss,
}

/// What to do with a request whose deadline is predicted to be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPredictedMiss {
    /// Refuse it at once.
    Reject,
    /// Try all the same.
    Serve,
}

/// Limits of a model's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Most rows waiting, ≥ 1.
    pub max_rows: u32,
    /// Most payload bytes waiting.
    pub max_bytes: u64,
    /// Priority levels, ≥ 1.
    pub priority_levels: u32,
}

/// All policies of a folder, swapped as a whole.
#[derive(Debug, Clone)]
pub struct PolicySet {
    /// Counts swaps, from 1.
    pub generation: u64,
    policies: Vec<Arc<Policy>>,
}

impl PolicySet {
    /// The policies, in file-name order.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }
}
