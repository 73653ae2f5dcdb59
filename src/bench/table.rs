//! The figures of a measurement, as a person reads them in a terminal.

use super::report::{LatencyMs, RampReport, Report, Step};
use comfy_table::{CellAlignment, Table, presets};

/// Draws reports side by side, one line each, under the name given with it.
#[must_use]
pub fn table<'a>(reports: impl IntoIterator<Item = (&'a str, &'a Report)>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let percentiles = ["p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
    table.set_header([&["", "req/s"][..], &percentiles, &["batch", "useful tokens", "errors"]].concat());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, report) in reports {
        table.add_row(row(name, report));
    }
    table.trim_fmt()
}

/// What the generator itself cost, in a line.
#[must_use]
pub fn own_cost(report: &Report) -> String {
    let own = &report.generator;
    let each = own.cpu_us_per_request.map_or_else(String::new, |micros| format!(", {micros:.0} µs a request"));
    let late = own.late_ms.map_or_else(String::new, |late| {
        format!("; requests were sent {} ms late (p50), {} ms (p99)", milliseconds(late.p50), milliseconds(late.p99))
    });
    format!("generator: {:.2} cores{each}{late}", own.cpu_cores)
}

/// What a ramp found, in a line.
#[must_use]
pub fn answer(ramp: &RampReport) -> String {
    let slo = ramp.slo_ms;
    match ramp.highest_rate {
        Some(rate) => format!("highest rate with p99 of at most {slo} ms: {rate:.1} requests a second"),
        None => format!("not even the first rate held p99 of at most {slo} ms"),
    }
}

/// One step of a ramp, in a line.
#[must_use]
pub(super) fn step(step: &Step) -> String {
    let p99 = known(step.latency_ms.map(|latency| latency.p99), milliseconds);
    let verdict = step.failed_by.map_or_else(|| "held".to_owned(), |fault| format!("not held: {fault}"));
    let (rate, throughput, errors) = (step.rate, step.throughput_rps, step.errors);
    format!("{rate:>9.1}/s: {throughput:.1} answers a second, p99 {p99} ms, {errors} errors; {verdict}")
}

fn row(name: &str, report: &Report) -> [String; 10] {
    let latency = |pick: fn(&LatencyMs) -> f64| known(report.latency_ms.as_ref().map(pick), milliseconds);
    [
        name.to_owned(),
        format!("{:.1}", report.throughput_rps),
        latency(|l| l.p50),
        latency(|l| l.p90),
        latency(|l| l.p99),
        latency(|l| l.p999),
        latency(|l| l.max),
        known(report.batch.avg_rows, |rows| format!("{rows:.2}")),
        known(report.padding_efficiency, |share| format!("{:.1} %", share * 100.0)),
        errors(report),
    ]
}

/// As many decimals as say something.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.1}") }
}

pub(super) fn known(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn errors(report: &Report) -> String {
    let reasons: Vec<_> = report.errors_by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if reasons.is_empty() { "0".to_owned() } else { reasons.join("\n") }
}
