//! A policy tried before it ships: recorded arrivals through the very scheduler that serves, on a virtual clock.
//!
//! Decides what the world around the scheduler does: when arrivals come, how long a batch takes, what counts as a
//! good answer. The decisions are the scheduler's own, or those of a [`Baseline`] in its place. Pure: the same plan gives the same figures, byte for byte.
//! What a real server does around a batch (copying, waking up, handing out) is a time that goes with each batch and
//! each request; decoding and encoding are left out. Workers never fail and clients never go away.

mod baseline;
mod cost;
mod noise;
mod random;
mod server;
mod tally;
pub mod workload;
mod world;

pub use baseline::Baseline;
pub use cost::{Cost, Curve, Point};
pub use tally::{BatchFigures, LatencyMs, Report, TenantReport};

use crate::policy::PolicySet;
use crate::sched::{Grid, Item, ModelLimits, Scheduler};
use crate::types::{DeviceId, Priority, Time};
use std::sync::Arc;
use std::time::Duration;
use world::World;

/// What arrives where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The models that are served.
    pub models: Vec<Model>,
    /// Their requests, the earliest first.
    pub arrivals: Vec<Arrival>,
    /// How long the arrivals were recorded for.
    pub duration: Duration,
    /// How far a run may be off its cost, as a share of it, either way; 0: as far as the spread of the cost says.
    pub noise: f64,
    /// What the noise is drawn from: another seed, other draws.
    pub seed: u64,
}

/// A model, and where it runs.
#[derive(Debug, Clone)]
pub struct Model {
    /// What the scheduler is told of it.
    pub limits: ModelLimits,
    /// What a request takes besides waiting and its batch.
    pub overhead: Duration,
    /// Its workers, at least one.
    pub places: Vec<Place>,
}

/// Workers of one model on one device.
#[derive(Debug, Clone)]
pub struct Place {
    /// The device; workers of all models on it slow each other.
    pub device: DeviceId,
    /// How it rounds lengths.
    pub grid: Grid,
    /// How many, ≥ 1.
    pub workers: u32,
    /// How long their batches take.
    pub cost: Arc<Cost>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When it comes, from the start.
    pub at: Time,
    /// Its model, as an index of [`Plan::models`].
    pub model: usize,
    /// Its tenant; empty for none.
    pub tenant: Arc<str>,
    /// Its urgency.
    pub priority: Priority,
    /// How long its answer is wanted for.
    pub deadline: Option<Duration>,
    /// Its parts, at least one.
    pub items: Vec<Item>,
}

/// Plays a plan under a set of policies to its end: until every request was answered or refused.
#[must_use]
pub fn run(policies: Arc<PolicySet>, plan: &Plan) -> Report {
    World::new(Scheduler::new(Arc::clone(&policies)), policies, plan).run()
}

/// Plays a plan as another server would have served it; what it promises to whom are the `slo.target`s of `goals`,
/// of which it heeds nothing else.
#[must_use]
pub fn run_baseline(baseline: Baseline, goals: Arc<PolicySet>, plan: &Plan) -> Report {
    World::new(baseline.server(Arc::clone(&goals)), goals, plan).run()
}

#[cfg(test)]
mod tests;
