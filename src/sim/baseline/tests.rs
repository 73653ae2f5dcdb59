//! Each rule on a load small enough to know the answer.

use super::*;
use crate::policy::{Policy, Strategy};
use crate::sched::{Grid, Item, ModelLimits};
use crate::sim::{Arrival, Cost, Curve, Model, Place, Plan, Report, run_baseline};
use crate::types::{DeviceId, Priority, ShapeClass, Time};

/// A millisecond a run and 0.1 ms a padded token, without noise.
fn plan(arrivals: Vec<Arrival>) -> Plan {
    let curve = Curve { busy: 1, coefficients: [1e6, 1e5, 0.0], least: 0.0, points: Vec::new() };
    let cost = Arc::new(Cost { curves: vec![curve], ..Cost::default() });
    let place = Place { device: DeviceId(0), grid: Grid::Exact, workers: 1, cost };
    let models = vec![Model {
        limits: ModelLimits { name: "m".into(), batchable: true },
        places: vec![place],
        overhead: Duration::ZERO,
    }];
    Plan { models, arrivals, duration: Duration::from_secs(1), noise: 0.0, seed: 1 }
}

/// A request whose texts have these lengths.
fn arrival(at: u64, lengths: &[u32]) -> Arrival {
    let items = lengths.iter().map(|&len| Item { rows: 1, len, bytes: 0, class: ShapeClass(1) }).collect();
    Arrival { at: Time::from_millis(at), model: 0, tenant: "".into(), priority: Priority(0), deadline: None, items }
}

fn play(word: &str, slo: Option<u64>, plan: &Plan) -> Report {
    let mut policy = Policy::preset("slo", Strategy::Adaptive);
    policy.slo.target = slo.map(Duration::from_millis);
    run_baseline(word.parse().unwrap(), Arc::new(PolicySet::single(policy, 1)), plan)
}

/// Batches, the share of tokens that were no padding, and the longest time in ms.
fn shape(word: &str, plan: &Plan) -> (u64, f64, f64) {
    let report = play(word, None, plan);
    (report.batch.count, report.padding_efficiency.unwrap(), report.latency_ms.unwrap().max)
}

#[test]
fn words_are_read_and_written() {
    for word in [
        "none",
        "none+drop",
        "fixed:32",
        "fixed:8:0s",
        "fixed:8:2ms+drop",
        "fifo:16384",
        "window:128",
        "window:128:8",
        "regression",
        "regression:8+drop",
        "drop",
        "drop:16",
    ] {
        assert_eq!(word.parse::<Baseline>().unwrap().to_string(), word);
    }
    assert_eq!("fixed:32:5ms".parse::<Baseline>().unwrap().to_string(), "fixed:32");
    for word in ["", "fixed", "fixed:0", "fixed:8:soon", "fixed:8:1ms:1", "none:1", "fifo", "drop+drop", "fifo:1:1"] {
        assert!(word.parse::<Baseline>().is_err(), "{word}");
    }
}

#[test]
fn without_batching_each_runs_alone_in_order() {
    let plan = plan(vec![arrival(0, &[10]), arrival(0, &[20]), arrival(0, &[30])]);
    assert_eq!(shape("none", &plan), (3, 1.0, 9.0));
}

#[test]
fn a_fixed_size_runs_full_or_after_its_delay() {
    let plan = plan(vec![arrival(0, &[10]), arrival(2, &[40]), arrival(3, &[10])]);
    // Two of them at 2 ms for 9 ms; the last at 13 ms, for 2 ms.
    assert_eq!(shape("fixed:2:10ms", &plan), (2, 0.667, 12.0));
}

#[test]
fn a_budget_of_padded_tokens_ends_a_batch() {
    let plan = plan(vec![arrival(0, &[10]), arrival(0, &[10]), arrival(0, &[30]), arrival(0, &[99])]);
    // What is over the budget by itself runs alone.
    assert_eq!(shape("fifo:60", &plan), (3, 1.0, 17.9));
}

#[test]
fn a_window_is_sorted_and_cut() {
    let plan = plan(vec![arrival(0, &[40]), arrival(0, &[10]), arrival(0, &[40]), arrival(0, &[10]), arrival(0, &[9])]);
    // Within four rows, tens go with tens; the fifth comes in the next window.
    assert_eq!(shape("window:4:2", &plan), (3, 1.0, 13.9));
}

#[test]
fn what_would_be_late_is_dropped_and_the_rest_runs() {
    // Together the four would take 17 ms; the long one keeps none of the others.
    let plan = plan(vec![arrival(0, &[40]), arrival(0, &[10]), arrival(0, &[10]), arrival(0, &[10])]);
    let late = play("fixed:4", Some(12), &plan);
    assert_eq!((late.requests, late.errors, late.goodput_rps), (4, 0, 0.0));
    let early = play("fixed:4:0ms+drop", Some(12), &plan);
    assert_eq!((early.requests, early.errors_by_reason["overloaded"], early.goodput_rps), (3, 1, 3.0));
    // The long one and another take 9 ms, which leaves time for one.
    let fitted = play("drop", Some(12), &plan);
    assert_eq!((fitted.requests, fitted.errors, fitted.batch.count), (3, 1, 2));
}

#[test]
fn a_request_that_loses_a_part_is_refused_once() {
    let plan = plan(vec![arrival(0, &[90, 10, 10, 10]), arrival(0, &[10])]);
    let report = play("fixed:1+drop", Some(8), &plan);
    assert_eq!((report.requests, report.errors, report.batch.count), (1, 1, 1));
}

#[test]
fn regression_learns_to_wait_and_refuses_what_is_late() {
    let steady: Vec<_> = (0..400).map(|i| arrival(2 * i, &[20])).collect();
    let report = play("regression", Some(100), &plan(steady.clone()));
    assert_eq!((report.requests, report.errors), (400, 0));
    assert!(report.batch.avg_rows.unwrap() > 1.0, "{report:?}");
    // Five times what the worker can do.
    let flood: Vec<_> = steady.iter().flat_map(|a| vec![a.clone(); 5]).collect();
    let report = play("regression", Some(100), &plan(flood));
    assert!(report.errors > 500 && report.latency_ms.unwrap().max < 500.0, "{report:?}");
}
