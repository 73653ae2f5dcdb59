//! Policies beside other servers, each at its best settings, on the load and the machine of [`workload`].
//!
//! [`workload`]: crate::sim::workload

use super::super::*;
use super::policies;
use crate::sim::workload::{Stream, plan};

/// What every request is promised.
const ADAPTIVE: &str = "slo.target = '100ms'";
/// Requests of which so many are answered in time are served well.
const GOOD: f64 = 0.99;

fn stream(tenant: &str, rate: f64, seconds: u64) -> Stream {
    Stream { tenant: tenant.into(), rate, from: Duration::ZERO, until: Duration::from_secs(seconds) }
}

/// Twenty seconds of so many requests a second, served by the baseline of that name or else by that policy.
fn play(server: &str, rate: f64, grid: Grid) -> (f64, Report) {
    let plan = plan(&[stream("", rate, 20)], grid, 1);
    let report = match server.parse::<Baseline>() {
        Ok(baseline) => run_baseline(baseline, policies(ADAPTIVE), &plan),
        Err(_) => run(policies(server), &plan),
    };
    (report.goodput_rps * report.duration_s / plan.arrivals.len() as f64, report)
}

/// The share of requests that are answered in time.
fn share(server: &str, rate: f64, grid: Grid) -> f64 {
    play(server, rate, grid).0
}

/// Holds a policy to carrying `times` what any of the others does: it serves a rate well that none of them serves a
/// part of.
fn beats(grid: Grid, rate: f64, times: f64, others: &[&str]) {
    let own = share(ADAPTIVE, rate, grid);
    assert!(own >= GOOD, "{own} of {rate} a second");
    for other in others {
        let part = share(other, rate / times, grid);
        assert!(part < GOOD, "{other}: {part} of {} a second", rate / times);
    }
}

const FIXED: [&str; 5] =
    ["fixed:32", "fixed:32:0s+drop", "fixed:32:2ms+drop", "fixed:32:5ms+drop", "fixed:32:20ms+drop"];
const WINDOWS: [&str; 6] =
    ["window:64:12", "window:256:8", "window:256:12", "window:256:16", "window:1024:14", "window:1024:32"];

#[test]
fn adaptive_carries_three_times_what_fixed_batches_do() {
    beats(Grid::Exact, 2600.0, 3.0, &FIXED);
}

#[test]
fn and_so_it_does_on_stepped_lengths() {
    beats(Grid::Stepped, 2500.0, 3.0, &FIXED);
}

#[test]
fn adaptive_carries_a_third_more_than_sorting_within_a_window() {
    beats(Grid::Exact, 2600.0, 1.3, &WINDOWS);
}

#[test]
fn and_so_it_does_on_stepped_lengths_too() {
    beats(Grid::Stepped, 2500.0, 1.3, &WINDOWS);
}

/// All that docs/scheduling.md shows, best settings first found by sweeps of the others.
#[test]
#[ignore = "prints a table; it takes minutes"]
fn the_table_of_the_page() {
    const ROWS: [&str; 21] = [
        ADAPTIVE,
        "slo.target = '100ms'\nslo.deadline = '100ms'",
        "strategy = 'coalescing'\nslo.target = '100ms'",
        "strategy = 'latency_optimized'\nslo.target = '100ms'",
        "strategy = 'throughput_optimized'\nslo.target = '100ms'",
        "none",
        "fixed:32",
        "fixed:32:0s+drop",
        "fixed:32:2ms+drop",
        "fixed:4:0s+drop",
        "fifo:16384",
        "fifo:1024",
        "fifo:1024+drop",
        "window:1024",
        "window:256:12",
        "window:256:12+drop",
        "regression",
        "regression:8",
        "drop",
        "drop:8",
        "none+drop",
    ];
    for grid in [Grid::Exact, Grid::Stepped] {
        for server in ROWS {
            let (mut low, mut high) = (0, 70);
            while high - low > 1 {
                let middle = (low + high) / 2;
                let well = share(server, f64::from(middle * 50), grid) >= GOOD;
                (low, high) = if well { (middle, high) } else { (low, middle) };
            }
            print!("| {grid:?} | {} | {} |", server.replace('\n', ", "), low * 50);
            for rate in [800.0, 2000.0, 2500.0] {
                let (share, report) = play(server, rate, grid);
                let p99 = report.latency_ms.map_or(0.0, |latency| latency.p99);
                print!(" {:.1} %, {p99:.0} ms |", share * 100.0);
            }
            println!();
        }
    }
}

/// What docs/scheduling.md says of more than the device can do.
#[test]
#[ignore = "prints figures; it takes a minute"]
fn the_sentences_about_overload() {
    for server in [ADAPTIVE, "slo.target = '100ms'\nslo.deadline = '100ms'"] {
        for rate in [2700.0, 2800.0, 3000.0, 4000.0] {
            println!("{} at {rate}: {:.1} %", server.replace('\n', ", "), share(server, rate, Grid::Exact) * 100.0);
        }
    }
}

/// A light tenant and one that sends ten times as much, more than the device can do.
fn flooded(policies: Arc<PolicySet>) -> Report {
    run(policies, &plan(&[stream("light", 400.0, 20), stream("flood", 4000.0, 20)], Grid::Exact, 1))
}

fn light_is_served_well(report: &Report) {
    let (light, flood) = (&report.tenants["light"], &report.tenants["flood"]);
    let asked = (light.requests + light.errors) as f64;
    let share = light.goodput_rps * report.duration_s / asked;
    println!("{:.2} % of the light tenant's, {:.0} a second of the flood", share * 100.0, flood.goodput_rps);
    assert!(share >= GOOD, "{share} of the light tenant's: {report:?}");
    assert!(flood.goodput_rps > 1000.0 && flood.goodput_rps < 3600.0, "the flood has the rest: {report:?}");
}

#[test]
fn a_light_tenant_with_a_policy_of_its_own_does_not_notice_a_flood() {
    let slo = "[slo]\ntarget = '100ms'\ndeadline = '100ms'\non_predicted_miss = 'serve'";
    let text = |tenant| format!("match.tenants = ['{tenant}']\n{slo}");
    light_is_served_well(&flooded(super::policy_set(&[
        ("light.toml", &text("light")),
        ("flood.toml", &text("flood")),
    ])));
}

#[test]
fn a_light_tenant_does_not_notice_a_flood_under_the_same_policy() {
    let slo = "[slo]\ntarget = '100ms'\ndeadline = '100ms'";
    light_is_served_well(&flooded(policies(&format!("match.tenants = ['light', 'flood']\n{slo}"))));
}
