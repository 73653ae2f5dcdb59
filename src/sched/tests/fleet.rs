//! Several devices in virtual time, on a GPU-like curve: what many do together, and what the rest does
//! when one is slow, short of memory or gone.

use super::world::MODEL;
use crate::policy::{PolicySet, Strategy};
use crate::sched::*;
use crate::types::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

mod conditions;
mod equal;
mod unequal;

/// Milliseconds of a batch on a device of speed 1: flat, then linear, then worse.
fn gpu(rows: u32, len: u32) -> f64 {
    let (rows, len) = (f64::from(rows), f64::from(len));
    (0.8 + 0.004 * rows * len + 9.2e-7 * rows * len * len).max(2.5)
}

/// What the warm-up runs.
const SHAPES: [(u32, u32); 9] =
    [(64, 256), (16, 512), (32, 128), (64, 64), (8, 256), (64, 16), (8, 32), (1, 64), (1, 8)];

/// One device of a fleet.
#[derive(Debug, Clone)]
struct Unit {
    /// How many times slower than the curve.
    slow: f64,
    busy: Duration,
    rows: u64,
    batches: Vec<Ran>,
    lost: bool,
}

/// A batch that ran.
#[derive(Debug, Clone, Copy)]
struct Ran {
    at: Time,
    padded: u32,
    why: Release,
}

/// Devices with one worker each, and what became of the requests.
struct Fleet {
    sched: Scheduler,
    now: Time,
    start: Time,
    units: Vec<Unit>,
    running: Vec<(Time, Duration, Dispatch)>,
    waiting: HashMap<RequestId, Time>,
    /// When each answered request arrived, and how long it took.
    latencies: Vec<(Time, Duration)>,
    failed: u64,
    next: u64,
    random: u64,
}

fn policies() -> Arc<PolicySet> {
    super::world::preset(Strategy::Adaptive)
}

impl Fleet {
    /// Devices so many times slower than the curve each, warmed up on it.
    fn new(slow: &[f64]) -> Self {
        let mut fleet = Self::cold(slow);
        (0..slow.len()).for_each(|device| fleet.warm_up(device, &SHAPES));
        fleet
    }

    /// The same, never measured.
    fn cold(slow: &[f64]) -> Self {
        let now = Time::from_millis(1000);
        let mut sched = Scheduler::new(policies());
        sched.handle_model(MODEL, Some(ModelLimits { name: "m".into(), batchable: true }), now);
        let unit = |&slow: &f64| Unit { slow, busy: Duration::ZERO, rows: 0, batches: Vec::new(), lost: false };
        let mut fleet = Self {
            sched,
            now,
            start: now,
            units: slow.iter().map(unit).collect(),
            running: Vec::new(),
            waiting: HashMap::new(),
            latencies: Vec::new(),
            failed: 0,
            next: 1,
            random: 0x9E37_79B9_7F4A_7C15,
        };
        for device in 0..slow.len() {
            fleet.up(device);
        }
        fleet
    }

    fn up(&mut self, device: usize) {
        let (worker, device) = (WorkerId(device as u32), DeviceId(device as u32));
        let up = WorkerState::Up { model: MODEL, device, grid: Grid::Stepped };
        self.sched.handle_worker(worker, up, self.now);
        self.sched.handle_worker(worker, WorkerState::Ready, self.now);
    }

    fn warm_up(&mut self, device: usize, shapes: &[(u32, u32)]) {
        for &(rows, len) in shapes {
            let compute = Duration::from_nanos((gpu(rows, len) * self.units[device].slow * 1e6) as u64);
            let run = Measured { rows, len, busy: 1, compute };
            self.sched.handle_measured(WorkerId(device as u32), &run, self.now);
        }
    }

    /// Evenly spread over 0 to 1, the same every time.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 70 % queries of about 12 tokens, 30 % documents of about 160, at most 512.
    fn length(&mut self) -> u32 {
        let median = if self.random() < 0.7 { 12.0 } else { 160.0 };
        let spread = (0..4).map(|_| self.random()).sum::<f64>() - 2.0;
        (median * spread.exp()).round().clamp(1.0, 512.0) as u32
    }

    fn arrive(&mut self) {
        let (request, len) = (RequestId(self.next), self.length());
        self.next += 1;
        let (tenant, items) = (Arc::from(""), [Item { rows: 1, len, bytes: 0, class: ShapeClass(1) }]);
        let (priority, deadline) = (Priority(0), None);
        let arrival = Arrival { request, model: MODEL, tenant: &tenant, priority, deadline, items: &items };
        self.sched.handle_arrival(&arrival, self.now).expect("accepted");
        self.waiting.insert(request, self.now);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.sched.poll_output() {
            match output {
                Output::Dispatch(batch) => {
                    let noise = 0.9 + 0.2 * self.random();
                    let unit = &mut self.units[batch.worker.0 as usize];
                    assert!(!unit.lost, "a lost device is given nothing");
                    let took = gpu(batch.rows, batch.padded_len) * unit.slow * noise;
                    let took = Duration::from_nanos((took * 1e6) as u64);
                    unit.batches.push(Ran { at: self.now, padded: batch.rows * batch.padded_len, why: batch.why });
                    self.running.push((self.now + took, took, batch));
                }
                Output::Fail { .. } => self.failed += 1,
                Output::Fallback { .. } | Output::Suspect { .. } => unreachable!("nothing fails here"),
            }
        }
        let due = self.sched.poll_timeout();
        assert!(due.is_none_or(|t| t > self.now), "{due:?} at {:?}", self.now);
    }

    /// Ends the first batch; answers its rows.
    fn end(&mut self, at: usize) -> u32 {
        let (end, compute, batch) = self.running.swap_remove(at);
        self.now = end;
        let unit = &mut self.units[batch.worker.0 as usize];
        unit.busy += compute;
        unit.rows += u64::from(batch.rows);
        self.sched
            .handle_batch_done(&BatchReport { batch: batch.batch, reused: 0, compute, outcome: BatchOutcome::Ok }, end);
        self.sched.handle_worker(batch.worker, WorkerState::Ready, end);
        for (request, _) in &batch.items {
            let arrived = self.waiting.remove(request).expect("answered once");
            self.latencies.push((arrived, end.since(arrived)));
        }
        batch.rows
    }

    /// Does what is next to happen before `until`; whether anything was, and how many rows ended with it.
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

    /// Poisson arrivals of so many rows a second, for so long.
    fn open_loop(&mut self, rate: f64, time: Duration) {
        let until = self.now + time;
        let mut next = self.now;
        loop {
            next = next + Duration::from_secs_f64(-(1.0 - self.random()).ln() / rate);
            while self.step(next.min(until)).is_some() {}
            if next >= until {
                break;
            }
            self.now = next;
            self.arrive();
        }
        self.now = until;
    }

    /// Clients that each send their next row when they have their answer; rows a second.
    fn closed_loop(&mut self, clients: u32, rows: u32) -> f64 {
        let (start, mut served) = (self.now, 0);
        (0..clients).for_each(|_| self.arrive());
        while served < rows {
            let ended = self.step(Time::NEVER).expect("a closed loop is never idle");
            (0..ended).for_each(|_| self.arrive());
            served += ended;
        }
        f64::from(served) / self.now.since(start).as_secs_f64()
    }

    /// Lets everything that waits be answered.
    fn settle(&mut self) {
        while self.step(Time::NEVER).is_some() {}
        assert!(self.waiting.is_empty() && self.sched.is_idle());
    }

    /// The part of requests that took longest but for one in a hundred, among those that arrived since.
    fn p99(&self, since: Time) -> Duration {
        let mut of: Vec<Duration> = self.latencies.iter().filter(|(at, _)| *at >= since).map(|(_, l)| *l).collect();
        of.sort_unstable();
        of[of.len() * 99 / 100]
    }

    /// The share of its time that each device was busy.
    fn utilisation(&self) -> Vec<f64> {
        let time = self.now.since(self.start).as_secs_f64();
        self.units.iter().map(|u| u.busy.as_secs_f64() / time).collect()
    }

    fn condition(&mut self, device: usize, memory_scarce: bool, throttled: bool) {
        let condition = DeviceCondition { memory_scarce, throttled };
        self.sched.handle_device(DeviceId(device as u32), condition, self.now);
    }

    fn lose(&mut self, device: usize) {
        self.units[device].lost = true;
        self.running.retain(|(.., batch)| batch.worker.0 as usize != device);
        self.sched.handle_worker(WorkerId(device as u32), WorkerState::Lost, self.now);
    }

    fn come_back(&mut self, device: usize) {
        self.units[device].lost = false;
        self.up(device);
    }

    /// Padded tokens that each device began to run meanwhile.
    fn tokens_during<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> (T, Vec<u32>) {
        let before: Vec<usize> = self.units.iter().map(|u| u.batches.len()).collect();
        let result = run(self);
        let tokens = |(u, from): (&Unit, usize)| u.batches[from..].iter().map(|b| b.padded).sum();
        (result, self.units.iter().zip(before).map(tokens).collect())
    }
}
