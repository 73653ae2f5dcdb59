//! The plots of a report: what stands on which axis.

use super::plot::{Axis, Mark, Plot, Scale, Series};
use super::{escape, put};
use crate::bench::report::{LatencyMs, RampReport, Report, Step, Window};
use crate::bench::table::{known, milliseconds};
use std::fmt::Write;

const LATENCY: Axis = Axis { label: "latency, ms", scale: Scale::Log };
const TIME: Axis = Axis { label: "time, s", scale: Scale::Linear };

fn line(name: &'static str, colour: u8, points: Vec<(f64, f64)>) -> Series {
    Series { name, mark: Mark::Line, colour, points }
}

/// Latency by percentile; the tail has as much room as the middle.
pub(super) fn latency(report: &Report) -> String {
    // 100 % has no place on this axis.
    let points = report.latency_curve.iter().filter(|point| point.percentile < 100.0);
    let points = points.map(|point| (point.percentile, point.ms)).collect();
    let x = Axis { label: "percentile", scale: Scale::Percentile };
    Plot { title: "Latency by percentile", x, y: LATENCY, series: vec![line("latency", 1, points)] }.svg()
}

/// Latency, and answers, over the measured time.
pub(super) fn over_time(report: &Report) -> String {
    let windows = &report.windows;
    // A point stands in the middle of its window.
    let ends = windows.iter().skip(1).map(|window| window.from_s).chain([report.duration_s]);
    let middles: Vec<f64> = windows.iter().zip(ends).map(|(window, end)| (window.from_s + end) / 2.0).collect();
    let series = |pick: fn(&Window) -> Option<f64>| {
        windows.iter().zip(&middles).filter_map(|(window, middle)| Some((*middle, pick(window)?))).collect()
    };
    let latency = vec![line("p50", 1, series(|window| window.p50_ms)), line("p99", 2, series(|window| window.p99_ms))];
    let latency = Plot { title: "Latency over time", x: TIME, y: LATENCY, series: latency };
    let answers = vec![line("answers", 1, series(|window| Some(window.throughput_rps)))];
    let y = Axis { label: "good answers a second", scale: Scale::Linear };
    [latency.svg(), Plot { title: "Answers over time", x: TIME, y, series: answers }.svg()].concat()
}

/// How large batches were, and how much of what was computed was text.
pub(super) fn batches(report: &Report) -> String {
    let points = report.batch.sizes.iter().map(|size| (f64::from(size.rows), size.batches)).collect();
    let x = Axis { label: "rows in the batch", scale: Scale::Linear };
    let y = Axis { label: "batches", scale: Scale::Linear };
    let bars = Series { name: "batches", mark: Mark::Bars, colour: 1, points };
    let sizes = Plot { title: "Batch sizes", x, y, series: vec![bars] }.svg();
    [sizes, report.padding_efficiency.map(padding).unwrap_or_default()].concat()
}

/// One bar: text, and padding.
fn padding(useful: f64) -> String {
    let (share, width) = (useful * 100.0, useful * 884.0);
    let rest = 100.0 - share;
    format!(
        "<figure>\n<figcaption>Computed tokens</figcaption>\n\
         <svg viewBox=\"0 0 900 48\" role=\"img\" aria-label=\"share of text and padding\">\n\
         <rect class=\"rest\" x=\"0\" y=\"4\" width=\"884\" height=\"18\"/>\n\
         <rect class=\"f1\" x=\"0\" y=\"4\" width=\"{width:.1}\" height=\"18\"/>\n\
         <text x=\"0\" y=\"40\">text {share:.1} %</text>\n\
         <text x=\"884\" y=\"40\" text-anchor=\"end\">padding {rest:.1} %</text>\n</svg>\n</figure>\n"
    )
}

/// The steps of a ramp as plots and as a table.
pub(super) fn ramp(ramp: &RampReport) -> String {
    let mut steps: Vec<&Step> = ramp.steps.iter().collect();
    steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let x = Axis { label: "answers a second", scale: Scale::Linear };
    let points = |held: bool| {
        let steps = steps.iter().filter(|step| step.held == held);
        steps.filter_map(|step| Some((step.throughput_rps, step.latency_ms?.p99))).collect::<Vec<_>>()
    };
    let most = steps.iter().map(|step| step.throughput_rps).fold(0.0, f64::max);
    let series = vec![
        Series { name: "held", mark: Mark::Points, colour: 1, points: points(true) },
        Series { name: "not held", mark: Mark::Points, colour: 2, points: points(false) },
        line("objective", 3, vec![(0.0, ramp.slo_ms), (most * 1.05, ramp.slo_ms)]),
    ];
    let y = Axis { label: "p99 latency, ms", scale: Scale::Log };
    let latency = Plot { title: "Latency against throughput", x, y, series };
    let kept = steps.iter().map(|step| (step.offered_rps, step.throughput_rps)).collect();
    let kept = Plot {
        title: "Throughput against rate",
        x: Axis { label: "requests a second, planned", scale: Scale::Linear },
        y: x,
        series: vec![line("answers", 1, kept)],
    };
    [table(&ramp.steps), latency.svg(), kept.svg()].concat()
}

fn table(steps: &[Step]) -> String {
    let mut html = "<table>\n<tr><th>rate</th><th>planned req/s</th><th>answered req/s</th><th>p50 ms</th>\
                    <th>p99 ms</th><th>errors</th><th>held</th></tr>\n"
        .to_owned();
    for step in steps {
        let ms = |pick: fn(&LatencyMs) -> f64| known(step.latency_ms.as_ref().map(pick), milliseconds);
        let verdict = step.failed_by.map_or_else(|| "yes".to_owned(), |fault| format!("no: {fault}"));
        let (rate, offered, throughput, errors) = (step.rate, step.offered_rps, step.throughput_rps, step.errors);
        put!(html, "<tr><td>{rate:.1}</td><td>{offered:.1}</td><td>{throughput:.1}</td>");
        put!(html, "<td>{}</td><td>{}</td>", ms(|l| l.p50), ms(|l| l.p99));
        put!(html, "<td>{errors}</td><td>{}</td></tr>\n", escape(&verdict));
    }
    html + "</table>\n"
}
