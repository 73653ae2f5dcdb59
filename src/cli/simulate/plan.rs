//! A recorded trace, and the questions put to it, as what the virtual world plays.

use super::{Args, MOST_WORKERS};
use crate::sched::{Grid, Item, ModelLimits};
use crate::sim::{Arrival, Cost, Curve, Model, Place, Plan, Point};
use crate::trace::{self, Models, Trace};
use crate::types::{DeviceId, Priority, Time};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn read(path: &Path) -> anyhow::Result<Trace> {
    let at = || format!("--trace {}", path.display());
    let file = File::open(path).with_context(at)?;
    Trace::read(BufReader::new(file)).with_context(at)
}

/// Lays the plan. A scale of 10 lets a tenth of the time pass between arrivals; deadlines stay as they are.
pub(super) fn of(trace: &Trace, models: &Models, args: &Args) -> anyhow::Result<Plan> {
    let index: BTreeMap<&str, usize> = models.keys().map(|name| &**name).zip(0..).collect();
    let nanos = |micros: u64| (micros as f64 * 1000.0 / args.scale) as u64;
    let arrivals = trace.arrivals.iter().map(|arrival| Arrival {
        at: Time(nanos(arrival.at_us)),
        model: index[&*arrival.model],
        tenant: Arc::clone(&arrival.tenant),
        priority: Priority(arrival.priority),
        deadline: arrival.deadline_us.map(Duration::from_micros),
        items: arrival.items.iter().flat_map(items).collect(),
    });
    Ok(Plan {
        arrivals: arrivals.collect(),
        models: served(models, args.devices, args.noise.is_some())?,
        duration: Duration::from_nanos(nanos(trace.footer.duration_us)),
        noise: args.noise.unwrap_or(0.0),
        seed: args.seed,
    })
}

fn items(run: &trace::Run) -> impl Iterator<Item = Item> {
    let item = Item { rows: run.rows, len: run.len, bytes: run.bytes, class: run.class };
    std::iter::repeat_n(item, run.count as usize)
}

/// The models on the devices they were recorded on, or on so many like the first; `even`: without what was
/// recorded of how uneven runs are.
fn served(models: &Models, devices: Option<u32>, even: bool) -> anyhow::Result<Vec<Model>> {
    let mut known: Vec<Arc<str>> = Vec::new();
    let mut number = |name: &Arc<str>| {
        let at = known.iter().position(|other| other == name).unwrap_or_else(|| {
            known.push(Arc::clone(name));
            known.len() - 1
        });
        DeviceId(at as u32)
    };
    let mut served = Vec::with_capacity(models.len());
    for (name, model) in models {
        let places = match devices {
            None => model.devices.iter().map(|place| (number(&place.device), place)).collect(),
            Some(count) => {
                let first = model.devices.first().context("a model without a device")?;
                (0..count).map(|device| (DeviceId(device), first)).collect::<Vec<_>>()
            }
        };
        let workers = places.iter().map(|(_, place)| place.workers).fold(0, u32::saturating_add);
        if workers > MOST_WORKERS {
            bail!("model `{name}` has {workers} workers on all devices together: at most {MOST_WORKERS} are simulated");
        }
        let limits = ModelLimits { name: Arc::clone(name), batchable: model.batchable };
        let places = places.into_iter().map(|(device, place)| {
            let (handover_ms, pace, spread) = match even {
                true => (middle(&place.handover_ms), Vec::new(), Vec::new()),
                false => (place.handover_ms.clone(), place.pace.clone(), place.spread.clone()),
            };
            let curves = place.costs.iter().map(curve).collect();
            let cost = Arc::new(Cost { curves, handover_ms, pace, spread });
            let grid = place.device.parse().map_or(Grid::Exact, Grid::of);
            Place { device, grid, workers: place.workers, cost }
        });
        served.push(Model { limits, overhead: duration(model.overhead_ms), places: places.collect() });
    }
    Ok(served)
}

/// The median of quantiles, if there are any.
fn middle(quantiles: &[f64]) -> Vec<f64> {
    quantiles.get(quantiles.len() / 2).copied().into_iter().collect()
}

fn duration(ms: Option<f64>) -> Duration {
    Duration::from_secs_f64(ms.unwrap_or(0.0) / 1e3)
}

fn curve(learned: &trace::Curve) -> Curve {
    let trace::Coefficients { base, per_token, per_squared_token, least } = learned.coefficients_ms;
    Curve {
        busy: learned.busy_workers,
        coefficients: [base, per_token, per_squared_token].map(|ms| ms * 1e6),
        least: least * 1e6,
        points: learned.points.iter().map(|p| Point { rows: p.rows, len: p.len, took: p.measured_ms * 1e6 }).collect(),
    }
}
