//! The report as one HTML page: figures, plots and the command's parameters, with nothing fetched from elsewhere.
//!
//! Decides what is plotted and in which order. Every text that came from outside is escaped.

mod charts;
mod plot;
#[cfg(test)]
mod tests;

use super::report::{LatencyMs, Report};
use super::table::{answer, known, milliseconds, own_cost};
use std::fmt::Write;

/// Light and dark, by what the reader's system asks for.
const STYLE: &str = include_str!("style.css");

/// Draws a report as a page under `title`; `parameters` are names and values of what was asked for.
#[must_use]
pub fn page(title: &str, report: &Report, parameters: &[(String, String)]) -> String {
    let title = escape(title);
    let mut body = format!("<h1>{title}</h1>\n{}", tiles(report));
    if let Some(ramp) = &report.ramp {
        section(&mut body, "Ramp", &format!("<p>{}</p>\n{}", escape(&answer(ramp)), charts::ramp(ramp)));
    }
    section(&mut body, "Latency", &format!("{}{}", latencies(report), charts::latency(report)));
    section(&mut body, "Over time", &charts::over_time(report));
    section(&mut body, "Batches", &charts::batches(report));
    section(&mut body, "Errors", &errors(report));
    let own = format!("<p>{}</p>\n", escape(&own_cost(report)));
    section(&mut body, "Parameters", &[rows(parameters.iter().cloned()), own].concat());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Replaces what HTML reads as markup, in text and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Appends to a page; a `String` takes everything.
macro_rules! put {
    ($page:expr, $($words:tt)*) => { write!($page, $($words)*).unwrap_or_default() };
}
use put;

/// A part of the page under its own heading; none where there is nothing to say.
fn section(body: &mut String, heading: &str, content: &str) {
    if !content.is_empty() {
        put!(body, "<section>\n<h2>{heading}</h2>\n{content}</section>\n");
    }
}

/// The few figures that most readers came for.
fn tiles(report: &Report) -> String {
    let latency = |pick: fn(&LatencyMs) -> f64| known(report.latency_ms.as_ref().map(pick), milliseconds);
    let tiles = [
        ("answers a second", format!("{:.1}", report.throughput_rps), "req/s"),
        ("median latency", latency(|l| l.p50), "ms"),
        ("99th percentile", latency(|l| l.p99), "ms"),
        ("mean batch", known(report.batch.avg_rows, |rows| format!("{rows:.2}")), "rows"),
        ("useful tokens", known(report.padding_efficiency, |share| format!("{:.1}", share * 100.0)), "%"),
        ("good answers", report.requests.to_string(), ""),
        ("errors", report.errors.to_string(), ""),
    ];
    let mut html = "<div class=\"tiles\">\n".to_owned();
    for (name, value, unit) in tiles {
        put!(html, "<div><b>{value}</b> {unit}<br><span>{name}</span></div>\n");
    }
    html + "</div>\n"
}

/// The percentiles, and the server's own times, as a table.
fn latencies(report: &Report) -> String {
    let Some(latency) = &report.latency_ms else {
        return "<p>Nothing was answered.</p>\n".to_owned();
    };
    let LatencyMs { p50, p90, p95, p99, p999, max, mean } = *latency;
    let mut columns =
        vec![("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p99.9", p999), ("max", max), ("mean", mean)];
    if let Some(server) = &report.server_ms {
        columns.extend([
            ("mean in queue", server.queue),
            ("mean assembling", server.assemble),
            ("mean computing", server.compute),
        ]);
    }
    let (mut names, mut values) = (String::new(), String::new());
    for (name, value) in columns {
        put!(names, "<th>{name}</th>");
        put!(values, "<td>{}</td>", milliseconds(value));
    }
    format!("<table>\n<tr><th>ms</th>{names}</tr>\n<tr><td></td>{values}</tr>\n</table>\n")
}

fn errors(report: &Report) -> String {
    if report.errors == 0 {
        return String::new();
    }
    rows(report.errors_by_reason.iter().map(|(reason, count)| (reason.clone(), count.to_string())))
}

/// A table of names and values.
fn rows(pairs: impl Iterator<Item = (String, String)>) -> String {
    let mut html = "<table class=\"pairs\">\n".to_owned();
    for (name, value) in pairs {
        put!(html, "<tr><th>{}</th><td>{}</td></tr>\n", escape(&name), escape(&value));
    }
    html + "</table>\n"
}
