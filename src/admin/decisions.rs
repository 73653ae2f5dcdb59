//! `GET /decisions`: the last batches, and why each was formed.
//!
//! Decides the form. Does not know how many are kept.

use super::policies::{EVERY_MODEL, known};
use super::{Admin, date, json, ms, refuse};
use crate::dispatch::{Decision, MOST_DECISIONS};
use crate::document::quote;
use crate::error::Error;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

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
    best_rows: Option<u32>,
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
            best_rows: d.best_rows,
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
    let wanted = Wanted::read(query.as_deref().unwrap_or_default());
    let found = wanted.and_then(|wanted| Ok((wanted.n, known(&admin, wanted.model)?)));
    let (n, model) = match found {
        Ok(found) => found,
        Err(error) => return refuse(&error),
    };
    let last = admin.handle.decisions().last(n, model.as_deref());
    json(&last.iter().map(|decision| Shown::of(decision)).collect::<Vec<_>>())
}

/// What a query asks for.
#[derive(Debug, PartialEq)]
struct Wanted<'a> {
    n: usize,
    model: &'a str,
}

impl<'a> Wanted<'a> {
    fn read(query: &'a str) -> Result<Self, Error> {
        let (mut n, mut model) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let again = match pair.split_once('=') {
                Some(("n", given)) => n.replace(count(given)?).is_some(),
                // Names of models need no escapes.
                Some(("model", name)) => model.replace(name).is_some(),
                _ => {
                    let message = format!("unknown parameter {}: there are `n` and `model`", quote(pair));
                    return Err(Error::invalid(message));
                }
            };
            if again {
                return Err(Error::invalid(format!("given twice: {}", quote(pair))));
            }
        }
        Ok(Self { n: n.unwrap_or(USUAL), model: model.unwrap_or(EVERY_MODEL) })
    }
}

fn count(given: &str) -> Result<usize, Error> {
    let n = given.parse().ok().filter(|n| (1..=MOST_DECISIONS).contains(n));
    let expected = || format!("n: expected a whole number from 1 to {MOST_DECISIONS}, found {}", quote(given));
    n.ok_or_else(|| Error::invalid(expected()))
}

/// In order of their first mention.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_so_many_of_a_model() {
        for (query, n, model) in
            [("", 100, "*"), ("n=1", 1, "*"), ("model=minilm", 100, "minilm"), ("model=minilm&n=1000", 1000, "minilm")]
        {
            assert_eq!(Wanted::read(query).unwrap(), Wanted { n, model }, "{query}");
        }
        for (query, why) in [
            ("m=5", "unknown parameter `m=5`: there are `n` and `model`"),
            ("n=5&models", "unknown parameter `models`"),
            ("n=5&n=6", "given twice: `n=6`"),
        ] {
            let message = Wanted::read(query).unwrap_err().message;
            assert!(message.starts_with(why), "{message}");
        }
        for query in ["n=0", "n=1001", "n=", "n=-1", "n=ten", "n=99999999999999999999"] {
            let message = Wanted::read(query).unwrap_err().message;
            assert!(message.starts_with("n: expected a whole number from 1 to 1000, found"), "{message}");
        }
    }

    #[test]
    fn names_are_told_once() {
        assert_eq!(distinct(["b", "a", "b", "c", "a"].into_iter()), ["b", "a", "c"]);
    }
}
