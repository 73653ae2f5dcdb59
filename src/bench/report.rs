//! The figures of one measurement, for machines and for people.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of one measurement. What the server did not say is `null`, never invented.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How texts were put to the server.
    pub protocol: &'static str,
    /// Requests answered with 2xx within the measured time.
    pub requests: u64,
    /// Requests that failed or were refused within the measured time.
    pub errors: u64,
    /// The same errors by the server's reason, or `http <status>`, `connection`, `timeout`.
    pub errors_by_reason: BTreeMap<String, u64>,
    /// The measured time.
    pub duration_s: f64,
    /// Good answers a second.
    pub throughput_rps: f64,
    /// From sending a request to the end of its good answer; `None` without any.
    pub latency_ms: Option<LatencyMs>,
    /// Where the server says the time went; `None` where it does not say.
    pub server_ms: Option<ServerMs>,
    /// About the batches that the answers came from.
    pub batch: BatchReport,
    /// The share of computed tokens that was text, not padding, over all batches.
    pub padding_efficiency: Option<f64>,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "percentiles, named as everywhere")]
pub struct LatencyMs {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Means of the `server-timing` header, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerMs {
    /// Waiting for a batch.
    pub queue: f64,
    /// Padding and copying.
    pub assemble: f64,
    /// The model's run.
    pub compute: f64,
}

/// About the batches that the answers came from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchReport {
    /// Mean size of a batch, over batches.
    pub avg_rows: Option<f64>,
}

/// Draws reports side by side, one line each, under the name given with it.
#[must_use]
pub fn table<'a>(reports: impl IntoIterator<Item = (&'a str, &'a Report)>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "req/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "batch", "useful tokens", "errors"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, report) in reports {
        table.add_row(row(name, report));
    }
    table.trim_fmt()
}

fn row(name: &str, report: &Report) -> [String; 9] {
    let latency = |pick: fn(&LatencyMs) -> f64| known(report.latency_ms.as_ref().map(pick), |ms| format!("{ms:.1}"));
    [
        name.to_owned(),
        format!("{:.1}", report.throughput_rps),
        latency(|l| l.p50),
        latency(|l| l.p90),
        latency(|l| l.p99),
        latency(|l| l.max),
        known(report.batch.avg_rows, |rows| format!("{rows:.2}")),
        known(report.padding_efficiency, |share| format!("{:.1} %", share * 100.0)),
        errors(report),
    ]
}

fn known(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn errors(report: &Report) -> String {
    let reasons: Vec<_> = report.errors_by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if reasons.is_empty() { "0".to_owned() } else { reasons.join("\n") }
}
