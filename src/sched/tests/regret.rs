//! Regret: how much more device time `adaptive` spends on few rows than one who knows what will arrive.
//!
//! The oracle tries every partition of the rows into batches and every order of these, under the rule that
//! holds for `adaptive` on one worker: it is never idle while something waits. Both pay what the cost model
//! predicts, so that what is compared is decisions.

use super::curves::{self, Curve, Draw};
use super::world::{DEVICE, MODEL, preset};
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Rows of an instance: when each arrives, and its length.
struct Instance {
    rows: Vec<(Time, u32)>,
}

impl Instance {
    /// 3 to 12 rows that arrive within a few times what one of them takes.
    fn draw(draw: &mut Draw, curve: Curve, number: u64) -> Self {
        let count = 3 + (draw.even() * 10.0) as usize;
        let span = draw.even() * 4.0 * curve(1, 64);
        let mut row =
            || (Time::from_millis(10_000 * number) + Duration::from_nanos((draw.even() * span) as u64), draw.length());
        let mut rows: Vec<_> = (0..count).map(|_| row()).collect();
        rows.sort_unstable();
        Self { rows }
    }
}

/// A scheduler that has measured the curve all over, and what it learned.
fn learned(curve: Curve) -> (Scheduler, CostModel) {
    let mut sched = Scheduler::new(preset(Strategy::Adaptive));
    let (now, worker) = (Time(1), WorkerId(0));
    sched.handle_model(MODEL, Some(ModelLimits { name: "m".into(), batchable: true }), now);
    sched.handle_worker(worker, WorkerState::Up { model: MODEL, device: DEVICE, grid: Grid::Exact }, now);
    for _ in 0..4 {
        for len in [4, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512] {
            for rows in [1, 2, 3, 4, 6, 8, 12, 16, 32] {
                let compute = Duration::from_nanos(curve(rows, len) as u64);
                sched.handle_measured(worker, &Measured { rows, len, busy: 1, compute }, now);
            }
        }
    }
    sched.handle_worker(worker, WorkerState::Ready, now);
    let cost = sched.costs(MODEL).next().expect("one device").1.clone();
    (sched, cost)
}

/// What the scheduler spends on an instance, in ns. It is idle before and after.
fn spent(sched: &mut Scheduler, cost: &CostModel, instance: &Instance) -> f64 {
    let mut arrivals = instance.rows.iter().zip(1_u64..).peekable();
    let (mut running, mut total) = (None::<(Time, Dispatch, f64)>, 0.0);
    let tenant: Arc<str> = "".into();
    loop {
        let end = running.as_ref().map_or(Time::NEVER, |r| r.0);
        let next = arrivals.peek().map_or(Time::NEVER, |((at, _), _)| *at);
        let now = end.min(next);
        if now == Time::NEVER {
            return total;
        }
        if let Some((_, batch, took)) = running.take_if(|r| r.0 <= now) {
            let compute = Duration::from_nanos(took as u64);
            sched.handle_batch_done(
                &BatchReport { batch: batch.batch, reused: 0, compute, outcome: BatchOutcome::Ok },
                now,
            );
            sched.handle_worker(batch.worker, WorkerState::Ready, now);
        }
        while let Some(((at, len), id)) = arrivals.next_if(|((at, _), _)| *at <= now) {
            let items = [Item { rows: 1, len: *len, bytes: 0, class: ShapeClass(1) }];
            let (request, priority) = (RequestId(at.0 << 4 | id), Priority(0));
            let arrival = Arrival { request, model: MODEL, tenant: &tenant, priority, deadline: None, items: &items };
            sched.handle_arrival(&arrival, *at).expect("accepted");
        }
        while let Some(output) = sched.poll_output() {
            let Output::Dispatch(batch) = output else { panic!("nothing fails: {output:?}") };
            let took = cost.predict(batch.rows, batch.padded_len, 1);
            total += took;
            running = Some((now + Duration::from_nanos(took as u64), batch, took));
        }
    }
}

/// Knows all rows beforehand.
struct Oracle<'a> {
    instance: &'a Instance,
    cost: &'a CostModel,
    /// The least time in which a set of rows can be served once all are there.
    least: Vec<f64>,
    /// The least time from a state on: what was served, and when it is.
    from: HashMap<(u32, Time), f64>,
}

impl<'a> Oracle<'a> {
    fn new(instance: &'a Instance, cost: &'a CostModel) -> Self {
        Self { instance, cost, least: vec![f64::NAN; 1 << instance.rows.len()], from: HashMap::new() }
    }

    fn all(&self) -> u32 {
        (1 << self.instance.rows.len()) - 1
    }

    /// A batch of these rows.
    fn time(&self, set: u32) -> f64 {
        let rows = self.instance.rows.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
        let longest = rows.map(|(_, (_, len))| *len).max().unwrap_or(1);
        self.cost.predict(set.count_ones(), longest, 1)
    }

    /// The cheapest partition of a set into batches.
    fn partition(&mut self, set: u32) -> f64 {
        if set == 0 || !self.least[set as usize].is_nan() {
            return if set == 0 { 0.0 } else { self.least[set as usize] };
        }
        let first = set & set.wrapping_neg();
        let rest = set ^ first;
        let (mut least, mut with) = (f64::INFINITY, rest);
        loop {
            // The first row and every choice of others beside it.
            let total = self.time(first | with) + self.partition(rest ^ with);
            least = least.min(total);
            if with == 0 {
                break;
            }
            with = (with - 1) & rest;
        }
        self.least[set as usize] = least;
        least
    }

    /// The least time to serve what is left, never idle while something waits.
    fn work_conserving(&mut self, served: u32, now: Time) -> f64 {
        let left = self.all() & !served;
        if left == 0 {
            return 0.0;
        }
        let there = |i: usize| left >> i & 1 == 1 && self.instance.rows[i].0 <= now;
        let waiting = (0..self.instance.rows.len()).filter(|&i| there(i)).fold(0, |set, i| set | 1 << i);
        if waiting == left {
            return self.partition(left);
        }
        if waiting == 0 {
            let next = self.instance.rows[left.trailing_zeros() as usize].0;
            return self.work_conserving(served, next);
        }
        if let Some(&known) = self.from.get(&(served, now)) {
            return known;
        }
        let (mut least, mut batch) = (f64::INFINITY, waiting);
        while batch != 0 {
            let time = self.time(batch);
            // Nothing after it can cost less than were all of it there.
            if time + self.partition(left ^ batch) < least {
                let then = self.work_conserving(served | batch, now + Duration::from_nanos(time as u64));
                least = least.min(time + then);
            }
            batch = (batch - 1) & waiting;
        }
        self.from.insert((served, now), least);
        least
    }
}

#[derive(Default)]
struct Sum {
    ours: f64,
    least: f64,
    idling: f64,
    ratios: f64,
    worst: f64,
    count: f64,
}

impl Sum {
    fn add(&mut self, ours: f64, least: f64, idling: f64) {
        self.ours += ours;
        self.least += least;
        self.idling += idling;
        self.ratios += ours / least - 1.0;
        self.worst = self.worst.max(ours / least - 1.0);
        self.count += 1.0;
    }

    fn regret(&self) -> f64 {
        self.ours / self.least - 1.0
    }
}

#[test]
fn regret_of_adaptive_on_a_thousand_small_instances_is_below_a_twentieth() {
    let mut draw = Draw(0x5EED_1234_ABCD);
    let mut all = Sum::default();
    for (name, curve) in curves::ALL {
        let (mut sched, cost) = learned(curve);
        let mut sum = Sum::default();
        for number in 1..=334 {
            let instance = Instance::draw(&mut draw, curve, number);
            let ours = spent(&mut sched, &cost, &instance);
            let mut oracle = Oracle::new(&instance, &cost);
            let (least, idling) = (oracle.work_conserving(0, Time(0)), oracle.partition(oracle.all()));
            sum.add(ours, least, idling);
            all.add(ours, least, idling);
        }
        println!(
            "{name}: {:.2} % (mean {:.2} %, worst {:.0} %); were idling allowed {:.2} %",
            100.0 * sum.regret(),
            100.0 * sum.ratios / sum.count,
            100.0 * sum.worst,
            100.0 * (sum.ours / sum.idling - 1.0)
        );
        assert!(sum.regret() < 0.05, "{name}: {}", sum.regret());
    }
    println!("all: {:.2} %", 100.0 * all.regret());
    assert!(all.regret() < 0.05, "{}", all.regret());
}
