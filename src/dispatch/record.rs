//! What a trace keeps of arrivals, answers, batches and models, as the driver knows them.

use super::driver::InFlight;
use super::pending::Pending;
use super::report::{CostReport, CurveReport, Report};
use crate::model::{Mode, Model};
use crate::sched;
use crate::trace::{Answered, Arrival, Coefficients, Curve, Models, Place, Point, Ran, Run, Served};
use crate::types::Time;
use std::sync::Arc;
use std::time::Duration;

/// All that the scheduler is told of an arrival at `now`, but for its ids.
pub(super) fn arrival(arrival: &sched::Arrival<'_>, model: &Arc<str>, now: Time) -> Arrival {
    let run =
        |item: &sched::Item| Run { count: 1, rows: item.rows, len: item.len, bytes: item.bytes, class: item.class };
    Arrival {
        at_us: 0,
        model: Arc::clone(model),
        tenant: Arc::clone(arrival.tenant),
        priority: arrival.priority.0,
        deadline_us: arrival.deadline.map(|deadline| deadline.micros_since(now)),
        items: Run::join(arrival.items.iter().map(run)),
    }
}

/// A request that is answered at `now`, by a batch that kept its worker for so long.
pub(super) fn answered<'p>(pending: &'p Pending, queue: Duration, batch: Duration, now: Time) -> Answered<'p> {
    let took = now.since(pending.arrived);
    let in_time = pending.request.deadline.is_none_or(|deadline| now <= deadline);
    Answered {
        model: &pending.request.model.name,
        arrived: pending.arrived,
        latency: now.since(pending.decoded),
        queue,
        batch,
        good: in_time && pending.target.is_none_or(|target| took <= target),
    }
}

/// A batch of a model that ended well on a device.
pub(super) fn ran<'d>(ran: &InFlight, [model, device]: [&'d Arc<str>; 2], compute: Duration) -> Ran<'d> {
    let d = &ran.dispatch;
    Ran {
        model,
        device,
        started: ran.started,
        rows: d.rows,
        tokens: d.tokens,
        len: d.padded_len,
        busy: ran.busy,
        compute,
        occupied: ran.ended.since(ran.started),
    }
}

/// What a trace tells of those of the models whose cost is known.
#[must_use]
pub fn models(models: &[Arc<Model>], report: &Report) -> Models {
    let served = |model: &Arc<Model>| {
        let known = report.models.get(&model.id)?;
        let devices: Vec<Place> = known.costs.iter().filter_map(|cost| place(model, cost, report)).collect();
        let served = Served { batchable: model.batching().mode == Mode::Stacked, overhead_ms: None, devices };
        (!served.devices.is_empty()).then(|| (Arc::clone(&model.name), served))
    };
    models.iter().filter_map(served).collect()
}

fn place(model: &Model, cost: &CostReport, report: &Report) -> Option<Place> {
    let there = report.workers.iter().filter(|w| w.model == model.id && w.device == cost.device);
    let workers = u32::try_from(there.count()).unwrap_or(u32::MAX);
    let costs: Vec<Curve> = cost.curves.iter().map(curve).collect();
    let (device, spread) = (Arc::clone(&cost.device), Vec::new());
    (workers > 0 && !costs.is_empty()).then_some(Place {
        device,
        workers,
        handover_ms: Vec::new(),
        pace: Vec::new(),
        spread,
        costs,
    })
}

fn curve(learned: &CurveReport) -> Curve {
    let [base, per_token, per_squared_token] = learned.coefficients.map(|ns| ns / 1e6);
    let points = learned.points.iter().map(|p| Point {
        rows: thousandths(p.rows),
        len: thousandths(p.len),
        measured_ms: thousandths(p.measured / 1e6),
    });
    let coefficients_ms = Coefficients { base, per_token, per_squared_token, least: 0.0 };
    Curve { busy_workers: learned.busy, coefficients_ms, points: points.collect() }
}

/// As precise as what was measured, and short.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
