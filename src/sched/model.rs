//! What the scheduler keeps of a model: its lanes, its workers, its learned costs, its retries.

use super::cost::CostModel;
use super::event::ModelLimits;
use super::form::Terms;
use super::lane::Lane;
use crate::policy::Policy;
use crate::types::{BatchId, DeviceId, ModelId, Time, WorkerId};
use std::collections::VecDeque;
use std::sync::Arc;

/// A model's scheduling state.
#[derive(Debug)]
pub(super) struct ModelState {
    pub(super) limits: ModelLimits,
    /// One for each policy of the set, in the set's order.
    pub(super) lanes: Vec<Lane>,
    /// What was learned, by device.
    pub(super) costs: Vec<(DeviceId, CostModel)>,
    /// Groups of failed batches, to be run before anything else.
    pub(super) retries: VecDeque<Group>,
    /// Service the lane last chosen had had by then: where a lane starts that was idle.
    pub(super) turn: f64,
    /// Payload bytes waiting.
    pub(super) bytes: u64,
    /// From this length on, at most so many rows: learned from running out of memory.
    pub(super) memory: Vec<(u32, u32)>,
    /// Changes with `memory`.
    pub(super) memory_version: u32,
    /// When a held-back batch is due.
    pub(super) wake: Time,
    /// Whether something changed since the last decision.
    pub(super) dirty: bool,
}

/// A worker's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) model: ModelId,
    pub(super) device: DeviceId,
    pub(super) ready: bool,
    /// Failed on everything of late: not ready, whatever it says, until its probe has passed.
    pub(super) suspect: bool,
}

/// A batch that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: BatchId,
    pub(super) model: ModelId,
    pub(super) worker: WorkerId,
    pub(super) device: DeviceId,
    pub(super) group: Group,
    pub(super) rows: u32,
    pub(super) len: u32,
    /// Busy workers of the device at dispatch, this one included.
    pub(super) busy: u32,
    pub(super) started: Time,
    pub(super) predicted: f64,
}

/// Items that run together.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) lane: u32,
    pub(super) items: Vec<u32>,
    /// The failed batch they come from, if any.
    pub(super) trial: Option<usize>,
    /// Devices lost under it.
    pub(super) losses: u32,
}

/// The search for the guilty items of one failed batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trial {
    /// Groups waiting or running.
    pub(super) open: u32,
    /// Whether the worker is known to run well: a part of the batch did, or it was asked to prove itself.
    pub(super) cleared: bool,
    /// Items that failed alone.
    pub(super) guilty: u32,
}

impl ModelState {
    pub(super) fn new(limits: ModelLimits, policies: &[Arc<Policy>]) -> Self {
        Self {
            limits,
            lanes: policies.iter().cloned().map(Lane::new).collect(),
            costs: Vec::new(),
            retries: VecDeque::new(),
            turn: 0.0,
            bytes: 0,
            memory: Vec::new(),
            memory_version: 0,
            wake: Time::NEVER,
            dirty: true,
        }
    }

    /// Rows waiting in the lanes.
    pub(super) fn rows(&self) -> u32 {
        self.lanes.iter().map(|l| l.rows).sum()
    }

    /// Predicted device time of all that waits, in ns.
    pub(super) fn backlog(&self) -> u64 {
        self.lanes.iter().map(|l| l.backlog).sum()
    }

    /// The cost model of a device, created when first asked for.
    pub(super) fn cost_mut(&mut self, device: DeviceId) -> &mut CostModel {
        let at = self.cost_index(device);
        &mut self.costs[at].1
    }

    /// The lanes, and what a decision about them on `device` may know.
    pub(super) fn lanes_with(&mut self, device: DeviceId, busy: u32, generation: u64) -> (&mut [Lane], Knowledge<'_>) {
        let at = self.cost_index(device);
        let Self { lanes, costs, memory, memory_version, .. } = self;
        (lanes, Knowledge { cost: &costs[at].1, memory, memory_version: *memory_version, busy, generation })
    }

    fn cost_index(&mut self, device: DeviceId) -> usize {
        self.costs.iter().position(|(d, _)| *d == device).unwrap_or_else(|| {
            self.costs.push((device, CostModel::default()));
            self.costs.len() - 1
        })
    }
}

/// The limits and knowledge for a decision of a lane's policy on one device.
pub(super) struct Knowledge<'a> {
    pub(super) cost: &'a CostModel,
    pub(super) memory: &'a [(u32, u32)],
    pub(super) memory_version: u32,
    pub(super) busy: u32,
    pub(super) generation: u64,
}

impl<'a> Knowledge<'a> {
    pub(super) fn terms(&self, policy: &Policy, brief: bool) -> Terms<'a> {
        Terms {
            cost: self.cost,
            busy: self.busy,
            max_rows: policy.batch.max_batch_size,
            max_tokens: policy.batch.max_batch_tokens,
            brief: brief.then(|| policy.slo.target.map_or(0.0, |t| t.as_nanos() as f64 / 2.0)),
            memory: self.memory,
            stamp: self.generation << 32 ^ u64::from(self.memory_version),
        }
    }
}
