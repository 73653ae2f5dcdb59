//! The virtual world on loads small enough to know the answer, and on one too large to guess.

use super::*;
use crate::policy::{Source, compile};
use crate::sched::Grid;
use crate::types::ShapeClass;
use std::collections::BTreeMap;

mod figures;
mod workload;

/// The policies of one file.
fn policies(text: &str) -> Arc<PolicySet> {
    policy_set(&[("p.toml", text)])
}

/// The policies of several, by name and text.
fn policy_set(files: &[(&str, &str)]) -> Arc<PolicySet> {
    let source = |&(name, text): &(&str, &str)| Source { name: name.to_owned(), text: text.to_owned() };
    let sources: Vec<_> = files.iter().map(source).collect();
    Arc::new(compile(&sources, &[], 1).expect("the test's policies are valid"))
}

/// Milliseconds that go with the padded tokens, and some for each run: batches pay.
fn curve(base: f64, token: f64) -> Curve {
    Curve { busy: 1, coefficients: [base * 1e6, token * 1e6, 0.0], least: 0.0, points: Vec::new() }
}

fn row(len: u32) -> Item {
    Item { rows: 1, len, bytes: 8 * len, class: ShapeClass(1) }
}

fn arrival(at: u64, tenant: &str, items: Vec<Item>) -> Arrival {
    Arrival { at: Time::from_millis(at), model: 0, tenant: tenant.into(), priority: Priority(0), deadline: None, items }
}

/// One model with a worker on each of so many devices.
fn plan(devices: u32, cost: Curve, arrivals: Vec<Arrival>) -> Plan {
    let cost = Arc::new(Cost { curves: vec![cost], ..Cost::default() });
    let place = |device| Place { device: DeviceId(device), grid: Grid::Exact, workers: 1, cost: Arc::clone(&cost) };
    let limits = ModelLimits { name: "m".into(), batchable: true };
    let models = vec![Model { limits, overhead: Duration::ZERO, places: (0..devices).map(place).collect() }];
    Plan { models, arrivals, duration: Duration::from_secs(1), noise: 0.0, seed: 1 }
}

/// So many single rows, `gap` µs apart, of 4 to 67 tokens in no order, of two tenants.
fn stream(count: u64, gap: u64) -> Vec<Arrival> {
    let one = |i: u64| Arrival {
        at: Time(i * gap * 1000),
        ..arrival(0, ["a", "b"][(i % 2) as usize], vec![row(4 + (i.wrapping_mul(2_654_435_761) >> 7) as u32 % 64)])
    };
    (0..count).map(one).collect()
}

#[test]
fn a_request_alone_takes_as_long_as_its_batch() {
    let report = run(policies(""), &plan(1, curve(10.0, 0.5), vec![arrival(100, "", vec![row(20)])]));
    let latency = report.latency_ms.unwrap();
    assert_eq!((report.requests, latency.p50, latency.max), (1, 20.0, 20.0));
    assert_eq!((report.batch.count, report.padding_efficiency), (1, Some(1.0)));
    assert_eq!((report.duration_s, report.throughput_rps, report.busy_ratio), (1.0, 1.0, Some(0.02)));
    assert_eq!(report.inflight_rows, 0.02);
}

#[test]
fn a_request_of_many_rows_is_answered_with_its_last() {
    let rows = vec![row(10), row(10), row(90)];
    let report = run(policies("dynamic_batching = false"), &plan(1, curve(10.0, 0.0), vec![arrival(0, "", rows)]));
    assert_eq!((report.requests, report.batch.count, report.latency_ms.unwrap().max), (1, 3, 30.0));
}

#[test]
fn good_is_what_came_within_the_slo() {
    // Every one takes 10 ms and they come at once: the first two come within 25 ms.
    let arrivals = (0..4).map(|_| arrival(0, "", vec![row(8)])).collect();
    let policy = "dynamic_batching = false\nslo.target = '25ms'";
    let report = run(policies(policy), &plan(1, curve(10.0, 0.0), arrivals));
    assert_eq!((report.throughput_rps, report.goodput_rps), (4.0, 2.0));
}

#[test]
fn what_cannot_be_answered_in_time_is_refused_and_counted() {
    let mut arrivals: Vec<_> = (0..20).map(|_| arrival(0, "", vec![row(8)])).collect();
    arrivals.iter_mut().for_each(|a| a.deadline = Some(Duration::from_millis(35)));
    arrivals.push(arrival(1, "", vec![row(99_999)]));
    let serve = |word: &str| {
        let text = format!("batch.max_batch_size = 1\nslo.on_predicted_miss = '{word}'");
        run(policies(&text), &plan(1, curve(10.0, 0.0), arrivals.clone()))
    };
    let (rejecting, serving) = (serve("reject"), serve("serve"));
    assert_eq!((rejecting.requests, rejecting.errors), (3, 18));
    assert_eq!(rejecting.errors_by_reason, BTreeMap::from([("overloaded", 17), ("too_large", 1)]));
    assert_eq!(serving.errors_by_reason, BTreeMap::from([("deadline_exceeded", 17), ("too_large", 1)]));
}

#[test]
fn a_plan_always_gives_the_same_figures() {
    let mut plan = plan(2, curve(2.0, 0.05), stream(3000, 300));
    plan.noise = 0.2;
    let policy = policies("strategy = 'coalescing'\nslo.target = '50ms'");
    let first = run(Arc::clone(&policy), &plan);
    assert_eq!(run(Arc::clone(&policy), &plan), first);
    plan.seed = 2;
    let other = run(policy, &plan);
    assert_ne!(other, first);
    assert_eq!(other.requests + other.errors, 3000);
}

#[test]
fn tenants_add_up_to_all() {
    let report = run(policies("queue.max_rows = 40"), &plan(1, curve(2.0, 0.1), stream(2000, 500)));
    assert!(report.errors > 0 && report.requests > 0);
    let sum = |pick: fn(&TenantReport) -> u64| report.tenants.values().map(pick).sum::<u64>();
    assert_eq!((sum(|t| t.requests), sum(|t| t.errors)), (report.requests, report.errors));
    assert_eq!(report.tenants.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn decisions_that_a_script_did_not_make_are_counted() {
    let text = "strategy = 'custom'\n[custom]\nscript = 's.rhai'";
    let script = "if segment.length % 8.0 == 3.0 { throw 1 } segment.length";
    let play =
        |script| run(policy_set(&[("p.toml", text), ("s.rhai", script)]), &plan(1, curve(2.0, 0.1), stream(500, 500)));
    let (failing, sound) = (play(script), play("segment.length"));
    assert_eq!((failing.requests, sound.requests, sound.fallbacks), (500, 500, 0));
    assert!(failing.fallbacks > 0 && failing.fallbacks <= failing.batch.count, "{failing:?}");
}

#[test]
fn batches_and_devices_carry_more() {
    let (alone, batched) = ("dynamic_batching = false\nqueue.max_rows = 100000", "queue.max_rows = 100000");
    let rate =
        |policy, devices| run(policies(policy), &plan(devices, curve(2.0, 0.01), stream(4000, 250))).throughput_rps;
    let (one, batches, two) = (rate(alone, 1), rate(batched, 1), rate(alone, 2));
    assert!(batches > 3.0 * one, "{batches} beside {one}");
    assert!((1.95..2.05).contains(&(two / one)), "{two} beside {one}");
}

#[test]
fn workers_of_a_device_slow_each_other() {
    let mut plan = plan(1, curve(10.0, 0.0), vec![arrival(0, "", vec![row(8)]), arrival(0, "", vec![row(8)])]);
    plan.models[0].places[0].workers = 2;
    let shared = Curve { busy: 2, ..curve(16.0, 0.0) };
    plan.models[0].places[0].cost = Arc::new(Cost { curves: vec![curve(10.0, 0.0), shared], ..Cost::default() });
    let latency = run(policies("dynamic_batching = false"), &plan).latency_ms.unwrap();
    assert_eq!((latency.p50, latency.max), (10.0, 16.0));
}

#[test]
fn a_cost_is_what_was_measured_where_it_was_and_the_trend_elsewhere() {
    let points = vec![Point { rows: 8.0, len: 64.0, took: 30e6 }];
    let cost = Cost { curves: vec![Curve { points, least: 3e6, ..curve(1.0, 0.02) }], ..Cost::default() };
    let ms = |rows, len| cost.time(rows, len, 1).as_secs_f64() * 1e3;
    assert!((ms(8, 64) / 30.0 - 1.0).abs() < 0.02, "{}", ms(8, 64));
    assert!((ms(512, 4) / (1.0 + 0.02 * 2048.0) - 1.0).abs() < 0.05, "{}", ms(512, 4));
    assert!((1.0 + 0.02 * 800.0..30.0 * 800.0 / 512.0).contains(&ms(10, 80)), "{}", ms(10, 80));
    assert!((3.0..3.1).contains(&ms(1, 1)), "{}", ms(1, 1));
}

#[test]
fn a_hundred_thousand_arrivals_are_played() {
    let report = run(policies("slo.target = '100ms'"), &plan(8, curve(2.0, 0.02), stream(100_000, 250)));
    assert_eq!((report.requests, report.errors), (100_000, 0));
    assert!(report.batch.count < 100_000 && report.busy_ratio.unwrap() < 1.0, "{report:?}");
}

#[cfg(feature = "server")]
#[test]
fn refusals_are_told_in_the_words_of_the_program() {
    use crate::error::Reason;
    use crate::sched::{FailReason, Reject};
    let drain = Duration::ZERO;
    for (reject, reason) in [
        (Reject::UnknownModel, Reason::UnknownModel),
        (Reject::NotReady, Reason::NotReady),
        (Reject::Draining, Reason::Draining),
        (Reject::RowsOverBatch { rows: 1, limit: 1 }, Reason::TooLarge),
        (Reject::QueueFull { drain }, Reason::Overloaded),
        (Reject::PredictedMiss { drain }, Reason::Overloaded),
        (Reject::DeadlinePassed, Reason::DeadlineExceeded),
    ] {
        assert_eq!(tally::refusal(&reject), reason.label());
    }
    assert_eq!(tally::failure(FailReason::DeadlineExceeded), Reason::DeadlineExceeded.label());
    assert_eq!(tally::failure(FailReason::ExecutionFailed), Reason::ExecutionFailed.label());
}
