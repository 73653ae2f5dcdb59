//! How near predictions come to the runs that an adaptive scheduler really makes, in virtual time: a closed
//! loop on a measured CPU, a GPU-like curve and one with steps, with even noise and with outliers.

use crate::policy::Strategy;
use crate::sched::tests::saturation;
use crate::sched::tests::world::{MODEL, preset};
use crate::sched::*;
use crate::types::*;
use std::sync::Arc;
use std::time::Duration;

/// A machine: what a run takes there, in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    workers: u32,
    grid: Grid,
    clients: usize,
    time: fn(rows: u32, len: u32) -> f64,
}

/// The measured CPU: superlinear past a knee.
pub(super) const CPU: Machine = Machine { workers: 2, grid: Grid::Exact, clients: 64, time: saturation::curve };
/// Flat, then linear, then worse.
pub(super) const GPU: Machine = Machine { workers: 1, grid: Grid::Stepped, clients: 192, time: gpu };
/// Each started block of 512 padded tokens costs a whole one.
pub(super) const STEPPED: Machine = Machine { workers: 1, grid: Grid::Exact, clients: 64, time: stepped };

fn gpu(rows: u32, len: u32) -> f64 {
    let (rows, len) = (f64::from(rows), f64::from(len));
    1e6 * (0.8 + 0.004 * rows * len + 9.2e-7 * rows * len * len).max(2.5)
}

fn stepped(rows: u32, len: u32) -> f64 {
    1e6 * (1.0 + 4.0 * f64::from((rows * len).div_ceil(512)))
}

/// A factor on each run's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Noise {
    /// ± 10 %.
    Even,
    /// ± 10 %, and one run of fifty takes 3 to 10 times as long.
    Outliers,
}

/// One run beside what was said of it when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub(super) predicted: f64,
    pub(super) margin: f64,
    pub(super) took: f64,
}

/// A closed loop on a machine.
pub(super) struct Loop {
    machine: Machine,
    noise: Noise,
    random: u64,
    pub(super) sched: Scheduler,
    pub(super) now: Time,
    next: u64,
    running: Vec<(Time, Duration, Dispatch)>,
    /// How many times slower than its curve the machine is.
    pub(super) slow: f64,
    pub(super) runs: Vec<Ran>,
}

impl Loop {
    pub(super) fn new(machine: Machine, noise: Noise, seed: u64) -> Self {
        let now = Time::from_millis(1);
        let mut sched = Scheduler::new(preset(Strategy::Adaptive));
        sched.handle_model(MODEL, Some(ModelLimits { name: "m".into(), batchable: true }), now);
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (running, runs) = (Vec::new(), Vec::new());
        let mut all = Self { machine, noise, random, sched, now, next: 0, running, slow: 1.0, runs };
        for worker in (0..machine.workers).map(WorkerId) {
            let up = WorkerState::Up { model: MODEL, device: DeviceId(0), grid: machine.grid };
            all.sched.handle_worker(worker, up, now);
            for (rows, len) in
                [(1, 8), (8, 8), (32, 8), (1, 32), (8, 32), (1, 64), (4, 64), (1, 128), (4, 128), (1, 256)]
            {
                let compute = all.took(rows, len);
                all.sched.handle_measured(worker, &Measured { rows, len, busy: machine.workers, compute }, now);
            }
            all.sched.handle_worker(worker, WorkerState::Ready, now);
        }
        (0..machine.clients).for_each(|_| all.arrive());
        all
    }

    pub(super) fn cost(&self) -> &CostModel {
        self.sched.costs(MODEL).next().expect("one device").1
    }

    /// What a run of this shape takes without noise.
    pub(super) fn truth(&self, rows: u32, len: u32) -> f64 {
        self.slow * (self.machine.time)(rows, len)
    }

    /// Runs so many batches more.
    pub(super) fn run(&mut self, batches: usize) {
        let end = self.runs.len() + batches;
        while self.runs.len() < end {
            self.step();
        }
    }

    pub(super) fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn took(&mut self, rows: u32, len: u32) -> Duration {
        let even = 0.9 + 0.2 * self.random();
        let outlier = self.noise == Noise::Outliers && self.random() < 0.02;
        let factor = if outlier { 3.0 + 7.0 * self.random() } else { even };
        Duration::from_nanos((self.truth(rows, len) * factor) as u64)
    }

    /// 70 % rows of about 12 tokens and 30 % of about 160.
    fn arrive(&mut self) {
        self.next += 1;
        let median = if self.random() < 0.7 { 12.0 } else { 160.0 };
        let spread = (0..4).map(|_| self.random()).sum::<f64>() - 2.0;
        let len = (median * spread.exp()).round().clamp(1.0, 512.0) as u32;
        let items = [Item { rows: 1, len, bytes: 0, class: ShapeClass(1) }];
        let (request, tenant) = (RequestId(self.next), Arc::from(""));
        let arrival =
            Arrival { request, model: MODEL, tenant: &tenant, priority: Priority(0), deadline: None, items: &items };
        self.sched.handle_arrival(&arrival, self.now).expect("accepted");
    }

    fn step(&mut self) {
        while let Some(Output::Dispatch(batch)) = self.sched.poll_output() {
            let took = self.took(batch.rows, batch.padded_len);
            let (cost, busy) = (self.cost(), self.running.len() as u32 + 1);
            let predicted = cost.predict(batch.rows, batch.padded_len, busy);
            self.runs.push(Ran { predicted, margin: cost.margin(), took: took.as_nanos() as f64 });
            self.running.push((self.now + took, took, batch));
        }
        let first = (0..self.running.len()).min_by_key(|&i| self.running[i].0);
        let due = self.sched.poll_timeout();
        let end = first.map_or(Time::NEVER, |i| self.running[i].0);
        if let Some(due) = due.filter(|due| *due < end) {
            self.now = due;
            return self.sched.handle_timeout(due);
        }
        let (end, compute, batch) = self.running.swap_remove(first.expect("a closed loop is never idle"));
        self.now = end;
        self.sched
            .handle_batch_done(&BatchReport { batch: batch.batch, reused: 0, compute, outcome: BatchOutcome::Ok }, end);
        self.sched.handle_worker(batch.worker, WorkerState::Ready, end);
        (0..batch.rows).for_each(|_| self.arrive());
    }
}

/// The median of |predicted − measured| ÷ measured.
pub(super) fn median_error(runs: &[Ran]) -> f64 {
    let mut errors: Vec<f64> = runs.iter().map(|r| (r.predicted / r.took - 1.0).abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    errors[errors.len() / 2]
}

fn coverage(runs: &[Ran]) -> f64 {
    runs.iter().filter(|r| r.took <= r.predicted * r.margin).count() as f64 / runs.len() as f64
}

fn is_accurate_on(machine: Machine) {
    for (noise, seed) in [(Noise::Even, 1), (Noise::Even, 2), (Noise::Outliers, 3), (Noise::Outliers, 4)] {
        let mut all = Loop::new(machine, noise, seed);
        all.run(2600);
        let last = &all.runs[600..];
        let (error, coverage, cost) = (median_error(last), coverage(last), all.cost());
        let case = format!("{noise:?} {seed}: median error {error:.3}, coverage {coverage:.3}");
        println!("{case}, margin {:.2}", cost.margin());
        assert!(error < 0.1, "{case}");
        assert!((0.93..=0.97).contains(&coverage), "{case}");
        let known = (cost.median_error().expect("runs"), cost.coverage_ratio().expect("runs"));
        assert!(known.0 < 0.1 && (0.9..=0.99).contains(&known.1), "what it knows of itself: {known:?}");
    }
}

#[test]
fn on_a_measured_cpu_predictions_come_within_a_tenth_and_the_margin_holds() {
    is_accurate_on(CPU);
}

#[test]
fn on_a_gpu_predictions_come_within_a_tenth_and_the_margin_holds() {
    is_accurate_on(GPU);
}

#[test]
fn on_a_curve_with_steps_predictions_come_within_a_tenth_and_the_margin_holds() {
    is_accurate_on(STEPPED);
}
