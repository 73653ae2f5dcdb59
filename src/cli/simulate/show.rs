//! The figures for people, and for machines.

use super::advice;
use crate::sim::{LatencyMs, Plan, Report};
use crate::trace::{Figures, Measured, Trace};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;

/// One candidate's figures in JSON.
#[derive(Serialize)]
struct Named<'a> {
    policy: &'a str,
    /// As in the reports of `bench`; here arrivals come from a trace.
    protocol: &'static str,
    #[serde(flatten)]
    report: &'a Report,
    /// What was measured while the trace was recorded, by model.
    recorded: &'a Measured,
    /// Why the figures may not be what they seem.
    warnings: &'a [String],
}

pub(super) fn json(results: &[(&str, Report)], trace: &Trace) -> anyhow::Result<String> {
    let (recorded, warnings) = (&trace.footer.measured, &*advice::warnings(trace));
    let named = |(policy, report)| Named { policy, protocol: "trace", report, recorded, warnings };
    let named: Vec<_> = results.iter().map(|(policy, report)| named((*policy, report))).collect();
    let text = serde_json::to_string_pretty(&named).context("the figures cannot be written")?;
    Ok(text + "\n")
}

/// What was played, in a sentence or two.
pub(super) fn heading(plan: &Plan) -> String {
    let rows: u64 = plan.arrivals.iter().flat_map(|a| &a.items).map(|item| u64::from(item.rows)).sum();
    let (requests, seconds) = (plan.arrivals.len(), plan.duration.as_secs_f64());
    let rate = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
    let mut text = format!("{requests} requests of {rows} rows in {seconds:.1} s, {rate:.1} a second;");
    for model in &plan.models {
        let workers: u32 = model.places.iter().map(|place| place.workers).sum();
        let devices = model.places.len();
        text += &format!(
            " {}: {} on {}",
            model.limits.name,
            count(workers.into(), "worker"),
            count(devices as u64, "device")
        );
        text.push(';');
    }
    text.pop();
    text
}

fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A table of the candidates and what was recorded, and, where there are several tenants, one of these.
pub(super) fn tables(results: &[(&str, Report)], trace: &Trace) -> String {
    let answered = ["", "good/s", "req/s", "p50 ms", "p95 ms", "p99 ms"];
    let batches = ["batches", "batch", "useful tokens", "busy", "in flight", "refused"];
    let mut all = table(&[answered, batches].concat(), 1);
    for (name, report) in results {
        let (batch, share) = (&report.batch, |part: Option<f64>| known(part, percent));
        let mut row = vec![(*name).to_owned()];
        row.extend(answers(report.goodput_rps, report.throughput_rps, report.latency_ms.as_ref()));
        row.extend([batch.count.to_string(), known(batch.avg_rows, |rows| format!("{rows:.2}"))]);
        row.extend([share(report.padding_efficiency), share(report.busy_ratio)]);
        row.extend([format!("{:.1}", report.inflight_rows), refused(&report.errors_by_reason)]);
        all.add_row(row);
    }
    for (model, measured) in &trace.footer.measured {
        let only = trace.footer.measured.len() == 1;
        let name = if only { "recorded".to_owned() } else { format!("recorded: {model}") };
        all.add_row([vec![name], recorded(measured, trace, model)].concat());
    }
    let fell_back = fell_back(results);
    if results.iter().all(|(_, report)| report.tenants.len() < 2) {
        return all.trim_fmt() + fell_back.as_str();
    }
    let mut tenants = table(&["", "tenant", "good/s", "req/s", "p50 ms", "p95 ms", "p99 ms", "share", "refused"], 2);
    for (name, report) in results {
        for (tenant, own) in &report.tenants {
            let tenant = if tenant.is_empty() { "–" } else { &**tenant };
            let mut row = vec![(*name).to_owned(), tenant.to_owned()];
            row.extend(answers(own.goodput_rps, own.throughput_rps, own.latency_ms.as_ref()));
            row.extend([known(own.busy_share, percent), refused(&own.errors_by_reason)]);
            tenants.add_row(row);
        }
    }
    format!("{}{fell_back}\n{}", all.trim_fmt(), tenants.trim_fmt())
}

/// A line for each candidate whose script did not decide all that it was asked to.
fn fell_back(results: &[(&str, Report)]) -> String {
    let failed = results.iter().filter(|(_, report)| report.fallbacks > 0);
    let line = |(name, report): &(&str, Report)| {
        format!("\n{name}: a script failed at {}, made as adaptive makes them", count(report.fallbacks, "decision"))
    };
    failed.map(line).collect()
}

/// The line of what was measured, of one model.
fn recorded(measured: &Figures, trace: &Trace, model: &str) -> Vec<String> {
    let seconds = trace.footer.duration_us as f64 / 1e6;
    let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    let a_second = |n: u64| ratio(n as f64, seconds).unwrap_or(0.0);
    let latency = measured.latency_ms.map(|p| LatencyMs { p50: p.p50, p90: p.p90, p95: p.p95, p99: p.p99, max: p.max });
    let places = trace.header.models.get(model).map_or(&[][..], |served| &served.devices);
    let workers: u32 = places.iter().map(|place| place.workers).fold(0, u32::saturating_add);
    let batch = ratio(measured.rows as f64, measured.batches as f64);
    let mut row = answers(a_second(measured.good), a_second(measured.requests), latency.as_ref()).to_vec();
    row.extend([measured.batches.to_string(), known(batch, |rows| format!("{rows:.2}"))]);
    row.push(known(ratio(measured.tokens as f64, measured.padded_tokens as f64), percent));
    row.push(known(ratio(measured.busy_s, seconds * f64::from(workers)), percent));
    row.extend(["–".to_owned(), measured.errors.to_string()]);
    row
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A table whose columns after the first `left` are figures.
fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn answers(good: f64, all: f64, latency: Option<&LatencyMs>) -> [String; 5] {
    let ms = |pick: fn(&LatencyMs) -> f64| known(latency.map(pick), |ms| format!("{ms:.1}"));
    [format!("{good:.1}"), format!("{all:.1}"), ms(|l| l.p50), ms(|l| l.p95), ms(|l| l.p99)]
}

fn known(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn refused(reasons: &BTreeMap<&'static str, u64>) -> String {
    let told: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if told.is_empty() { "0".to_owned() } else { told.join("\n") }
}
