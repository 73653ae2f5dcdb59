//! A saturated server in virtual time, on a curve measured on a real CPU: how close the batches that are
//! formed come to the best that any batches could do.

use super::world::{MODEL, policies, preset};
use crate::policy::{PolicySet, Strategy};
use crate::sched::*;
use crate::types::*;
use std::sync::Arc;
use std::time::Duration;

const LENGTHS: [f64; 11] = [8., 12., 16., 24., 32., 48., 64., 96., 128., 192., 256.];
/// Rows a second of two sessions at 1, 2, 4 … 32 rows a batch, by length: all-MiniLM-L6-v2, fp32, ONNX
/// Runtime 1.32, two cores of an AMD EPYC with AVX-512.
const RATES: [[f64; 6]; 11] = [
    [473., 727., 901., 1021., 1046., 1103.],
    [435., 536., 629., 661., 733., 681.],
    [352., 444., 498., 509., 548., 540.],
    [271., 314., 355., 363., 329., 339.],
    [233., 246., 263., 272., 279., 266.],
    [156., 165., 175., 177., 179., 156.],
    [118., 127., 127., 124., 115., 107.],
    [76., 77., 81., 79., 75., 69.],
    [60., 62., 61., 57., 55., 49.],
    [39., 42., 38., 37., 34., 30.],
    [28., 29., 27., 26., 22., 20.],
];
/// Connections that each send their next row when they have their answer.
const CLIENTS: usize = 64;
const WORKERS: u32 = 2;

/// Nanoseconds of a run on one of the two sessions, between the measured points by tokens a second.
pub(in crate::sched) fn curve(rows: u32, len: u32) -> f64 {
    let at = f64::from(len).clamp(8., 256.);
    let l = LENGTHS.iter().rposition(|x| *x <= at).unwrap_or(0).min(LENGTHS.len() - 2);
    let along = ((at / LENGTHS[l]).ln() / (LENGTHS[l + 1] / LENGTHS[l]).ln()).clamp(0., 1.);
    let step = f64::from(rows).clamp(1., 32.).log2();
    let b = (step as usize).min(4);
    let tokens = |l: usize| {
        let between = RATES[l][b] + (RATES[l][b + 1] - RATES[l][b]) * (step - b as f64);
        between * LENGTHS[l]
    };
    let rate = tokens(l) + (tokens(l + 1) - tokens(l)) * along;
    f64::from(WORKERS) * 1e9 * f64::from(rows) * f64::from(len) / rate
}

/// 70 % short rows of 5 to 20 tokens, 30 % long ones of 30 to 189, the same every time.
fn lengths() -> impl Iterator<Item = u32> + Clone {
    (0..).map(|i: u32| {
        let r = i.wrapping_mul(2_654_435_761) >> 12;
        if r % 10 < 7 { 5 + r / 10 % 16 } else { 30 + r / 10 % 160 }
    })
}

/// Rows a second of a closed loop over `rows` rows.
fn closed_loop(policies: Arc<PolicySet>, rows: u32) -> f64 {
    let (mut now, mut next, mut served) = (Time::from_millis(1), 0_u64, 0);
    let (tenant, mut lengths) = (Arc::from(""), lengths());
    let mut sched = Scheduler::new(policies);
    let limits = ModelLimits { name: "m".into(), batchable: true };
    sched.handle_model(MODEL, Some(limits), now);
    for worker in (0..WORKERS).map(WorkerId) {
        sched.handle_worker(worker, WorkerState::Up { model: MODEL, device: DeviceId(0), grid: Grid::Exact }, now);
        for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 32), (8, 32), (1, 64), (4, 64), (1, 128), (4, 128), (1, 256)] {
            let compute = Duration::from_nanos(curve(rows, len) as u64);
            sched.handle_measured(worker, &Measured { rows, len, busy: WORKERS, compute }, now);
        }
        sched.handle_worker(worker, WorkerState::Ready, now);
    }
    let mut arrive = |sched: &mut Scheduler, now: Time| {
        next += 1;
        let items = [Item { rows: 1, len: lengths.next().expect("endless"), bytes: 0, class: ShapeClass(1) }];
        let (request, priority) = (RequestId(next), Priority(0));
        let arrival = Arrival { request, model: MODEL, tenant: &tenant, priority, deadline: None, items: &items };
        sched.handle_arrival(&arrival, now).expect("accepted");
    };
    (0..CLIENTS).for_each(|_| arrive(&mut sched, now));
    let mut running: Vec<(Time, Duration, Dispatch)> = Vec::new();
    while served < rows {
        while let Some(Output::Dispatch(batch)) = sched.poll_output() {
            let took = Duration::from_nanos(curve(batch.rows, batch.padded_len) as u64);
            running.push((now + took, took, batch));
        }
        let first = (0..running.len()).min_by_key(|&i| running[i].0).expect("a closed loop is never idle");
        let (end, compute, batch) = running.swap_remove(first);
        now = end;
        sched
            .handle_batch_done(&BatchReport { batch: batch.batch, reused: 0, compute, outcome: BatchOutcome::Ok }, now);
        sched.handle_worker(batch.worker, WorkerState::Ready, now);
        (0..batch.rows).for_each(|_| arrive(&mut sched, now));
        served += batch.rows;
    }
    f64::from(served) / now.since(Time::from_millis(1)).as_secs_f64()
}

/// Rows a second if every row ran in the best batch for its length, without padding.
fn ceiling(rows: usize) -> f64 {
    let best = |len: u32| (1..=32).map(|b| curve(b, len) / f64::from(b)).fold(f64::INFINITY, f64::min);
    let total: f64 = lengths().take(rows).map(best).sum();
    f64::from(WORKERS) * 1e9 * rows as f64 / total
}

#[test]
fn adaptive_comes_near_the_ceiling_and_far_above_fixed_batches() {
    let alone = closed_loop(policies(&[("o.toml", "dynamic_batching = false")], 1), 3000);
    let fixed = closed_loop(preset(Strategy::FixedSize), 3000);
    let (adaptive, ceiling) = (closed_loop(preset(Strategy::Adaptive), 3000), ceiling(3000));
    println!("rows/s: alone {alone:.0}, fixed {fixed:.0}, adaptive {adaptive:.0}, ceiling {ceiling:.0}");
    assert!(adaptive > 0.94 * ceiling, "{adaptive} of {ceiling}");
    assert!(adaptive > 3.0 * fixed, "{adaptive} beside {fixed}");
    assert!(adaptive - alone > 0.75 * (ceiling - alone), "{adaptive} between {alone} and {ceiling}");
}
