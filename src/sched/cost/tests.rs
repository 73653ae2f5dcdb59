//! The cost model on known curves.

use super::*;

mod accuracy;
mod changes;
mod keeping;

fn ms(x: f64) -> Duration {
    Duration::from_nanos((x * 1e6) as u64)
}

/// A CPU-like curve: 1 ms + 60 µs a token, and a third slower past 512 padded tokens.
fn cpu(rows: u32, len: u32) -> f64 {
    let tokens = f64::from(rows * len);
    (1.0 + 0.06 * tokens) * if tokens > 512.0 { 1.33 } else { 1.0 }
}

#[test]
fn a_smooth_curve_is_learned_within_a_few_per_cent() {
    let truth = |b: u32, s: u32| 0.8 + 0.004 * f64::from(b * s) + 9.2e-7 * f64::from(b * s * s);
    let mut cost = CostModel::default();
    for round in 0..20 {
        for (b, s) in [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256), (4, 256)] {
            cost.observe(b, s, 1, ms(truth(b, s) * (1.0 + 0.02 * f64::from(round % 3 - 1))));
        }
    }
    for (b, s) in [(2, 16), (16, 32), (4, 128), (16, 64)] {
        let predicted = cost.predict(b, s, 1) / 1e6;
        assert!((predicted / truth(b, s) - 1.0).abs() < 0.08, "{b}x{s}: {predicted} for {}", truth(b, s));
    }
    assert!(cost.error_ratio() < 0.05, "{}", cost.error_ratio());
}

#[test]
fn coefficients_are_never_negative_whatever_is_observed() {
    let mut cost = CostModel::default();
    for i in 0..500_u32 {
        let (b, s) = (1 + i * 7 % 32, 1 + i * 13 % 256);
        cost.observe(b, s, 1 + i % 3, ms(f64::from(1 + i * 31 % 97)));
        for busy in 1..=3 {
            assert!(cost.coefficients(busy).iter().all(|c| *c >= 0.0 && c.is_finite()));
            assert!(cost.predict(b, s, busy).is_finite());
        }
    }
}

#[test]
fn one_dominating_shape_does_not_spoil_the_others() {
    let mut cost = CostModel::default();
    for (b, s) in [(1, 8), (8, 8), (32, 8), (1, 64), (8, 64), (1, 256)] {
        cost.observe(b, s, 1, ms(cpu(b, s)));
    }
    for _ in 0..2000 {
        cost.observe(8, 16, 1, ms(cpu(8, 16)));
    }
    let predicted = cost.predict(1, 256, 1) / 1e6;
    assert!((predicted / cpu(1, 256) - 1.0).abs() < 0.5, "{predicted} for {}", cpu(1, 256));
}

#[test]
fn superlinear_cells_are_found_where_they_were_measured() {
    let mut cost = CostModel::default();
    for _ in 0..10 {
        for (b, s) in [(1, 8), (8, 8), (32, 8), (1, 128), (2, 128), (4, 128), (8, 128), (16, 128)] {
            cost.observe(b, s, 1, ms(cpu(b, s)));
        }
    }
    let per_row = |b: u32| cost.predict(b, 128, 1) / f64::from(b);
    assert!(per_row(4) < per_row(16), "four rows a batch are cheaper than sixteen on this curve");
}

#[test]
fn a_machine_that_slows_down_is_followed() {
    let mut cost = CostModel::default();
    for _ in 0..100 {
        cost.observe(4, 32, 1, ms(8.0));
    }
    for _ in 0..40 {
        cost.observe(4, 32, 1, ms(16.0));
    }
    let predicted = cost.predict(4, 32, 1) / 1e6;
    assert!((predicted / 16.0 - 1.0).abs() < 0.1, "{predicted}");
}

#[test]
fn busy_workers_have_curves_of_their_own_that_start_from_the_nearest() {
    let mut cost = CostModel::default();
    for _ in 0..10 {
        cost.observe(1, 32, 1, ms(4.0));
    }
    assert!((cost.predict(1, 32, 2) / 4e6 - 1.0).abs() < 0.1, "nothing known of two: as one");
    for _ in 0..30 {
        cost.observe(1, 32, 2, ms(7.0));
    }
    assert!((cost.predict(1, 32, 2) / 7e6 - 1.0).abs() < 0.1);
    assert!((cost.predict(1, 32, 1) / 4e6 - 1.0).abs() < 0.1);
}

#[test]
fn before_any_observation_there_is_a_guess_that_says_so() {
    let cost = CostModel::default();
    assert!(!cost.known());
    assert!(cost.predict(8, 64, 1) > cost.predict(1, 64, 1));
}

#[test]
fn a_spell_of_huge_batches_does_not_spoil_the_small_ones() {
    // As under fixed batches of mixed lengths: enormous, and far slower a token than the trend.
    let truth = |b: u32, s: u32| cpu(b, s) * if b * s > 4096 { 2.0 } else { 1.0 };
    let mut cost = CostModel::default();
    let small = [(1, 12), (4, 12), (8, 12), (16, 12), (1, 64), (2, 64), (4, 64), (1, 128), (2, 128)];
    for _ in 0..20 {
        for (b, s) in small {
            cost.observe(b, s, 1, ms(truth(b, s)));
        }
    }
    for s in [180, 200, 220, 240].into_iter().cycle().take(400) {
        cost.observe(32, s, 1, ms(truth(32, s)));
    }
    for (b, s) in small {
        let predicted = cost.predict(b, s, 1) / 1e6;
        assert!((predicted / truth(b, s) - 1.0).abs() < 0.1, "{b}x{s}: {predicted} for {}", truth(b, s));
    }
}

#[test]
fn what_was_measured_is_shown_beside_what_is_predicted() {
    let mut cost = CostModel::default();
    assert_eq!((cost.points(1, 24), cost.coverage_ratio(), cost.observations()), (vec![], None, 0));
    for _ in 0..30 {
        for (b, s) in [(8, 8), (1, 8), (1, 256), (4, 64)] {
            cost.observe(b, s, 2, ms(cpu(b, s)));
        }
    }
    cost.observe(2, 32, 1, ms(cpu(2, 32)));
    assert_eq!((cost.usual_busy(), cost.observations()), (2, 121));
    let points = cost.points(2, 24);
    let shapes: Vec<_> = points.iter().map(|p| (p.rows as u32, p.len as u32)).collect();
    assert_eq!(shapes, [(1, 8), (8, 8), (4, 64), (1, 256)]);
    for p in points {
        assert!((p.measured / 1e6 / cpu(p.rows as u32, p.len as u32) - 1.0).abs() < 1e-6);
        assert!((p.predicted / p.measured - 1.0).abs() < 0.1, "{p:?}");
    }
    assert_eq!(cost.points(2, 2).len(), 2);
    assert!(cost.coverage_ratio().unwrap() > 0.9 && cost.margin() > 1.0);
}

#[test]
fn a_throttled_device_is_followed_within_a_few_runs_and_forgotten_when_it_ends() {
    let mut cost = CostModel::default();
    for _ in 0..40 {
        for (b, s) in [(1, 8), (8, 8), (32, 8), (1, 128), (4, 128)] {
            cost.observe(b, s, 1, ms(cpu(b, s)));
        }
    }
    let before = cost.predict(8, 64, 1);
    cost.set_throttled(true);
    assert_eq!(cost.predict(8, 64, 1), before, "nothing is known of it yet");
    for _ in 0..5 {
        cost.observe(8, 8, 1, ms(3.0 * cpu(8, 8)));
    }
    let slowed = cost.predict(8, 64, 1) / before;
    assert!((slowed / 3.0 - 1.0).abs() < 0.1, "all shapes are predicted slower: {slowed}");
    for _ in 0..200 {
        cost.observe(8, 8, 1, ms(3.0 * cpu(8, 8)));
    }
    cost.set_throttled(false);
    assert!((cost.predict(8, 64, 1) / before - 1.0).abs() < 0.05, "it is as fast as it was");
    assert!((cost.predict(8, 8, 1) / 1e6 / cpu(8, 8) - 1.0).abs() < 0.1);
}

#[test]
fn a_device_that_is_throttled_from_the_start_still_learns() {
    let mut cost = CostModel::default();
    cost.set_throttled(true);
    for _ in 0..40 {
        for (b, s) in [(1, 8), (8, 8), (32, 8), (1, 128), (4, 128)] {
            cost.observe(b, s, 1, ms(cpu(b, s)));
        }
    }
    let predicted = cost.predict(8, 32, 1) / 1e6;
    assert!((predicted / cpu(8, 32) - 1.0).abs() < 0.15, "{predicted} for {}", cpu(8, 32));
}
