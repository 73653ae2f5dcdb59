//! Outliers, which change nothing, and machines that change, which are followed.

use super::accuracy::{CPU, GPU, Loop, Noise, STEPPED, median_error};
use super::*;

/// The usual shapes on a smooth curve, each measured so many times.
fn taught(times: usize) -> CostModel {
    let mut cost = CostModel::default();
    for _ in 0..times {
        for (b, s) in SHAPES {
            cost.observe(b, s, 1, ms(cpu(b, s)));
        }
    }
    cost
}

const SHAPES: [(u32, u32); 7] = [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256), (4, 128)];

fn predictions(cost: &CostModel) -> Vec<f64> {
    [(1, 8), (4, 16), (8, 64), (2, 128), (4, 128), (16, 32)].map(|(b, s)| cost.predict(b, s, 1)).to_vec()
}

/// The largest factor between two lists of predictions.
fn moved(before: &[f64], after: &[f64]) -> f64 {
    before.iter().zip(after).map(|(b, a)| (a / b).max(b / a)).fold(1.0, f64::max)
}

#[test]
fn outliers_hardly_move_predictions() {
    for factor in [0.2, 4.0, 10.0, 1000.0] {
        let mut cost = taught(20);
        let before = predictions(&cost);
        for i in 0..30 {
            let (b, s) = SHAPES[i % SHAPES.len()];
            cost.observe(b, s, 1, ms(cpu(b, s) * if i % 10 == 3 { factor } else { 1.0 }));
        }
        let moved = moved(&before, &predictions(&cost));
        assert!(moved < 1.03, "by {moved} for {factor}");
    }
}

#[test]
fn a_first_run_that_pays_for_the_shape_is_forgotten_with_the_second() {
    let mut cost = taught(20);
    cost.observe(16, 32, 1, ms(20.0 * cpu(16, 32)));
    for _ in 0..3 {
        cost.observe(16, 32, 1, ms(cpu(16, 32)));
    }
    let predicted = cost.predict(16, 32, 1) / 1e6;
    assert!((predicted / cpu(16, 32) - 1.0).abs() < 0.1, "{predicted} for {}", cpu(16, 32));
}

#[test]
fn a_machine_that_slows_down_takes_every_shape_along() {
    let mut cost = taught(20);
    let before = predictions(&cost);
    let mut unlike = 0;
    for run in 0..24 {
        let (b, s) = [(8, 8), (1, 64)][run % 2];
        cost.observe(b, s, 1, ms(2.0 * cpu(b, s)));
        let twice: Vec<f64> = before.iter().map(|t| 2.0 * t).collect();
        unlike += usize::from(moved(&twice, &predictions(&cost)) > 1.1);
    }
    assert!(unlike < 14, "followed after {unlike} runs, also where nothing ran");
    for run in 0..24 {
        let (b, s) = [(8, 8), (1, 64)][run % 2];
        cost.observe(b, s, 1, ms(cpu(b, s)));
    }
    assert!(moved(&before, &predictions(&cost)) < 1.05, "and back");
}

#[test]
fn one_shape_of_many_that_changes_is_no_change_of_the_machine() {
    let mut cost = taught(20);
    let before = predictions(&cost);
    for _ in 0..40 {
        for (b, s) in SHAPES {
            cost.observe(b, s, 1, ms(cpu(b, s) * if (b, s) == (4, 128) { 2.0 } else { 1.0 }));
        }
    }
    let after = predictions(&cost);
    assert!((after[4] / before[4] - 2.0).abs() < 0.2, "it is followed: {}", after[4] / before[4]);
    assert!(moved(&before[..3], &after[..3]) < 1.05, "alone: {before:?} and {after:?}");
}

#[test]
fn under_load_a_machine_that_slows_down_is_followed_within_dozens_of_runs() {
    for (machine, most) in [(CPU, 40), (GPU, 40), (STEPPED, 60)] {
        for (noise, seed) in [(Noise::Even, 11), (Noise::Outliers, 12)] {
            let mut all = Loop::new(machine, noise, seed);
            all.run(800);
            for slow in [2.0, 1.0] {
                all.slow = slow;
                let (begun, at) = (all.now, all.runs.len());
                all.run(most);
                let late = all.now.since(begun).as_secs_f64();
                all.run(60);
                let error = median_error(&all.runs[at + most..]);
                println!("{slow}: {error:.3} after {most} runs, {late:.2} s");
                assert!(error < 0.12, "{error} at {slow}");
            }
        }
    }
}

#[test]
fn noise_never_passes_for_a_change_and_predictions_stay() {
    for machine in [CPU, GPU] {
        let mut all = Loop::new(machine, Noise::Outliers, 21);
        all.run(1500);
        let busy = all.cost().usual_busy();
        let shapes: Vec<_> = all.cost().points(busy, 8).iter().map(|p| (p.rows as u32, p.len as u32)).collect();
        let times = |all: &Loop| -> Vec<f64> { shapes.iter().map(|&(b, s)| all.cost().predict(b, s, busy)).collect() };
        let before = times(&all);
        for _ in 0..20 {
            all.run(50);
            let moved = moved(&before, &times(&all));
            assert!(moved < 1.1, "{shapes:?}: {moved}");
        }
    }
}
