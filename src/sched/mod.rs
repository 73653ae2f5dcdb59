//! The scheduler: which rows share the next batch, on which worker, and when.
//!
//! Pure decisions: no clock, thread, async, tensor or tokenizer. Events come in with `now`, decisions
//! go out; the same events give the same decisions, byte for byte. That is what makes replay,
//! property tests and the simulation of a policy possible. Payloads live in `dispatch`.

mod account;
mod admit;
mod books;
mod bucket;
mod cost;
mod custom;
mod decide;
mod edge;
mod event;
mod expiry;
mod fill;
mod fleet;
mod form;
mod lane;
mod learned;
mod model;
mod overload;
mod pace;
mod place;
mod pool;
mod promise;
mod quota;
mod retry;
mod scheduler;
mod spares;
mod spread;
mod status;
mod strategy;
mod table;
mod urgency;
mod wish;

pub use cost::{CostModel, CostState, Point, Unsound};
pub use event::{
    Arrival, BatchOutcome, BatchReport, DeviceCondition, Dispatch, FailReason, Grid, Item, Measured, ModelLimits,
    Output, Reject, Release, WorkerState,
};
pub use scheduler::Scheduler;
pub use status::Queue;

#[cfg(test)]
mod tests;
