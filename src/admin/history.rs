//! `GET /stats/history`: the last ten minutes, a sample every two seconds.
//!
//! Decides what a sample holds. Without performance monitoring none is taken.

use super::busy::{Busy, Look};
use super::stats::{Millis, ratio};
use super::{Admin, date, json};
use crate::clock;
use crate::metrics::{SLOT, Seen};
use crate::types::{Time, locked};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two samples.
pub(super) const STEP: Duration = Duration::from_secs(2);
/// Most samples kept.
const MOST: usize = 300;

/// The samples, by model, oldest first.
#[derive(Debug, Default)]
pub struct History {
    models: Mutex<BTreeMap<Arc<str>, VecDeque<Sample>>>,
    pub(super) busy: Busy,
}

/// One model between two looks.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sample {
    rps: Option<f64>,
    latency: Millis,
    queue_depth: Option<u32>,
    batch_rows: Option<f64>,
    padding_efficiency: Option<f64>,
}

/// What had been counted of a model at a look.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    answered: u64,
    batches: u64,
    rows: u64,
    tokens: u64,
    padded: u64,
}

impl Totals {
    fn of(seen: &Seen) -> Self {
        let answered = seen.outcomes.get("ok").copied().unwrap_or_default();
        seen.batches.as_ref().map_or(Self { answered, ..Self::default() }, |b| Self {
            answered,
            batches: b.batches,
            rows: b.rows,
            tokens: b.tokens,
            padded: b.padded,
        })
    }
}

impl Sample {
    /// What happened since an earlier look; at the first there is nothing to compare with.
    fn of(seen: &Seen, before: Option<(Time, Totals)>, now: Time, queue_depth: Option<u32>) -> Self {
        let (latency, totals) = (Millis::of(seen.latency), Totals::of(seen));
        let Some((at, before)) = before else { return Self { latency, queue_depth, ..Self::default() } };
        Self {
            rps: Some((totals.answered - before.answered) as f64 / now.since(at).as_secs_f64().max(1e-3)),
            latency,
            queue_depth,
            batch_rows: ratio(totals.rows - before.rows, totals.batches - before.batches),
            padding_efficiency: ratio(totals.tokens - before.tokens, totals.padded - before.padded),
        }
    }
}

impl Admin {
    /// Takes samples for ever, or without performance monitoring does nothing for ever.
    pub(super) async fn sample(&self) {
        if !self.metrics.performance() {
            return pending().await;
        }
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: BTreeMap<Arc<str>, (Time, Totals)> = BTreeMap::new();
        loop {
            ticks.tick().await;
            let report = self.handle.report().await;
            if let Some(report) = &report {
                self.history.busy.push(Look::at(&report.workers, clock::now()));
            }
            for model in self.registry.list().iter() {
                let now = clock::now();
                // Percentiles of ten to twenty seconds: short enough to show a change, long enough to be some.
                let seen = self.metrics.model(&model.name).seen(now, SLOT * 2);
                let queue = report.as_ref().and_then(|r| r.models.get(&model.id)).map(|m| m.queue.rows);
                let last = before.insert(Arc::clone(&model.name), (now, Totals::of(&seen)));
                self.history.push(&model.name, Sample::of(&seen, last, now, queue));
            }
        }
    }
}

impl History {
    fn push(&self, model: &Arc<str>, sample: Sample) {
        let mut models = locked(&self.models);
        let samples = models.entry(Arc::clone(model)).or_default();
        if samples.len() == MOST {
            samples.pop_front();
        }
        samples.push_back(sample);
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    step_seconds: u64,
    now: String,
    models: BTreeMap<&'a str, Series>,
}

/// One value a sample, oldest first; null where nothing was measured.
#[derive(Serialize)]
struct Series {
    rps: Vec<Option<f64>>,
    p50_ms: Vec<Option<f64>>,
    p95_ms: Vec<Option<f64>>,
    p99_ms: Vec<Option<f64>>,
    queue_depth: Vec<Option<u32>>,
    batch_rows: Vec<Option<f64>>,
    padding_efficiency: Vec<Option<f64>>,
}

impl Series {
    fn of(samples: &VecDeque<Sample>) -> Self {
        let each = |part: fn(&Sample) -> Option<f64>| samples.iter().map(part).collect();
        Self {
            rps: each(|s| s.rps),
            p50_ms: each(|s| s.latency.p50),
            p95_ms: each(|s| s.latency.p95),
            p99_ms: each(|s| s.latency.p99),
            queue_depth: samples.iter().map(|s| s.queue_depth).collect(),
            batch_rows: each(|s| s.batch_rows),
            padding_efficiency: each(|s| s.padding_efficiency),
        }
    }
}

pub(super) async fn history(State(admin): State<Admin>) -> Response {
    let (table, none) = (admin.registry.list(), VecDeque::new());
    let models = {
        let samples = locked(&admin.history.models);
        table.iter().map(|m| (&*m.name, Series::of(samples.get(&m.name).unwrap_or(&none)))).collect()
    };
    json(&Shown { step_seconds: STEP.as_secs(), now: date(clock::date(clock::now())), models })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::BatchesSeen;

    fn seen(answered: u64, batches: Option<[u64; 4]>) -> Seen {
        let batches = batches.map(|[batches, rows, tokens, padded]| BatchesSeen {
            batches,
            rows,
            tokens,
            padded,
            queue: None,
            compute: None,
            batch_sizes: Vec::new(),
            lengths: Vec::new(),
        });
        let outcomes = BTreeMap::from([("ok", answered), ("overloaded", 7)]);
        Seen { outcomes, last_used: None, throughput: 0.0, latency: None, batches }
    }

    #[test]
    fn a_sample_is_of_what_happened_since_the_last() {
        let (first, second) = (seen(10, Some([2, 12, 100, 150])), seen(30, Some([4, 32, 190, 270])));
        let sample = Sample::of(&first, None, Time(1), Some(3));
        assert_eq!(sample, Sample { queue_depth: Some(3), ..Sample::default() });
        let before = Some((Time::from_millis(1_000), Totals::of(&first)));
        let sample = Sample::of(&second, before, Time::from_millis(3_000), None);
        assert_eq!((sample.rps, sample.batch_rows, sample.padding_efficiency), (Some(10.0), Some(10.0), Some(0.75)));
        let before = Some((Time::from_millis(3_000), Totals::of(&second)));
        let idle = Sample::of(&second, before, Time::from_millis(5_000), None);
        assert_eq!((idle.rps, idle.batch_rows, idle.padding_efficiency), (Some(0.0), None, None));
    }

    #[test]
    fn the_oldest_samples_go_first() {
        let history = History::default();
        let name = Arc::from("m");
        (0..400).for_each(|i| history.push(&name, Sample { rps: Some(f64::from(i)), ..Sample::default() }));
        let series = Series::of(&history.models.lock().unwrap()["m"]);
        assert_eq!((series.rps.len(), series.rps[0], series.rps[299]), (300, Some(100.0), Some(399.0)));
        assert!(series.queue_depth.iter().all(Option::is_none));
    }
}
