//! `adaptive` finds out what pays on a machine it has never seen, stays with it, and follows changes.

use super::curves::{self, Curve};
use super::rig::Rig;
use super::world::{MODEL, preset};
use crate::policy::{Policy, Strategy};
use crate::sched::*;

/// Lengths that a mix of queries and documents has many of.
const COMMON: [u32; 6] = [8, 12, 24, 96, 160, 256];
const CLIENTS: u32 = 96;

fn rig(curve: Curve) -> Rig {
    Rig::new(preset(Strategy::Adaptive), 1, Grid::Stepped, curve)
}

/// The batch size that is thought best at a length: as its rows were last told.
fn best(rig: &Rig, len: u32) -> u32 {
    let policy = Policy::preset("test", Strategy::Adaptive);
    let model = &rig.sched.models[&MODEL];
    let class = &model.lanes[0].classes[0];
    let edge = crate::sched::edge::edge(Grid::Stepped, len);
    let last = class.position(edge).and_then(|at| class.buckets[at].best.first()).map_or(1, |b| b.rows);
    model.learned[0].terms(0, &policy, None, 1, 1).best(len, last).0
}

/// How much more time a row takes in batches of that size than in the best there are.
fn excess(rig: &Rig, len: u32) -> f64 {
    let len = crate::sched::edge::edge(Grid::Stepped, len);
    let a_row = |rows: u32| (rig.curve)(rows, len) / f64::from(rows);
    let least = (1..=64).map(a_row).fold(f64::INFINITY, f64::min);
    a_row(best(rig, len)) / least - 1.0
}

/// What a batch took over what was predicted, of the last so many.
fn error(rig: &Rig, last: usize) -> f64 {
    let off = |r: &super::rig::Ran| (r.batch.predicted.as_secs_f64() / r.took.as_secs_f64() - 1.0).abs();
    rig.ran[rig.ran.len() - last..].iter().map(off).sum::<f64>() / last as f64
}

fn rate(rig: &Rig, from: usize) -> f64 {
    let rows: u32 = rig.ran[from..].iter().map(|r| r.batch.rows).sum();
    f64::from(rows) / rig.now.since(rig.ran[from].ended).as_secs_f64()
}

/// Cold, or told of another machine altogether: after 200 batches the sizes are right, and stay.
#[test]
fn within_two_hundred_batches_the_sizes_are_right_and_stay_so() {
    for (name, curve) in curves::ALL {
        for wrong in [None, Some(5.0), Some(0.2)] {
            let mut rig = rig(curve);
            if let Some(off) = wrong {
                rig.warm_up(1, off);
            }
            rig.closed_loop(CLIENTS, 200);
            let sizes = |rig: &Rig| COMMON.map(|len| best(rig, len));
            let (mut last, mut changes, mut worst) = (sizes(&rig), [0; COMMON.len()], 0.0_f64);
            for _ in 0..500 {
                rig.closed_loop(CLIENTS, 1);
                for (at, &len) in COMMON.iter().enumerate() {
                    let size = best(&rig, len);
                    changes[at] += u32::from(size != last[at]);
                    last[at] = size;
                    worst = worst.max(excess(&rig, len));
                }
            }
            let (first, then) = (rate(&rig, 200), rate(&rig, 450));
            println!(
                "{name}, told {wrong:?}: worst {:.1} % off, {changes:?} changes, {first:.0} then {then:.0} rows/s",
                100.0 * worst
            );
            // A sweep that took too long scares off from sizes until what it measured has faded.
            let allowed = if wrong == Some(5.0) { 0.2 } else { 0.1 };
            assert!(worst < allowed, "{name} {wrong:?}: {worst}");
            assert!(changes.into_iter().all(|c| c <= 12) && changes.iter().sum::<u32>() <= 20, "{name}: {changes:?}");
            assert!(then > 0.93 * first, "{name} {wrong:?}: {first} then {then} rows/s");
            if wrong == Some(5.0) {
                rig.closed_loop(CLIENTS, 800);
                let late = COMMON.map(|len| excess(&rig, len)).into_iter().fold(0.0, f64::max);
                println!("{name}, told {wrong:?}: after 1500 batches {:.1} % off", 100.0 * late);
                assert!(late < 0.1, "{name}: {late} after 1500 batches");
            }
        }
    }
}

/// Where company costs more than it saves, long rows run alone; short ones on the same machine do not.
#[test]
fn where_batching_hurts_there_is_none() {
    let mut rig = rig(curves::cpu);
    rig.closed_loop(CLIENTS, 400);
    let sizes = |least: u32, most: u32| {
        let within = rig.ran[200..].iter().filter(|r| (least..=most).contains(&r.batch.padded_len));
        let (rows, count) = within.fold((0, 0), |(rows, count), r| (rows + r.batch.rows, count + 1));
        f64::from(rows) / f64::from(count)
    };
    let (short, long) = (sizes(1, 16), sizes(224, 512));
    assert!(long < 3.0 && short > 6.0, "{long} long rows a batch, {short} short ones");
}

/// Within 60 batches the predictions are right again, and what was known of the sizes still holds.
#[test]
fn a_machine_that_slows_down_or_speeds_up_is_followed_within_seconds() {
    for (name, curve) in curves::ALL {
        for slow in [2.0, 0.5] {
            let mut rig = rig(curve);
            rig.closed_loop(CLIENTS, 400);
            let before = rate(&rig, 200);
            rig.slow = slow;
            let from = rig.now;
            rig.closed_loop(CLIENTS, 60);
            let took = rig.now.since(from).as_secs_f64();
            rig.closed_loop(CLIENTS, 60);
            let soon = error(&rig, 60);
            rig.closed_loop(CLIENTS, 280);
            let (late, after) = (error(&rig, 60), rate(&rig, 460));
            let off = COMMON.map(|len| excess(&rig, len));
            let (mean, worst) = (off.iter().sum::<f64>() / off.len() as f64, off.into_iter().fold(0.0, f64::max));
            println!(
                "{name} x {slow}: {took:.1} s later predictions {:.0} % off, then {:.0} %; sizes {:.0} %, one {:.0} %; {before:.0} then {after:.0} rows/s",
                100.0 * soon,
                100.0 * late,
                100.0 * mean,
                100.0 * worst
            );
            assert!(soon < 0.1 && late < 0.1 && took < 15.0, "{name} x {slow}: {soon}, {late} after {took} s");
            // A size for which too few rows of a length ever wait is as good as the trend says until it is tried.
            assert!(mean < 0.08 && worst < 0.2, "{name} x {slow}: {off:?}");
            assert!(after * slow > 0.85 * before, "{name} x {slow}: {before} then {after} rows/s");
        }
    }
}

/// Load that doubles and halves again: batches grow and shrink with it, and the answers are as quick as
/// before within a second.
#[test]
fn load_that_doubles_and_halves_is_followed() {
    let mut rig = rig(curves::gpu);
    rig.warm_up(1, 1.0);
    let mut p99 = |rate: f64| {
        rig.open_loop(rate, 1.0);
        let from = rig.gone.len();
        rig.open_loop(rate, 4.0);
        rig.gone.drain(..from);
        rig.quantile(0..=512, 0.99)
    };
    let (low, high, again) = (p99(1000.0), p99(2000.0), p99(1000.0));
    println!("p99 at 1000/s {low:.1} ms, at 2000/s {high:.1}, at 1000/s again {again:.1}");
    assert!(high < 60.0 && again < 1.2 * low, "{low} {high} {again}");
}
