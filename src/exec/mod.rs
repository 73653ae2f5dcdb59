//! Execution: pads a batch, runs it, splits it back. One thread at a time uses a session.
//!
//! Decides nothing about which rows share a batch. Knows payloads and the runtime, not callers.

use crate::request::{Answer, BadElement, InferRequest, Payload};
use crate::types::{BatchId, WorkerId};
use std::sync::Arc;
use std::time::Duration;

mod assemble;
mod backend;
mod block;
mod cuda;
mod engine;
mod fake;
#[cfg(test)]
mod fixtures;
mod numbers;
mod onnx;
mod pad;
mod prepared;
mod process;
mod runtime;
mod same;
mod session;
mod settle;
mod split;
mod synthetic;
mod trial;
mod warmup;
mod worker;

pub use backend::{Backend, Input};
pub use cuda::{NoCuda, look_for_cuda};
pub use fake::{Fake, FakeRun, Script};
pub use onnx::{ModelFile, Nodes, OnnxBackend, Unservable, probe};
pub use prepared::Prepared;
pub use process::disable_telemetry;
pub use runtime::{Runtime, RuntimeError};
pub use session::SessionSettings;
pub use settle::{MakeBackend, settle};
pub use synthetic::is_sound;
pub use warmup::{WarmUp, first_run, resume, warm_up};
pub use worker::{WorkerConfig, WorkerHandle, spawn};

/// One batch to run.
#[derive(Debug)]
pub struct Job {
    /// The batch's number.
    pub batch: BatchId,
    /// The length every row is padded to (where the model pads).
    pub padded_len: u32,
    /// Whether equal items of one tenant are computed once.
    pub reuse: bool,
    /// The items, in batch order.
    pub items: Vec<JobItem>,
}

impl Job {
    /// Bytes of its items as they were sent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().filter_map(|item| item.request.items.get(item.index)).map(Payload::bytes).sum()
    }
}

/// One item of a batch: the `index`-th payload of a request.
#[derive(Debug, Clone)]
pub struct JobItem {
    /// The request, shared with the driver, which keeps it for retries.
    pub request: Arc<InferRequest>,
    /// Which of its items.
    pub index: usize,
}

/// What a worker tells the driver.
#[derive(Debug)]
pub enum WorkerEvent {
    /// The session is made and warm; it accepts its first batch.
    Ready {
        /// Who.
        worker: WorkerId,
        /// Measured during warm-up.
        samples: Vec<Sample>,
        /// Rows and padded lengths that the device had no memory for meanwhile.
        too_large: Vec<(u32, u32)>,
    },
    /// A batch ended; the worker accepts the next one (unless `DeviceLost`).
    Done(JobDone),
    /// A made-up row was run, as asked.
    Probed {
        /// Who.
        worker: WorkerId,
        /// What went wrong; `None` where it ran well, or nothing could be made up for this model.
        failure: Option<String>,
    },
    /// The worker could not start or its thread ended.
    Lost {
        /// Who.
        worker: WorkerId,
        /// What happened, for the log.
        message: String,
        /// Whether its device is to blame.
        device_gone: bool,
    },
}

/// One measured run of the warm-up sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Rows in the batch.
    pub rows: u32,
    /// Padded length.
    pub len: u32,
    /// Workers of the device that ran at the same time, this one included.
    pub busy: u32,
    /// How long the run took.
    pub compute: Duration,
}

/// A batch that ended.
#[derive(Debug)]
pub struct JobDone {
    /// Who ran it.
    pub worker: WorkerId,
    /// The batch's number.
    pub batch: BatchId,
    /// Padding and copying.
    pub assemble: Duration,
    /// The run, outputs split.
    pub compute: Duration,
    /// Rows that were not computed, because they were equal to others of the batch.
    pub reused: u32,
    /// Why what came out of a single item shows that rows of this model cannot be told apart.
    pub uneven: Option<String>,
    /// One answer an item, in the job's order.
    pub result: Result<Vec<Answer>, Failure>,
}

/// Why a batch failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The model refused or failed on this input.
    #[error("the model failed: {0}")]
    Failed(String),
    /// An output has not as many rows as the inputs, so that nobody knows whose they are.
    #[error("{0}")]
    Inseparable(String),
    /// The device had no memory for this shape.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The device is gone.
    #[error("device lost: {0}")]
    DeviceLost(String),
}

impl From<BadElement> for Failure {
    fn from(bad: BadElement) -> Self {
        Self::Failed(bad.to_string())
    }
}
