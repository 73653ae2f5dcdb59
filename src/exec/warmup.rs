//! The warm-up sweep: which shapes a model's instances measure, together and alone, before they serve.
//!
//! Decides the cells, their order and when to stop. Does not run them (the workers do) and draws no
//! conclusions from the samples (the scheduler does).

use super::is_sound;
use crate::clock;
use crate::model::{Dim, ModelSpec};
use crate::types::{Device, Time, locked};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most one model's sweep may take.
const BUDGET: Duration = Duration::from_secs(5);
/// A cell predicted to take longer is skipped.
const LONGEST: Duration = Duration::from_millis(250);
/// Timed runs of a cell, after one that is discarded.
pub(super) const TIMED_RUNS: u32 = 3;
/// How far apart, as a factor, shapes may be off what is known of them for it to hold: a quarter to either side.
const ALIKE: f64 = 1.6;
/// The longest row tried where the model sets no limit.
const DEFAULT_LENGTH: u32 = 256;
/// The same on a GPU, where a new shape may cost a search for the best algorithm.
const GPU_BUDGET: Duration = Duration::from_secs(30);
/// The most tokens tried at once on a GPU: those of a batch under the usual limits.
const GPU_TOKENS: u32 = 16_384;

/// A shape to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) rows: u32,
    pub(super) len: u32,
}

impl Cell {
    fn work(self) -> u64 {
        u64::from(self.rows) * u64::from(self.len)
    }
}

/// One measurement: a cell, run by every instance at once or by one while the others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) cell: Cell,
    pub(super) alone: bool,
}

/// The part of one instance in its model's sweep.
///
/// The instances meet before every step. One that ends, for whatever reason, drops its part and the
/// others go on without it.
#[derive(Debug)]
pub struct WarmUp {
    shared: Arc<Shared>,
    index: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Which instances take part still.
    live: Vec<bool>,
    arrived: usize,
    round: u64,
    plan: Plan,
    step: Option<Step>,
}

/// Plans the sweep of a model that runs in `instances` sessions on `device`: one part for each.
///
/// On a GPU the largest shape comes first, because it sizes the arena for all others.
#[must_use]
pub fn warm_up(spec: &ModelSpec, device: Device, instances: usize) -> Vec<WarmUp> {
    parts(Plan::new(spec, device, instances > 1), instances)
}

/// Plans the warm-up of a model that was measured in an earlier life of the program: `usual` tells what a run
/// of rows and length takes while so many instances run, where that is known.
///
/// Three shapes are measured; where they are as they were, or all off by the same factor, that is all. On a GPU
/// every shape is run, because a new one costs its first caller.
#[must_use]
pub fn resume(
    spec: &ModelSpec,
    device: Device,
    instances: usize,
    usual: impl Fn(u32, u32, u32) -> Option<Duration>,
) -> Vec<WarmUp> {
    let mut plan = Plan::new(spec, device, instances > 1);
    if !plan.on_gpu {
        plan.check(|cell| usual(cell.rows, cell.len, instances as u32));
    }
    parts(plan, instances)
}

fn parts(plan: Plan, instances: usize) -> Vec<WarmUp> {
    let state = State { live: vec![true; instances], arrived: 0, round: 0, plan, step: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (0..instances).map(|index| WarmUp { shared: shared.clone(), index }).collect()
}

/// Plans the warm-up of one instance that joins others at work: its first run only, which pays for much
/// that no caller should.
#[must_use]
pub fn first_run(spec: &ModelSpec, device: Device) -> Vec<WarmUp> {
    let mut plan = Plan::new(spec, device, false);
    plan.steps.truncate(1);
    parts(plan, 1)
}

impl WarmUp {
    /// Waits for the other instances and returns the next step with the number of instances that run
    /// it; zero means that this one does not. `None` ends the sweep.
    pub(super) fn next(&self) -> Option<(Step, u32)> {
        let mut state = self.shared.lock();
        let round = state.round;
        state.arrived += 1;
        if state.arrived == state.members() {
            self.shared.advance(&mut state);
        }
        while state.round == round {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let step = state.step?;
        let leads = state.live.iter().position(|live| *live) == Some(self.index);
        let busy = match (step.alone, leads) {
            (false, _) => state.members() as u32,
            (true, leads) => u32::from(leads),
        };
        Some((step, busy))
    }

    /// Tells the plan how long a cell took.
    pub(super) fn record(&self, cell: Cell, took: Duration) {
        self.shared.lock().plan.record(cell, took);
    }

    /// Tells the plan that the device has no memory for a cell: what is no smaller is not tried.
    pub(super) fn too_large(&self, cell: Cell) {
        self.shared.lock().plan.steps.retain(|step| step.cell.rows < cell.rows || step.cell.len < cell.len);
    }

    /// Whether a first run that took long says nothing about those to come.
    pub(super) fn starts_slowly(&self) -> bool {
        self.shared.lock().plan.on_gpu
    }

    /// Ends the sweep for all: this model cannot run what was made up for it.
    pub(super) fn stop(&self) {
        self.shared.lock().plan.steps.clear();
    }
}

impl Drop for WarmUp {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.live[self.index] = false;
        if state.arrived > 0 && state.arrived == state.members() {
            self.shared.advance(&mut state);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn advance(&self, state: &mut State) {
        state.step = state.plan.next(clock::now());
        state.arrived = 0;
        state.round += 1;
        self.changed.notify_all();
    }
}

impl State {
    fn members(&self) -> usize {
        self.live.iter().filter(|live| **live).count()
    }
}

/// The steps that are left.
#[derive(Debug)]
struct Plan {
    steps: VecDeque<Step>,
    /// Shapes to measure first, with what they took in an earlier life.
    checks: Vec<(Cell, Duration)>,
    /// How many of them were given out.
    checked: usize,
    /// How far off they were; for every instance.
    off: Vec<f64>,
    /// The largest cell measured and its time, from which larger ones are predicted.
    largest: Option<(u64, Duration)>,
    on_gpu: bool,
    end: Option<Time>,
}

impl Plan {
    fn new(spec: &ModelSpec, device: Device, several: bool) -> Self {
        let on_gpu = matches!(device, Device::Cuda(_));
        Self::of(if on_gpu { gpu_cells(spec) } else { cells(spec) }, on_gpu, several)
    }

    /// All cells by every instance, smallest first (largest on a GPU), then some of them alone.
    fn of(mut cells: Vec<Cell>, on_gpu: bool, several: bool) -> Self {
        cells.sort_by_key(|cell| (cell.work(), cell.rows));
        cells.dedup();
        if on_gpu {
            cells.reverse();
        }
        let alone = cells.iter().filter(|cell| several && (on_gpu || cell.work() <= 256));
        let steps = cells.iter().map(|cell| Step { cell: *cell, alone: false });
        let steps = steps.chain(alone.map(|cell| Step { cell: *cell, alone: true })).collect();
        Self { steps, checks: Vec::new(), checked: 0, off: Vec::new(), largest: None, on_gpu, end: None }
    }

    /// Has three shapes measured first of which it is known what they took: a small, a middling and a large one.
    fn check(&mut self, usual: impl Fn(Cell) -> Option<Duration>) {
        let cells = self.steps.iter().filter(|step| !step.alone).map(|step| step.cell);
        let known = cells.filter_map(|cell| Some((cell, usual(cell).filter(|took| *took <= LONGEST)?)));
        let known: Vec<(Cell, Duration)> = known.collect();
        if let [first, .., last] = known[..] {
            self.checks = vec![first, known[known.len() / 2], last];
            self.checks.dedup();
        }
    }

    /// Ends the sweep where the shapes checked were as far off as one another.
    fn conclude(&mut self) {
        self.checks.clear();
        self.checked = 0;
        let off = std::mem::take(&mut self.off);
        let (least, most) =
            off.iter().fold((f64::MAX, 0.0_f64), |(least, most), off| (least.min(*off), most.max(*off)));
        if !off.is_empty() && most <= least * ALIKE {
            self.steps.clear();
        }
    }

    fn next(&mut self, now: Time) -> Option<Step> {
        let end = *self.end.get_or_insert(now + if self.on_gpu { GPU_BUDGET } else { BUDGET });
        if let Some((cell, _)) = self.checks.get(self.checked) {
            self.checked += 1;
            return Some(Step { cell: *cell, alone: false });
        }
        self.conclude();
        while let Some(step) = self.steps.pop_front() {
            let predicted = self.predict(step.cell);
            let bearable = predicted <= LONGEST || self.on_gpu;
            if bearable && now + predicted * (TIMED_RUNS + 1) <= end {
                return Some(step);
            }
        }
        None
    }

    fn record(&mut self, cell: Cell, took: Duration) {
        if let Some((_, usual)) = self.checks[..self.checked].iter().find(|(checked, _)| *checked == cell) {
            self.off.push(took.as_secs_f64() / usual.as_secs_f64().max(1e-9));
        }
        if self.largest.is_none_or(|(work, longest)| (work, longest) < (cell.work(), took)) {
            self.largest = Some((cell.work(), took));
        }
    }

    /// Extrapolates linearly in rows × length; no cell is cheaper than a smaller one.
    fn predict(&self, cell: Cell) -> Duration {
        self.largest.map_or(Duration::ZERO, |(work, took)| took.mul_f64(cell.work() as f64 / work.max(1) as f64))
    }
}

/// About nine sparse cells, chosen so that the fixed cost, the cost of a token and the cost of length
/// each show; none where inputs have sizes that nobody knows.
fn cells(spec: &ModelSpec) -> Vec<Cell> {
    const BY_LENGTH: [(u32, u32); 9] =
        [(1, 8), (8, 8), (1, 32), (32, 8), (8, 32), (1, 64), (4, 64), (1, 128), (4, 128)];
    const BY_ROWS: [(u32, u32); 3] = [(1, 1), (8, 1), (32, 1)];
    if !is_sound(spec) {
        return Vec::new();
    }
    let has = |wanted: fn(&Dim) -> bool| spec.inputs.iter().flat_map(|i| &i.dims).any(wanted);
    let longest = spec.max_length.unwrap_or(DEFAULT_LENGTH).max(1);
    let mut shapes = match has(|dim| *dim == Dim::Length) {
        true => [&BY_LENGTH[..], &[(1, longest)]].concat(),
        false => BY_ROWS.to_vec(),
    };
    shapes.retain(|(rows, len)| (spec.batchable || *rows == 1) && *len <= longest);
    shapes.into_iter().map(|(rows, len)| Cell { rows, len }).collect()
}

/// Every combination of some batch sizes and lengths within the usual limits: on a GPU a shape is cheap to
/// run, and dear when it is new.
fn gpu_cells(spec: &ModelSpec) -> Vec<Cell> {
    const ROWS: [u32; 6] = [1, 2, 4, 8, 16, 32];
    const LENGTHS: [u32; 6] = [8, 32, 64, 128, 256, 512];
    if !is_sound(spec) {
        return Vec::new();
    }
    let has = |wanted: fn(&Dim) -> bool| spec.inputs.iter().flat_map(|i| &i.dims).any(wanted);
    let longest = spec.max_length.unwrap_or(DEFAULT_LENGTH).max(1);
    let lengths: Vec<u32> = match has(|dim| *dim == Dim::Length) {
        true => LENGTHS.into_iter().filter(|len| *len < longest).chain([longest]).collect(),
        false => vec![1],
    };
    let rows = ROWS.into_iter().filter(|rows| spec.batchable || *rows == 1);
    let cells = rows.flat_map(|rows| lengths.iter().map(move |len| Cell { rows, len: *len }));
    cells.filter(|cell| cell.rows == 1 || cell.work() <= u64::from(GPU_TOKENS)).collect()
}

#[cfg(test)]
mod tests;
