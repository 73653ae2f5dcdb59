//! `GET /decisions`: the last batches, and why each was formed.
//!
//! Decides the form. Does not know how many are kept.

use super::{Admin, json, refuse};
use crate::clock;
use crate::dispatch::{Decision, MOST_DECISIONS};
use crate::error::Error;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use std::time::Duration;

/// Decisions shown where none are asked for.
const USUAL: usize = 100;

/// One batch.
#[derive(Serialize)]
struct Shown<'a> {
    batch: u64,
    at: String,
    model: &'a str,
    device: &'a str,
    worker: u32,
    policy: &'a str,
    strategy: &'static str,
    generation: u64,
    rows: u32,
    /// One a row.
    lengths: Vec<u32>,
    padded_length: u32,
    tokens: u64,
    requests: Vec<&'a str>,
    tenants: Vec<&'a str>,
    predicted_ms: f64,
    compute_ms: Option<f64>,
    queue_ms: f64,
    reason: &'static str,
    outcome: &'static str,
}

impl<'a> Shown<'a> {
    fn of(d: &'a Decision) -> Self {
        let named = d.members.iter().map(|m| &*m.tenant).filter(|tenant| !tenant.is_empty());
        Self {
            batch: d.batch.0,
            at: date(d.at),
            model: &d.model,
            device: &d.device,
            worker: d.worker.0,
            policy: &d.policy.name,
            strategy: d.policy.strategy.name(),
            generation: d.generation,
            rows: d.rows,
            lengths: d.members.iter().flat_map(|m| std::iter::repeat_n(m.len, m.rows as usize)).collect(),
            padded_length: d.padded_len,
            tokens: d.tokens,
            requests: distinct(d.members.iter().map(|m| &*m.request)),
            tenants: distinct(named),
            predicted_ms: ms(d.predicted),
            compute_ms: d.compute.map(ms),
            queue_ms: ms(d.queued),
            reason: d.reason,
            outcome: d.outcome.label(),
        }
    }
}

pub(super) async fn decisions(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let n = match count(query.as_deref().unwrap_or_default()) {
        Ok(n) => n,
        Err(message) => return refuse(&Error::invalid(message)),
    };
    let last = admin.handle.decisions().last(n);
    json(&last.iter().map(|decision| Shown::of(decision)).collect::<Vec<_>>())
}

/// The `n` of a query.
fn count(query: &str) -> Result<usize, String> {
    let Some(given) = query.split('&').find_map(|pair| pair.strip_prefix("n=")) else { return Ok(USUAL) };
    let n = given.parse().ok().filter(|n| (1..=MOST_DECISIONS).contains(n));
    n.ok_or_else(|| format!("n: expected a whole number from 1 to {MOST_DECISIONS}, found \"{given}\""))
}

/// In order of their first mention.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// RFC 3339, in UTC.
pub(super) fn date(time: crate::types::Time) -> String {
    humantime::format_rfc3339_millis(clock::date(time)).to_string()
}

/// Milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_from_1_to_1000() {
        for (query, n) in [("", 100), ("m=3", 100), ("n=1", 1), ("a=b&n=1000", 1000)] {
            assert_eq!(count(query), Ok(n), "{query}");
        }
        for query in ["n=0", "n=1001", "n=", "n=-1", "n=ten", "n=99999999999999999999"] {
            let fault = count(query).unwrap_err();
            assert!(fault.starts_with("n: expected a whole number from 1 to 1000, found"), "{fault}");
        }
    }

    #[test]
    fn names_are_told_once() {
        assert_eq!(distinct(["b", "a", "b", "c", "a"].into_iter()), ["b", "a", "c"]);
    }
}
