//! What deciding costs: nanoseconds a request for its arrival, its share of a batch's formation and
//! its end, with 1 000 to 100 000 items waiting, for one worker and for eight devices of two each; and with
//! deadlines and 100 tenants.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inferneo::policy::{Policy, PolicySet, QueueBytes, Strategy};
use inferneo::sched::{
    Arrival, BatchOutcome, BatchReport, Dispatch, Grid, Item, Measured, ModelLimits, Output, Scheduler, WorkerState,
};
use inferneo::types::{DeviceId, ModelId, Priority, RequestId, ShapeClass, Time, WorkerId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const MODEL: ModelId = ModelId(0);
/// Requests a measured round takes in and lets out.
const ROUND: u64 = 1024;

/// What is measured.
struct Scene {
    name: &'static str,
    strategy: Strategy,
    /// Devices, and workers of each.
    fleet: [u32; 2],
    tenants: usize,
    deadline: Option<Duration>,
}

/// Far enough off to be met by all that wait.
const DEADLINE: Option<Duration> = Some(Duration::from_secs(10_000));

const SCENES: [Scene; 5] = [
    Scene::new("adaptive", Strategy::Adaptive, [1, 1]),
    Scene { tenants: 100, deadline: DEADLINE, ..Scene::new("adaptive, 100 tenants", Strategy::Adaptive, [1, 1]) },
    Scene::new("adaptive on 8 x 2", Strategy::Adaptive, [8, 2]),
    Scene {
        tenants: 100,
        deadline: DEADLINE,
        ..Scene::new("adaptive on 8 x 2, 100 tenants", Strategy::Adaptive, [8, 2])
    },
    Scene::new("fixed_size", Strategy::FixedSize, [1, 1]),
];

impl Scene {
    const fn new(name: &'static str, strategy: Strategy, fleet: [u32; 2]) -> Self {
        Self { name, strategy, fleet, tenants: 0, deadline: None }
    }
}

/// A scheduler with many items waiting, in steady state.
struct Bed {
    sched: Scheduler,
    /// Who sends, in turn.
    tenants: Vec<Arc<str>>,
    deadline: Option<Duration>,
    now: Time,
    next: u64,
    random: u64,
    waiting: u64,
    /// How many are to wait.
    level: u64,
    /// Every worker has one, while enough waits.
    running: VecDeque<Dispatch>,
}

impl Bed {
    fn new(waiting: u64, scene: &Scene) -> Self {
        let [devices, workers] = scene.fleet;
        let mut policy = Policy::preset("bench", scene.strategy);
        policy.queue.max_rows = u32::MAX;
        policy.queue.max_bytes = QueueBytes::Most(u64::MAX);
        let mut sched = Scheduler::new(Arc::new(PolicySet::single(policy, 1)));
        let limits = ModelLimits { name: "m".into(), batchable: true };
        sched.handle_model(MODEL, Some(limits), Time(1));
        let all = || (0..devices * workers).map(WorkerId);
        for worker in all() {
            let up = WorkerState::Up { model: MODEL, device: DeviceId(worker.0 / workers), grid: Grid::Exact };
            sched.handle_worker(worker, up, Time(1));
            for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256), (4, 256)] {
                let compute = Duration::from_nanos(cost(rows, len));
                sched.handle_measured(worker, &Measured { rows, len, busy: workers, compute }, Time(1));
            }
        }
        let tenants: Vec<Arc<str>> = (0..scene.tenants).map(|i| format!("tenant-{i}").into()).collect();
        sched.handle_tenants(Arc::new(tenants.iter().cloned().collect()), Time(1));
        let tenants = if tenants.is_empty() { vec!["".into()] } else { tenants };
        let (deadline, random) = (scene.deadline, 0x9E37_79B9_7F4A_7C15);
        let (now, running) = (Time(1), VecDeque::new());
        let mut bed = Self { sched, tenants, deadline, now, next: 1, random, waiting: 0, level: waiting, running };
        while bed.waiting < waiting {
            bed.arrive();
        }
        for worker in all() {
            bed.sched.handle_worker(worker, WorkerState::Ready, bed.now);
        }
        bed.dispatch();
        bed
    }

    /// 70 % short rows of about 12 tokens, 30 % long ones of 40 to 230.
    fn length(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let r = (self.random >> 33) as u32;
        if r % 10 < 7 { 5 + r % 16 } else { 40 + r % 190 }
    }

    fn arrive(&mut self) {
        let len = self.length();
        self.now = self.now + Duration::from_micros(100);
        let items = [Item { rows: 1, len, bytes: len * 4, class: ShapeClass(1) }];
        let arrival = Arrival {
            request: RequestId(self.next),
            model: MODEL,
            tenant: &self.tenants[(self.random >> 40) as usize % self.tenants.len()],
            priority: Priority(0),
            deadline: self.deadline.map(|d| self.now + d),
            items: &items,
        };
        self.next += 1;
        self.sched.handle_arrival(&arrival, self.now).expect("the queue is unbounded");
        self.waiting += 1;
    }

    /// Takes in a round of requests; a batch ends whenever more wait than are to.
    fn round(&mut self) {
        for _ in 0..ROUND {
            self.arrive();
            self.end_batches();
        }
    }

    fn end_batches(&mut self) {
        while self.waiting > self.level {
            let batch = self.running.pop_front().expect("a full queue keeps every worker busy");
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

/// A CPU's nanoseconds: 0.5 ms a run and 60 µs a padded token.
fn cost(rows: u32, len: u32) -> u64 {
    500_000 + 60_000 * u64::from(rows) * u64::from(len)
}

fn deciding(c: &mut Criterion) {
    let mut group = c.benchmark_group("sched");
    group.throughput(Throughput::Elements(ROUND)).sample_size(20);
    for waiting in [1_000, 10_000, 100_000] {
        for scene in &SCENES {
            let mut bed = Bed::new(waiting, scene);
            group.bench_function(BenchmarkId::new(scene.name, waiting), |b| b.iter(|| bed.round()));
        }
    }
    group.finish();
}

criterion_group!(benches, deciding);
criterion_main!(benches);
