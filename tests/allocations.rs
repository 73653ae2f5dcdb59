//! Deciding allocates nothing once it has seen its load: a queue that keeps its depth, tenants and deadlines.

use inferneo::policy::{Policy, PolicySet, QueueBytes, Strategy};
use inferneo::sched::{
    Arrival, BatchOutcome, BatchReport, Dispatch, Grid, Item, Measured, ModelLimits, Output, Scheduler, WorkerState,
};
use inferneo::types::{DeviceId, ModelId, Priority, RequestId, ShapeClass, Time, WorkerId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const MODEL: ModelId = ModelId(0);
const WORKERS: u32 = 2;
const WAITING: u64 = 2_000;

/// A scheduler under a load that repeats itself.
struct Bed {
    sched: Scheduler,
    tenants: Vec<Arc<str>>,
    now: Time,
    next: u64,
    waiting: u64,
    running: VecDeque<Dispatch>,
}

/// Nanoseconds of a run.
fn cost(rows: u32, len: u32) -> u64 {
    500_000 + 60_000 * u64::from(rows) * u64::from(len)
}

impl Bed {
    fn new(strategy: Strategy, grid: Grid) -> Self {
        let mut policy = Policy::preset("p", strategy);
        policy.queue.max_rows = u32::MAX;
        policy.queue.max_bytes = QueueBytes::Most(u64::MAX);
        policy.queue.priority_levels = 3;
        let mut sched = Scheduler::new(Arc::new(PolicySet::single(policy, 1)));
        sched.handle_model(MODEL, Some(ModelLimits { name: "m".into(), batchable: true }), Time(1));
        for worker in (0..WORKERS).map(WorkerId) {
            sched.handle_worker(worker, WorkerState::Up { model: MODEL, device: DeviceId(0), grid }, Time(1));
            for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256), (4, 256)] {
                let compute = Duration::from_nanos(cost(rows, len));
                sched.handle_measured(worker, &Measured { rows, len, busy: WORKERS, compute }, Time(1));
            }
            sched.handle_worker(worker, WorkerState::Ready, Time(1));
        }
        let tenants: Vec<Arc<str>> = (0..100).map(|i| format!("tenant-{i}").into()).collect();
        sched.handle_tenants(Arc::new(tenants.iter().cloned().collect()), Time(1));
        Self { sched, tenants, now: Time(1), next: 0, waiting: 0, running: VecDeque::with_capacity(8) }
    }

    /// The requests of a cycle of 700: lengths, tenants, priorities and deadlines repeat.
    fn arrive(&mut self) {
        let i = self.next % 700;
        self.next += 1;
        self.now = self.now + Duration::from_micros(100);
        let len = if i % 10 < 7 { 5 + (i * 7 % 16) as u32 } else { 40 + (i * 13 % 190) as u32 };
        let items = [Item { rows: 1, len, bytes: 4 * len, class: ShapeClass(1) }];
        let arrival = Arrival {
            request: RequestId(self.next),
            model: MODEL,
            tenant: &self.tenants[(i * 31 % 100) as usize],
            priority: Priority(1 + (i % 3) as u32),
            // Far enough off to be met, and out of order.
            deadline: Some(self.now + Duration::from_secs(3_600 + i * 37 % 100)),
            items: &items,
        };
        self.sched.handle_arrival(&arrival, self.now).expect("the queue is unbounded");
        self.waiting += 1;
    }

    /// Takes a cycle of requests in and lets as many out.
    fn round(&mut self) {
        for _ in 0..700 {
            self.arrive();
            self.dispatch();
        }
        while self.waiting > WAITING {
            let Some(batch) = self.running.pop_front() else {
                // What is held back is due at some time.
                self.now = self.sched.poll_timeout().expect("something waits");
                self.sched.handle_timeout(self.now);
                self.dispatch();
                continue;
            };
            let compute = Duration::from_nanos(cost(batch.rows, batch.padded_len));
            let report = BatchReport { batch: batch.batch, reused: 0, compute, outcome: BatchOutcome::Ok };
            self.sched.handle_batch_done(&report, self.now);
            self.sched.handle_worker(batch.worker, WorkerState::Ready, self.now);
            self.sched.reclaim(batch.items);
            self.dispatch();
        }
    }

    fn dispatch(&mut self) {
        while let Some(output) = self.sched.poll_output() {
            let Output::Dispatch(batch) = output else { panic!("nothing fails here") };
            self.waiting -= u64::from(batch.rows);
            self.running.push_back(batch);
        }
    }
}

#[test]
fn deciding_allocates_nothing_in_the_steady_state() {
    for strategy in Strategy::ALL.into_iter().filter(|s| s.name() != "custom") {
        for grid in [Grid::Exact, Grid::Stepped] {
            let mut bed = Bed::new(strategy, grid);
            // Every queue and table has grown to its size.
            (0..120).for_each(|_| bed.round());
            let counted = allocation_counter::measure(|| (0..20).for_each(|_| bed.round()));
            assert_eq!(counted.count_total, 0, "{} {grid:?}: {counted:?} in 14 000 requests", strategy.name());
        }
    }
}
