//! Where the costs of models come from: the trace itself, or what `/stats` of a server answered.

use super::{MOST_DEVICES, MOST_WORKERS};
use crate::trace::{Coefficients, Curve, Models, Place, Point, Served, Trace};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How costs are come by, for those who have none.
const MEND: &str = "record the trace with POST /trace of a server that has served or warmed it up, \
                    or save what GET /stats answers and name that file with --costs";

/// The most that a figure of a cost can be: rows, tokens, or milliseconds, of which this is eleven days.
const MOST: f64 = 1e9;

/// The most quantiles of anything.
const MOST_QUANTILES: usize = 1001;

/// What is read of the answer of `GET /stats`.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    models: BTreeMap<Arc<str>, ModelStats>,
}

#[derive(Debug, Deserialize)]
struct ModelStats {
    workers: u32,
    batchable: bool,
    cost_model: Option<CostStats>,
}

#[derive(Debug, Deserialize)]
struct CostStats {
    devices: Vec<DeviceCost>,
}

#[derive(Debug, Deserialize)]
struct DeviceCost {
    device: Arc<str>,
    busy_workers: u32,
    coefficients_ms: Coefficients,
    points: Vec<PointStats>,
}

#[derive(Debug, Deserialize)]
struct PointStats {
    rows: f64,
    len: f64,
    measured_ms: f64,
}

impl Stats {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let at = || format!("--costs {}", path.display());
        let text = std::fs::read_to_string(path).with_context(at)?;
        serde_json::from_str(&text).context("it is not what GET /stats answers").with_context(at)
    }

    /// The models whose cost is known; the workers of one are spread evenly over its devices.
    fn served(self) -> Models {
        let served = |(name, model): (Arc<str>, ModelStats)| {
            let devices = model.cost_model.map_or_else(Vec::new, |cost| cost.devices);
            let workers = model.workers / u32::try_from(devices.len().max(1)).unwrap_or(u32::MAX);
            let devices: Vec<_> = devices.into_iter().map(|device| device.place(workers.max(1))).collect();
            (!devices.is_empty()).then_some((name, Served { batchable: model.batchable, overhead_ms: None, devices }))
        };
        self.models.into_iter().filter_map(served).collect()
    }
}

impl DeviceCost {
    fn place(self, workers: u32) -> Place {
        let points = self.points.iter().map(|&PointStats { rows, len, measured_ms }| Point { rows, len, measured_ms });
        let (busy_workers, coefficients_ms) = (self.busy_workers, self.coefficients_ms);
        let costs = vec![Curve { busy_workers, coefficients_ms, points: points.collect() }];
        Place { device: self.device, workers, handover_ms: Vec::new(), pace: Vec::new(), spread: Vec::new(), costs }
    }
}

/// The models of a trace with their costs, those of `stats` first.
pub(super) fn models(trace: &Trace, stats: Option<Stats>) -> anyhow::Result<Models> {
    let mut models = trace.header.models.clone();
    for (name, mut served) in stats.map(Stats::served).unwrap_or_default() {
        if let Some(recorded) = models.get(&name) {
            served.keep(recorded);
        }
        models.insert(name, served);
    }
    if models.is_empty() {
        bail!("the trace does not say what batches cost: {MEND}");
    }
    for arrival in &trace.arrivals {
        if !models.contains_key(&arrival.model) {
            let known: Vec<_> = models.keys().map(|name| format!("`{name}`")).collect();
            bail!(
                "the trace has requests for the model `{}`, whose cost is not known; known: {}. {MEND}",
                arrival.model,
                known.join(", ")
            );
        }
    }
    models.iter().try_for_each(|(name, served)| check(served).with_context(|| format!("model `{name}`")))?;
    Ok(models)
}

impl Served {
    /// Keeps what only a recording measures.
    fn keep(&mut self, recorded: &Self) {
        self.overhead_ms = recorded.overhead_ms;
        for place in &mut self.devices {
            if let Some(there) = recorded.devices.iter().find(|there| there.device == place.device) {
                (place.pace, place.spread) = (there.pace.clone(), there.spread.clone());
                place.handover_ms.clone_from(&there.handover_ms);
            }
        }
    }
}

/// Holds figures that a person may have written to what a cost can be.
fn check(served: &Served) -> anyhow::Result<()> {
    let costs = || served.devices.iter().flat_map(|place| &place.costs);
    let is_sound = |place: &Place| (1..=MOST_WORKERS).contains(&place.workers) && !place.costs.is_empty();
    if !(1..=MOST_DEVICES as usize).contains(&served.devices.len()) || !served.devices.iter().all(is_sound) {
        bail!(
            "there must be from 1 to {MOST_DEVICES} devices, and on each from 1 to {MOST_WORKERS} workers and at least \
             one cost"
        );
    }
    if costs().any(|curve| !(1..=MOST_WORKERS).contains(&curve.busy_workers)) {
        bail!("busy_workers of a cost is from 1 to {MOST_WORKERS}");
    }
    let mut quantiles = served.devices.iter().flat_map(|place| [&place.handover_ms, &place.spread]);
    let pace = |place: &Place| place.pace.iter().all(|pace| (0.0..=MOST).contains(pace));
    if !served.devices.iter().all(pace) {
        bail!("a pace is from 0 to {MOST}");
    }
    if !served.overhead_ms.is_none_or(|ms| (0.0..=MOST).contains(&ms)) || !quantiles.all(|all| are_quantiles(all)) {
        bail!(
            "overhead_ms, handover_ms and spread are from 0 to {MOST}, the last two at most {MOST_QUANTILES} quantiles, \
             none below the one before"
        );
    }
    for Curve { coefficients_ms: Coefficients { base, per_token, per_squared_token, least }, points, .. } in costs() {
        let terms = [base, per_token, per_squared_token, least];
        let measured = points.iter().flat_map(|p| [p.rows, p.len, p.measured_ms]);
        let sound = terms.into_iter().all(|term| (0.0..=MOST).contains(term))
            && terms.into_iter().any(|term| *term > 0.0)
            && measured.into_iter().all(|n| n > 0.0 && n <= MOST);
        if !sound {
            bail!(
                "coefficients_ms are at least 0 and not all 0, rows, len and measured_ms of points above 0, \
                 and none is above {MOST}"
            );
        }
    }
    Ok(())
}

/// Whether these are quantiles, or nothing.
fn are_quantiles(all: &[f64]) -> bool {
    all.len() <= MOST_QUANTILES && all.is_sorted() && all.iter().all(|one| (0.0..=MOST).contains(one))
}
