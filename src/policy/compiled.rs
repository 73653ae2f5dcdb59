//! A validated policy, and what each strategy defaults to. Past this point no field is checked again.

use crate::script::Script;
use crate::types::Fnv;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How the next batch is chosen; each is a preset over the same core (docs/scheduling.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Learns when batching pays; holds a row back only where several workers are under pressure.
    Adaptive,
    /// Groups by length, most urgent first, waits up to the delay to fill a batch.
    Coalescing,
    /// Most urgent first, never waits, small batches.
    LatencyOptimized,
    /// Most useful tokens a second, waits up to the delay.
    ThroughputOptimized,
    /// Arrival order, exactly N or the flush delay.
    FixedSize,
    /// What the operator's script says.
    Custom,
}

impl Strategy {
    /// All of them, in the order of the documentation.
    pub const ALL: [Strategy; 6] = [
        Self::Adaptive,
        Self::Coalescing,
        Self::LatencyOptimized,
        Self::ThroughputOptimized,
        Self::FixedSize,
        Self::Custom,
    ];

    /// Their names.
    pub(super) const ALL_NAMES: [&str; 6] = [
        Self::Adaptive.name(),
        Self::Coalescing.name(),
        Self::LatencyOptimized.name(),
        Self::ThroughputOptimized.name(),
        Self::FixedSize.name(),
        Self::Custom.name(),
    ];

    /// The name in policy files, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Coalescing => "coalescing",
            Self::LatencyOptimized => "latency_optimized",
            Self::ThroughputOptimized => "throughput_optimized",
            Self::FixedSize => "fixed_size",
            Self::Custom => "custom",
        }
    }

    /// What it does, in one sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Adaptive => {
                "Learns when batching pays, and holds a row back only where several workers are under pressure."
            }
            Self::Coalescing => "Groups by length, the most urgent first, and waits up to the delay for company.",
            Self::LatencyOptimized => "The most urgent first, in batches that are predicted to be short; never waits.",
            Self::ThroughputOptimized => {
                "Most useful tokens a second, and waits up to the delay to fill large batches."
            }
            Self::FixedSize => "Arrival order, exactly max_batch_size rows or what is there after the delay.",
            Self::Custom => {
                "A script scores the groups of rows that could run next, or waits; it is named in [custom]."
            }
        }
    }

    /// The strategy with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }

    /// What `[batch]` defaults to.
    #[must_use]
    pub const fn batch_limits(self) -> BatchLimits {
        let (rows, tokens, delay_ms) = match self {
            Self::Adaptive | Self::Custom => (64, 16_384, 5),
            Self::Coalescing => (32, 8_192, 5),
            Self::LatencyOptimized => (16, 8_192, 0),
            Self::ThroughputOptimized => (128, 32_768, 20),
            Self::FixedSize => (32, BatchLimits::NO_TOKEN_LIMIT, 10),
        };
        BatchLimits {
            max_batch_size: rows,
            max_batch_tokens: tokens,
            max_queue_delay: Duration::from_millis(delay_ms),
            preferred_batch_sizes: Vec::new(),
        }
    }
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
    /// What each tenant is entitled to.
    pub tenancy: Tenancy,
    /// What is not computed twice.
    pub reuse: Reuse,
    /// What `custom` asks; there whenever that is the strategy of a file.
    pub script: Option<Arc<Script>>,
}

/// What is not computed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Equal rows of one tenant that meet in a batch are computed once. They count in full everywhere else.
    pub identical: bool,
}

impl Policy {
    /// Tells two contents apart, whatever the file's comments and order (64-bit FNV-1a of the settings).
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Fnv::default();
        hash.bytes(format!("{self:?}").as_bytes());
        hash.value()
    }

    /// The policy of an empty file with this strategy.
    #[must_use]
    pub fn preset(name: &str, strategy: Strategy) -> Self {
        Self {
            name: name.into(),
            strategy,
            dynamic_batching: true,
            batch: strategy.batch_limits(),
            slo: Slo { target: None, deadline: None, on_predicted_miss: OnPredictedMiss::Reject },
            queue: QueueLimits { max_rows: 4_096, max_bytes: QueueBytes::Auto, priority_levels: 3 },
            tenancy: Tenancy { weight: 1.0, rate_limit: None, max_waiting_rows: None },
            reuse: Reuse { identical: false },
            script: None,
        }
    }
}

/// Limits of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most rows, ≥ 1.
    pub max_batch_size: u32,
    /// Most padded tokens (longest × rows), ≥ 1; [`BatchLimits::NO_TOKEN_LIMIT`] is none.
    pub max_batch_tokens: u32,
    /// An upper bound on holding a row back to fill its batch while a worker is free. `adaptive` does so
    /// only while other workers run, `latency_optimized` never.
    pub max_queue_delay: Duration,
    /// Sizes at which a held-back segment is released before the delay is over, ascending. Used by
    /// `coalescing` and `throughput_optimized`.
    pub preferred_batch_sizes: Vec<u32>,
}

impl BatchLimits {
    /// The `max_batch_tokens` that never binds.
    pub const NO_TOKEN_LIMIT: u32 = u32::MAX;
}

/// Latency goals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slo {
    /// Makes rows more urgent the shorter it is (not under `fixed_size`), and misses of it are counted; half
    /// of it caps a batch's predicted run under `latency_optimized`.
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

impl OnPredictedMiss {
    /// Both.
    pub(super) const ALL: [OnPredictedMiss; 2] = [Self::Reject, Self::Serve];

    /// Their names.
    pub(super) const ALL_NAMES: [&str; 2] = [Self::Reject.name(), Self::Serve.name()];

    /// The name in policy files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Serve => "serve",
        }
    }
}

/// Limits of a model's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Most rows waiting, ≥ 1.
    pub max_rows: u32,
    /// Most payload bytes waiting.
    pub max_bytes: QueueBytes,
    /// Priority levels, ≥ 1.
    pub priority_levels: u32,
}

/// Most payload bytes that wait for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueBytes {
    /// As many as the requests are large: 64 MiB, or 64 of the largest that came, whichever is more.
    Auto,
    /// So many.
    Most(u64),
}

impl QueueBytes {
    /// The most bytes where the largest request so far has `largest`.
    #[must_use]
    pub fn limit(self, largest: u64) -> u64 {
        match self {
            Self::Most(bytes) => bytes,
            Self::Auto => largest.saturating_mul(64).max(64 << 20),
        }
    }
}

/// What each tenant is entitled to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenancy {
    /// Its share of the model's time beside other tenants that wait, > 0.
    pub weight: f64,
    /// What it may send.
    pub rate_limit: Option<RowRate>,
    /// Most of its rows that wait for the model, ≥ 1.
    pub max_waiting_rows: Option<u32>,
}

/// Rows a second, ≥ 1; written `200/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRate(pub u32);

impl fmt::Display for RowRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotARate;

impl FromStr for RowRate {
    type Err = NotARate;
    fn from_str(text: &str) -> Result<Self, NotARate> {
        let number = text.strip_suffix("/s").ok_or(NotARate)?.trim_end_matches(' ');
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        number.parse().ok().filter(|rows| plain && super::keys::RATES.contains(rows)).map(Self).ok_or(NotARate)
    }
}
