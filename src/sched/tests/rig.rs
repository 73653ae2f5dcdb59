//! One device in virtual time under a stream of single rows: what ran, and who was answered in time.

use super::curves::{Curve, Draw};
use super::world::{DEVICE, MODEL};
use crate::policy::PolicySet;
use crate::sched::*;
use crate::types::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A batch that ended, when, and how long it took.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) batch: Dispatch,
    pub(super) took: Duration,
    pub(super) ended: Time,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    pub(super) len: u32,
    /// How long its answer took; `None` where it was refused or failed.
    pub(super) took: Option<Duration>,
}

pub(super) struct Rig {
    pub(super) sched: Scheduler,
    pub(super) now: Time,
    pub(super) curve: Curve,
    /// How many times slower than the curve it runs.
    pub(super) slow: f64,
    /// How far a run may be off the curve, either way.
    pub(super) noise: f64,
    pub(super) draw: Draw,
    /// Draws the next row's length.
    pub(super) length: fn(&mut Draw) -> u32,
    /// How long each row's answer is wanted for.
    pub(super) deadline: Option<Duration>,
    pub(super) ran: Vec<Ran>,
    pub(super) gone: Vec<Gone>,
    /// Accepted, and given up before they ran.
    pub(super) missed: u32,
    pub(super) refused: u32,
    running: Vec<(Time, Ran)>,
    waiting: BTreeMap<RequestId, (Time, u32)>,
    next: u64,
}

impl Rig {
    /// A cold device.
    pub(super) fn new(policies: Arc<PolicySet>, workers: u32, grid: Grid, curve: Curve) -> Self {
        let now = Time::from_millis(1000);
        let mut sched = Scheduler::new(policies);
        sched.handle_model(MODEL, Some(ModelLimits { name: "m".into(), batchable: true }), now);
        for worker in (0..workers).map(WorkerId) {
            sched.handle_worker(worker, WorkerState::Up { model: MODEL, device: DEVICE, grid }, now);
            sched.handle_worker(worker, WorkerState::Ready, now);
        }
        Self {
            sched,
            now,
            curve,
            slow: 1.0,
            noise: 0.1,
            draw: Draw(0x5EED_0000_0001),
            length: Draw::length,
            deadline: None,
            ran: Vec::new(),
            gone: Vec::new(),
            missed: 0,
            refused: 0,
            running: Vec::new(),
            waiting: BTreeMap::new(),
            next: 1,
        }
    }

    /// Lets it measure the curve, or one `off` times as slow.
    pub(super) fn warm_up(&mut self, workers: u32, off: f64) {
        for (rows, len) in [(64, 256), (16, 512), (32, 128), (64, 64), (8, 256), (64, 16), (8, 32), (1, 64), (1, 8)] {
            let compute = Duration::from_nanos(((self.curve)(rows, len) * off) as u64);
            for busy in 1..=workers {
                self.sched.handle_measured(WorkerId(0), &Measured { rows, len, busy, compute }, self.now);
            }
        }
    }

    pub(super) fn arrive(&mut self) {
        let (request, len, at) = (RequestId(self.next), (self.length)(&mut self.draw), self.now);
        self.next += 1;
        let (tenant, items) = (Arc::from(""), [Item { rows: 1, len, bytes: 0, class: ShapeClass(1) }]);
        let deadline = self.deadline.map(|d| at + d);
        let arrival =
            Arrival { request, model: MODEL, tenant: &tenant, priority: Priority(0), deadline, items: &items };
        match self.sched.handle_arrival(&arrival, at) {
            Ok(()) => {
                self.waiting.insert(request, (at, len));
            }
            Err(_) => {
                self.refused += 1;
                self.gone.push(Gone { len, took: None });
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.sched.poll_output() {
            match output {
                Output::Dispatch(batch) => {
                    let noise = 1.0 + self.noise * (2.0 * self.draw.even() - 1.0);
                    let ns = (self.curve)(batch.rows, batch.padded_len) * self.slow * noise;
                    let took = Duration::from_nanos(ns as u64);
                    let ended = self.now + took;
                    self.running.push((ended, Ran { batch, took, ended }));
                }
                Output::Fail { request, reason } => {
                    self.missed += u32::from(matches!(reason, FailReason::PredictedMiss { .. }));
                    let (_, len) = self.waiting.remove(&request).expect("failed once");
                    self.gone.push(Gone { len, took: None });
                }
                Output::Suspect { .. } | Output::Fallback { .. } => unreachable!("no batch and no script fails"),
            }
        }
    }

    /// Ends the first batch; answers its rows.
    fn end(&mut self, first: usize) -> u32 {
        let (end, ran) = self.running.swap_remove(first);
        self.now = end;
        let report = BatchReport { batch: ran.batch.batch, reused: 0, compute: ran.took, outcome: BatchOutcome::Ok };
        self.sched.handle_batch_done(&report, end);
        self.sched.handle_worker(ran.batch.worker, WorkerState::Ready, end);
        for (request, _) in &ran.batch.items {
            // One that expired meanwhile has failed.
            if let Some((at, len)) = self.waiting.remove(request) {
                self.gone.push(Gone { len, took: Some(end.since(at)) });
            }
        }
        let rows = ran.batch.rows;
        self.ran.push(ran);
        rows
    }

    /// Does what is next to happen by `until`; how many rows ended with it.
    fn step(&mut self, until: Time) -> Option<u32> {
        self.carry_out();
        let first = (0..self.running.len()).min_by_key(|&i| self.running[i].0);
        let end = first.map_or(Time::NEVER, |i| self.running[i].0);
        let timer = self.sched.poll_timeout().unwrap_or(Time::NEVER);
        let next = end.min(timer);
        if next > until || next == Time::NEVER {
            return None;
        }
        match first.filter(|_| end <= timer) {
            Some(first) => Some(self.end(first)),
            None => {
                self.now = timer;
                self.sched.handle_timeout(timer);
                Some(0)
            }
        }
    }

    /// Poisson arrivals of so many rows a second, for so many seconds.
    pub(super) fn open_loop(&mut self, rate: f64, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        let mut next = self.now;
        loop {
            next = next + Duration::from_secs_f64(self.draw.gap() / rate);
            while self.step(next.min(until)).is_some() {}
            if next >= until {
                break;
            }
            self.now = next;
            self.arrive();
        }
        self.now = until;
    }

    /// Clients that each send their next row when they have their answer, for so many batches.
    pub(super) fn closed_loop(&mut self, clients: u32, batches: usize) {
        (self.waiting.len()..clients as usize).for_each(|_| self.arrive());
        let last = self.ran.len() + batches;
        while self.ran.len() < last {
            let ended = self.step(Time::NEVER).expect("a closed loop is never idle");
            (0..ended).for_each(|_| self.arrive());
        }
    }

    /// Lets everything that waits be answered.
    pub(super) fn settle(&mut self) {
        while self.step(Time::NEVER).is_some() {}
        assert!(self.waiting.is_empty() && self.sched.is_idle());
    }

    /// The share of all rows that was answered within so long.
    pub(super) fn within(&self, target: Duration) -> f64 {
        let good = self.gone.iter().filter(|g| g.took.is_some_and(|t| t <= target)).count();
        good as f64 / self.gone.len().max(1) as f64
    }

    /// A quantile of the answers' times, in ms, of rows of these lengths.
    pub(super) fn quantile(&self, lengths: std::ops::RangeInclusive<u32>, q: f64) -> f64 {
        let counts = |g: &&Gone| lengths.contains(&g.len);
        let mut took: Vec<Duration> = self.gone.iter().filter(counts).filter_map(|g| g.took).collect();
        took.sort_unstable();
        took[(took.len() as f64 * q) as usize].as_secs_f64() * 1e3
    }

    /// Useful tokens ÷ padded tokens of batches that ended since the `from`th.
    pub(super) fn efficiency(&self, from: usize) -> f64 {
        let sum = |count: fn(&Dispatch) -> u64| self.ran[from..].iter().map(|r| count(&r.batch)).sum::<u64>() as f64;
        sum(|d| d.tokens) / sum(|d| u64::from(d.rows) * u64::from(d.padded_len))
    }
}
