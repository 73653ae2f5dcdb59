//! What goes into the scheduler and what comes out.

use super::edge::edge;
use crate::policy::{Policy, RowRate};
use crate::script::Fault;
use crate::types::{BatchId, Device, DeviceId, ModelId, Priority, RequestId, ShapeClass, Time, WorkerId};
use std::sync::Arc;
use std::time::Duration;

/// One indivisible part of a request: it runs in one batch, at one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Rows, ≥ 1.
    pub rows: u32,
    /// Tokens a row, ≥ 1.
    pub len: u32,
    /// Payload bytes it keeps in memory.
    pub bytes: u32,
    /// Everything else about its shape.
    pub class: ShapeClass,
}

/// A request that asks to be queued: all of its items are accepted, or none.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Unique among all requests ever handed in.
    pub request: RequestId,
    /// The model to run.
    pub model: ModelId,
    /// The tenant's name; empty when none was given.
    pub tenant: &'a Arc<str>,
    /// Urgency level.
    pub priority: Priority,
    /// When the answer is no longer wanted.
    pub deadline: Option<Time>,
    /// Its parts, at least one.
    pub items: &'a [Item],
}

/// What the scheduler must know of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLimits {
    /// The name policies match.
    pub name: Arc<str>,
    /// Whether items can share a batch at all.
    pub batchable: bool,
}

/// How a device's padded lengths are rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Not at all: a batch is as long as its longest row.
    Exact,
    /// To a bounded set of edges, for devices where every new shape costs.
    Stepped,
}

impl Grid {
    /// The one for a device: every new shape costs on a GPU, and none does on a CPU.
    #[must_use]
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cpu(_) => Self::Exact,
            Device::Cuda(_) => Self::Stepped,
        }
    }

    /// The length that rows of at most `len` tokens are padded to.
    #[must_use]
    pub fn padded(self, len: u32) -> u32 {
        if self == Self::Exact { len } else { edge(self, len) }
    }
}

/// A change in what a worker can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It exists and is warming up.
    Up {
        /// The model whose session it owns.
        model: ModelId,
        /// Where it runs.
        device: DeviceId,
        /// How padded lengths are rounded there.
        grid: Grid,
    },
    /// It accepts one batch. Of a suspect worker only [`Proved`](Self::Proved) is believed.
    Ready,
    /// It is suspect no longer, having run a made-up row, and accepts one batch.
    Proved,
    /// It is gone, and the batch it ran with it.
    Lost,
}

/// How a device is, as its monitor sees it. The default is a device in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceCondition {
    /// Nearly all of its memory is in use: no batch should need more than earlier ones did.
    pub memory_scarce: bool,
    /// It runs slower than it could, to keep within heat or power: what was learned of its speed is too good.
    pub throttled: bool,
}

impl DeviceCondition {
    /// Its parts, by the label of `inferneo_device_condition`.
    #[must_use]
    pub const fn flags(self) -> [(&'static str, bool); 2] {
        [("memory_scarce", self.memory_scarce), ("throttled", self.throttled)]
    }
}

/// One measured run, as the warm-up reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Rows in the batch.
    pub rows: u32,
    /// Padded length.
    pub len: u32,
    /// Busy workers of the device, this one included.
    pub busy: u32,
    /// How long the run took.
    pub compute: Duration,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchReport {
    /// Which batch.
    pub batch: BatchId,
    /// Rows of it that did not run, because they were equal to others.
    pub reused: u32,
    /// How long the run took.
    pub compute: Duration,
    /// How it ended.
    pub outcome: BatchOutcome,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every item has its answer.
    Ok,
    /// The model refused the batch; at least one item is to blame.
    Failed,
    /// What came out could not be told apart by rows; no item is to blame, and each is to run alone.
    Inseparable,
    /// The device had no memory for the shape; no item is to blame.
    OutOfMemory,
    /// The device is gone; no item is known to be to blame.
    DeviceLost,
}

/// Why an arrival was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// The model is not in the scheduler.
    UnknownModel,
    /// No worker of the model is left.
    NotReady,
    /// The process is shutting down.
    Draining,
    /// An item has more rows than any batch may have.
    RowsOverBatch {
        /// Its rows.
        rows: u32,
        /// `max_batch_size`.
        limit: u32,
    },
    /// An item has more padded tokens than any batch may have.
    TokensOverBatch {
        /// Its rows × length.
        tokens: u64,
        /// `max_batch_tokens`.
        limit: u32,
    },
    /// The request alone is larger than the queue.
    OverQueue {
        /// Its rows.
        rows: u64,
        /// `queue.max_rows`.
        limit: u32,
    },
    /// The request alone has more bytes than the queue holds.
    BytesOverQueue {
        /// Its bytes.
        bytes: u64,
        /// `queue.max_bytes`.
        limit: u64,
    },
    /// The queue has no room now.
    QueueFull {
        /// When it is predicted to be empty.
        drain: Duration,
    },
    /// The queue has no room for its bytes now.
    BytesFull {
        /// Its bytes.
        bytes: u64,
        /// Bytes that wait.
        waiting: u64,
        /// `queue.max_bytes`.
        limit: u64,
        /// When the queue is predicted to be empty.
        drain: Duration,
    },
    /// Its tenant has sent more than it may.
    RateLimited {
        /// `tenancy.rate_limit`.
        limit: RowRate,
        /// When it may send as much again.
        retry: Duration,
    },
    /// The request alone is more than its tenant may send at once.
    OverRate {
        /// Its rows.
        rows: u64,
        /// `tenancy.rate_limit`.
        limit: RowRate,
    },
    /// As many of its tenant's rows wait as may.
    TenantFull {
        /// `tenancy.max_waiting_rows`.
        limit: u32,
        /// When they are predicted to have been served.
        drain: Duration,
    },
    /// The request alone is more than may wait of its tenant.
    OverTenant {
        /// Its rows.
        rows: u64,
        /// `tenancy.max_waiting_rows`.
        limit: u32,
    },
    /// Its deadline had passed when it arrived.
    DeadlinePassed,
    /// The request would finish past its deadline.
    PredictedMiss {
        /// When the queue is predicted to be empty.
        drain: Duration,
    },
}

/// Why an accepted request ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// Its deadline passed.
    DeadlineExceeded,
    /// It would finish past its deadline, though it was not predicted to when it arrived.
    PredictedMiss {
        /// When the queue is predicted to be empty.
        drain: Duration,
    },
    /// The model failed on it alone.
    ExecutionFailed,
    /// No worker of its model is left.
    NotReady,
    /// Its model was unloaded.
    UnknownModel,
}

/// Why a batch was released when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// It holds as many rows as its policy, or the device's memory, allows.
    Full,
    /// It holds as many rows as pay most: with more, a row would take no less time.
    Best,
    /// It holds as many rows as its device's scarce memory is known to bear.
    Scarce,
    /// It reached a preferred size.
    Preferred,
    /// It waited as long as its policy allows.
    Delay,
    /// Its earliest deadline leaves no more time to wait.
    Deadline,
    /// It is smaller than it might be, so that a deadline in it is met.
    Trimmed,
    /// More waits than can be served in time: it went before more urgent ones, to serve most of them.
    Overload,
    /// A worker was free and waiting would not have paid.
    Idle,
    /// Batching is off for it, or its model cannot batch.
    Alone,
    /// It holds items of a batch that failed.
    Retry,
    /// Its policy's script scored it highest.
    Script,
    /// The process is shutting down, so nothing waits.
    Drain,
}

impl Release {
    /// All of them.
    pub const ALL: [Self; Self::Drain as usize + 1] = [
        Self::Full,
        Self::Best,
        Self::Scarce,
        Self::Preferred,
        Self::Delay,
        Self::Deadline,
        Self::Trimmed,
        Self::Overload,
        Self::Idle,
        Self::Alone,
        Self::Retry,
        Self::Script,
        Self::Drain,
    ];

    /// The label of `inferneo_batch_release_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Best => "best",
            Self::Scarce => "memory_scarce",
            Self::Preferred => "preferred",
            Self::Delay => "delay",
            Self::Deadline => "deadline",
            Self::Trimmed => "trimmed",
            Self::Overload => "overload",
            Self::Idle => "idle",
            Self::Alone => "alone",
            Self::Retry => "retry",
            Self::Script => "script",
            Self::Drain => "drain",
        }
    }
}

/// What the scheduler wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Run this batch.
    Dispatch(Dispatch),
    /// Tell this request's caller that it failed.
    Fail {
        /// Which request.
        request: RequestId,
        /// Why.
        reason: FailReason,
    },
    /// A decision was made as `adaptive` makes it, for the policy's script failed. Told before its batch, if
    /// there is one.
    Fallback {
        /// The policy.
        policy: Arc<Policy>,
        /// What went wrong.
        fault: Fault,
    },
    /// This worker failed on everything of late: let it run a made-up row, then say `Proved` or `Lost`.
    Suspect {
        /// Which worker.
        worker: WorkerId,
    },
}

/// A batch to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// Its number.
    pub batch: BatchId,
    /// Who runs it.
    pub worker: WorkerId,
    /// The model.
    pub model: ModelId,
    /// Its items, as (request, index within the request), in batch order.
    pub items: Vec<(RequestId, u32)>,
    /// Rows.
    pub rows: u32,
    /// Length every row is padded to.
    pub padded_len: u32,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// The policy that formed it.
    pub policy: Arc<Policy>,
    /// Generation of that policy's set.
    pub generation: u64,
    /// Why now.
    pub why: Release,
    /// Rows that pay most in a batch of that length, as far as known; `None` where nobody asked.
    pub best_rows: Option<u32>,
    /// How long it is predicted to run.
    pub predicted: Duration,
    /// When its longest-waiting item arrived.
    pub oldest: Time,
}
