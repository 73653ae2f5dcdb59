//! What the scheduler keeps of a model: its lanes, its devices, its retries.

use super::edge::edge;
use super::event::{Grid, ModelLimits};
use super::form::Terms;
use super::lane::Lane;
use super::learned::Learned;
use super::table::Table;
use crate::policy::Policy;
use crate::types::{BatchId, DeviceId, ModelId, Time, WorkerId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A model's scheduling state.
#[derive(Debug)]
pub(super) struct ModelState {
    pub(super) limits: ModelLimits,
    /// How waiting lengths are told apart: as finely as the finest of its devices does.
    pub(super) grid: Grid,
    /// One for each policy of the set, in the set's order.
    pub(super) lanes: Vec<Lane>,
    /// What was learned, by device; a device keeps its place.
    pub(super) learned: Vec<Learned>,
    /// Where the device time of what waits is predicted for.
    pub(super) home: Home,
    /// Groups of failed batches, to be run before anything else.
    pub(super) retries: VecDeque<Group>,
    /// What the account last chosen had been charged by then: where one starts that was idle.
    pub(super) turn: f64,
    /// Payload bytes waiting.
    pub(super) bytes: u64,
    /// Bytes of the largest item that ever waited.
    pub(super) largest: u64,
    /// Since when requests are refused for a predicted miss and nothing was sent to a worker.
    pub(super) refusing: Option<Time>,
    /// When a held-back batch is due.
    pub(super) wake: Time,
    /// Whether something changed since the last decision.
    pub(super) dirty: bool,
}

/// The device that the time of what waits is predicted for, as if all of it ran there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    /// Its place among the model's devices.
    pub(super) slot: usize,
    /// Its workers, of all models.
    pub(super) busy: u32,
    /// How many workers there the model's workers are worth, on all devices.
    pub(super) worth: f64,
}

impl Default for Home {
    fn default() -> Self {
        Self { slot: 0, busy: 1, worth: 1.0 }
    }
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
            grid: Grid::Stepped,
            learned: Vec::new(),
            home: Home::default(),
            retries: VecDeque::new(),
            turn: 0.0,
            bytes: 0,
            largest: 0,
            refusing: None,
            wake: Time::NEVER,
            dirty: true,
        }
    }

    /// Gives accounts what those of the same tenant, or of the same policy, had been charged in other lanes.
    pub(super) fn inherit(&mut self, old: &[Lane]) {
        let mut charged = HashMap::new();
        for lane in old {
            for account in lane.accounts.iter().filter(|account| account.items > 0) {
                charged.insert(account.tenant.as_ref().ok_or(&lane.policy.name), account.served);
            }
        }
        for lane in &mut self.lanes {
            let policy = Arc::clone(&lane.policy);
            for account in lane.accounts.iter_mut() {
                if let Some(served) = charged.get(&account.tenant.as_ref().ok_or(&policy.name)) {
                    account.served = *served;
                }
            }
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

    /// What is known of a device, from when it is first asked for.
    pub(super) fn on(&mut self, device: DeviceId) -> &mut Learned {
        let at = self.slot(device);
        &mut self.learned[at]
    }

    /// Rows that pay most at a length, as was found when the group was formed; `None` for a part of a failed
    /// batch.
    pub(super) fn best_rows(&mut self, group: &Group, len: u32, device: DeviceId, table: &Table) -> Option<u32> {
        let first = group.items.first().filter(|_| group.trial.is_none() && group.losses == 0)?;
        let (slot, edge) = (self.slot(device), edge(self.grid, len));
        let class = self.lanes[group.lane as usize].classes.get(table.item(*first).class as usize)?;
        class.buckets[class.position(edge)?].best.get(slot).map(|best| best.rows)
    }

    /// The place of a device among the model's.
    pub(super) fn slot(&mut self, device: DeviceId) -> usize {
        self.learned.iter().position(|l| l.device == device).unwrap_or_else(|| {
            self.learned.push(Learned::new(device));
            self.learned.len() - 1
        })
    }
}

impl Learned {
    /// The limits and knowledge for a decision of a policy here; `slot` is this device's place.
    pub(super) fn terms(
        &self,
        slot: usize,
        policy: &Policy,
        brief: Option<Duration>,
        busy: u32,
        generation: u64,
    ) -> Terms<'_> {
        Terms {
            learned: self,
            slot,
            busy,
            max_rows: policy.batch.max_batch_size,
            max_tokens: policy.batch.max_batch_tokens,
            brief,
            stamp: generation << 32 ^ u64::from(self.version),
        }
    }
}
