//! What deciding costs: nanoseconds a request for its arrival, its share of a batch's formation and
//! its end, with 1 000 to 100 000 items waiting.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inferneo::policy::{Policy, PolicySet, Strategy};
use inferneo::sched::{
    Arrival, BatchOutcome, BatchReport, Grid, Item, Measured, ModelLimits, Output, Scheduler, WorkerState,
};
use inferneo::types::{DeviceId, ModelId, Priority, RequestId, ShapeClass, Time, WorkerId};
use std::sync::Arc;
use std::time::Duration;

const MODEL: ModelId = ModelId(0);
/// Requests a measured round takes in and lets out.
const ROUND: u64 = 1024;

/// A scheduler with many items waiting, in steady state.
struct Bed {
    sched: Scheduler,
    tenant: Arc<str>,
    now: Time,
    next: u64,
    random: u64,
    waiting: u64,
}

impl Bed {
    fn new(waiting: u64, strategy: Strategy) -> Self {
        let mut policy = Policy::preset("bench", strategy);
        policy.queue.max_rows = u32::MAX;
        policy.queue.max_bytes = u64::MAX;
        let mut sched = Scheduler::new(Arc::new(PolicySet::single(policy, 1)));
        let limits = ModelLimits { name: "m".into(), batchable: true };
        sched.handle_model(MODEL, Some(limits), Time(1));
        sched.handle_worker(
            WorkerId(0),
            WorkerState::Up { model: MODEL, device: DeviceId(0), grid: Grid::Exact },
            Time(1),
        );
        for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256), (4, 256)] {
            let compute = Duration::from_nanos(cost(rows, len));
            sched.handle_measured(WorkerId(0), &Measured { rows, len, busy: 1, compute }, Time(1));
        }
        let (tenant, random) = ("".into(), 0x9E37_79B9_7F4A_7C15);
        let mut bed = Self { sched, tenant, now: Time(1), next: 1, random, waiting: 0 };
        while bed.waiting < waiting {
            bed.arrive();
        }
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
            tenant: &self.tenant,
            priority: Priority(0),
            deadline: None,
            items: &items,
        };
        self.next += 1;
        self.sched.handle_arrival(&arrival, self.now).expect("the queue is unbounded");
        self.waiting += 1;
    }

    /// Takes in a round of requests and lets as many out.
    fn round(&mut self) {
        let level = self.waiting;
        for _ in 0..ROUND {
            self.arrive();
        }
        while self.waiting > level {
            self.sched.handle_worker(WorkerId(0), WorkerState::Ready, self.now);
            let Some(Output::Dispatch(batch)) = self.sched.poll_output() else { panic!("a full queue dispatches") };
            self.waiting -= u64::from(batch.rows);
            let compute = Duration::from_nanos(cost(batch.rows, batch.padded_len));
            let report = BatchReport { batch: batch.batch, compute, outcome: BatchOutcome::Ok };
            self.sched.handle_batch_done(&report, self.now);
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
        for strategy in [Strategy::Adaptive, Strategy::FixedSize] {
            let mut bed = Bed::new(waiting, strategy);
            group.bench_function(BenchmarkId::new(strategy.name(), waiting), |b| b.iter(|| bed.round()));
        }
    }
    group.finish();
}

criterion_group!(benches, deciding);
criterion_main!(benches);
