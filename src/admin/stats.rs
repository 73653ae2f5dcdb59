//! `GET /stats`: what the program does now and did of late, for people and scripts.
//!
//! Decides the form. What is not known is `null`; what has not happened counts 0.

use super::busy::{Busy, Look};
use super::gpus::{GpuStats, uuid_of};
use super::policies::Shown as Policies;
use super::{Admin, date, json, ms};
use crate::clock;
use crate::dispatch::{CostReport, DeviceCondition, ModelReport, Report, WorkerDoes, WorkerReport};
use crate::gpu::Snapshot;
use crate::metrics::{BatchesSeen, Bucket, MINUTE, Percentiles};
use crate::model::{Mode, Model, Sessions};
use crate::policy::PolicySet;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Stats<'a> {
    version: &'static str,
    uptime_seconds: f64,
    ready: bool,
    draining: bool,
    features: Features,
    policy: Policies<'a>,
    inflight_rows: u64,
    models: BTreeMap<&'a str, ModelStats<'a>>,
    devices: Vec<DeviceStats<'a>>,
    gpus: Vec<GpuStats<'a>>,
}

#[derive(Serialize)]
struct Features {
    dynamic_batching: bool,
    performance_monitoring: bool,
    health_checks: bool,
}

#[derive(Serialize)]
struct ModelStats<'a> {
    state: &'static str,
    ailment: Option<String>,
    strategy: &'static str,
    device: Option<&'a str>,
    devices: Vec<String>,
    fallback: Option<String>,
    providers: Option<BTreeMap<String, u64>>,
    workers: usize,
    sessions: Vec<SessionStats>,
    batchable: bool,
    batching: BatchingStats,
    total_requests: u64,
    total_rows: Option<u64>,
    total_tokens: Option<u64>,
    padded_tokens: Option<u64>,
    padding_efficiency: Option<f64>,
    success_rate: Option<f64>,
    queue_depth: u32,
    queue_bytes: u64,
    oldest_wait_ms: Option<f64>,
    current_batch_size: u32,
    avg_batch_size: Option<f64>,
    throughput_rps: f64,
    latency_ms: Millis,
    queue_ms: Option<Millis>,
    compute_ms: Option<Millis>,
    batch_sizes: Option<Vec<BucketStats>>,
    lengths: Option<Vec<BucketStats>>,
    outcomes: BTreeMap<&'static str, u64>,
    cost_model: Option<CostStats<'a>>,
    last_used: Option<String>,
}

/// How a model's requests run, and why not otherwise.
#[derive(Serialize)]
struct BatchingStats {
    mode: &'static str,
    why: Option<String>,
    /// The largest difference that sharing a batch was seen to make; null where nothing was tried.
    moved: Option<f64>,
}

#[derive(Serialize)]
struct SessionStats {
    device: String,
    instances: usize,
    threads: usize,
    spin: bool,
    chosen_by: &'static str,
}

impl From<&Sessions> for SessionStats {
    fn from(&Sessions { device, instances, threads, spin, chosen_by }: &Sessions) -> Self {
        Self { device: device.to_string(), instances, threads, spin, chosen_by: chosen_by.name() }
    }
}

/// Percentiles; each null where nothing was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Millis {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// How many lie above the bucket before and up to `le`; the last bucket has no end.
#[derive(Serialize)]
struct BucketStats {
    le: Option<u64>,
    count: u64,
}

#[derive(Serialize)]
struct CostStats<'a> {
    error_ratio: Option<f64>,
    median_error: Option<f64>,
    coverage_ratio: Option<f64>,
    margin: Option<f64>,
    restored: bool,
    observations: u64,
    devices: Vec<DeviceCost<'a>>,
}

#[derive(Serialize)]
struct DeviceCost<'a> {
    device: &'a str,
    busy_workers: u32,
    margin: f64,
    coefficients_ms: Coefficients,
    points: Vec<PointStats>,
}

#[derive(Serialize)]
struct Coefficients {
    base: f64,
    per_token: f64,
    per_squared_token: f64,
}

#[derive(Serialize)]
struct PointStats {
    rows: f64,
    len: f64,
    predicted_ms: f64,
    measured_ms: f64,
}

#[derive(Serialize)]
struct DeviceStats<'a> {
    name: &'a str,
    gpu: Option<&'a str>,
    workers: usize,
    ready: usize,
    running: usize,
    busy_ratio: Option<f64>,
    condition: Condition,
}

#[derive(Serialize)]
struct Condition {
    memory_scarce: bool,
    throttled: bool,
}

impl From<DeviceCondition> for Condition {
    fn from(DeviceCondition { memory_scarce, throttled }: DeviceCondition) -> Self {
        Self { memory_scarce, throttled }
    }
}

pub(super) async fn stats(State(admin): State<Admin>) -> Response {
    // Past a drain there is no driver: what it knew is unknown, and nothing waits.
    let report = admin.handle.report().await;
    let report = report.as_ref();
    let (models, live) = (admin.registry.list(), admin.live.status());
    let (policies, gpus) = (&live.policies, admin.gpus.now());
    let stats = Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: clock::now().since(admin.started).as_secs_f64(),
        ready: admin.readiness.is_ready(),
        draining: admin.readiness.is_draining(),
        features: Features {
            dynamic_batching: batches(policies),
            performance_monitoring: admin.metrics.performance(),
            health_checks: admin.health_checks,
        },
        policy: Policies::of(&live),
        inflight_rows: report.map_or(0, |r| r.inflight_rows),
        models: models.iter().map(|model| (&*model.name, ModelStats::of(&admin, model, policies, report))).collect(),
        devices: report.map_or_else(Vec::new, |r| devices(&r.workers, &admin.history.busy, &gpus)),
        gpus: gpus.gpus.iter().map(GpuStats::of).collect(),
    };
    json(&stats)
}

/// Whether any request can share a batch, as far as policies go.
fn batches(policies: &PolicySet) -> bool {
    policies.reachable(None).into_iter().any(|index| policies.policies()[index].dynamic_batching)
}

impl<'a> ModelStats<'a> {
    fn of(admin: &Admin, model: &Model, policies: &PolicySet, report: Option<&'a Report>) -> Self {
        let seen = admin.metrics.model(&model.name).seen(clock::now(), MINUTE);
        let (batches, requests) = (seen.batches.as_ref(), seen.outcomes.values().sum());
        let now = report.and_then(|r| r.models.get(&model.id));
        let workers: Vec<_> = report.iter().flat_map(|r| &r.workers).filter(|w| w.model == model.id).collect();
        let usual = &policies.policies()[policies.lookup(&model.name, "")];
        let answered = seen.outcomes.get("ok").copied().unwrap_or_default();
        let (placed, batching) = (model.placed(), model.batching());
        Self {
            state: model.state().name(),
            ailment: model.ailment().map(|why| why.to_string()),
            strategy: usual.strategy.name(),
            device: workers.first().map(|w| &*w.device),
            devices: placed.devices.iter().map(ToString::to_string).collect(),
            fallback: placed.fallback.clone(),
            providers: placed.providers.clone(),
            workers: workers.len(),
            sessions: placed.sessions.iter().map(SessionStats::from).collect(),
            batchable: batching.mode == Mode::Stacked,
            batching: BatchingStats { mode: batching.mode.name(), why: batching.why.clone(), moved: batching.moved },
            total_requests: requests,
            total_rows: batches.map(|b| b.rows),
            total_tokens: batches.map(|b| b.tokens),
            padded_tokens: batches.map(|b| b.padded),
            padding_efficiency: batches.and_then(|b| ratio(b.tokens, b.padded)),
            success_rate: ratio(answered, requests),
            queue_depth: now.map_or(0, |m| m.queue.rows),
            queue_bytes: now.map_or(0, |m| m.queue.bytes),
            oldest_wait_ms: now.and_then(|m| m.oldest).map(ms),
            current_batch_size: now.and_then(|m| m.running.iter().max().copied()).unwrap_or_default(),
            avg_batch_size: batches.and_then(|b| ratio(b.rows, b.batches)),
            throughput_rps: seen.throughput,
            latency_ms: Millis::of(seen.latency),
            queue_ms: batches.map(|b| Millis::of(b.queue)),
            compute_ms: batches.map(|b| Millis::of(b.compute)),
            batch_sizes: batches.map(|b| buckets(&b.batch_sizes)),
            lengths: batches.map(|b| buckets(&b.lengths)),
            cost_model: now.and_then(|m| cost_model(m, batches)),
            last_used: seen.last_used.map(|time| date(clock::date(time))),
            outcomes: seen.outcomes,
        }
    }
}

impl Millis {
    pub(super) fn of(seen: Option<Percentiles>) -> Self {
        let at = |part: fn(Percentiles) -> std::time::Duration| seen.map(part).map(ms);
        Self { p50: at(|p| p.p50), p95: at(|p| p.p95), p99: at(|p| p.p99) }
    }
}

/// Nothing where nothing about batches is recorded.
fn cost_model<'a>(model: &'a ModelReport, recorded: Option<&BatchesSeen>) -> Option<CostStats<'a>> {
    recorded?;
    Some(CostStats {
        error_ratio: model.error_ratio(),
        median_error: model.median_error(),
        coverage_ratio: model.coverage_ratio(),
        margin: model.margin(),
        restored: model.costs.iter().any(|c| c.restored),
        observations: model.costs.iter().map(|c| c.observations).sum(),
        devices: model.costs.iter().map(DeviceCost::of).collect(),
    })
}

impl<'a> DeviceCost<'a> {
    fn of(cost: &'a CostReport) -> Self {
        let [base, per_token, per_squared_token] = cost.coefficients.map(|ns| ns / 1e6);
        let points = cost.points.iter().map(|p| PointStats {
            rows: p.rows,
            len: p.len,
            predicted_ms: p.predicted / 1e6,
            measured_ms: p.measured / 1e6,
        });
        Self {
            device: &cost.device,
            busy_workers: cost.busy,
            margin: cost.margin,
            coefficients_ms: Coefficients { base, per_token, per_squared_token },
            points: points.collect(),
        }
    }
}

fn devices<'a>(workers: &'a [WorkerReport], busy: &Busy, gpus: &'a Snapshot) -> Vec<DeviceStats<'a>> {
    let mut devices: BTreeMap<&str, DeviceStats<'_>> = BTreeMap::new();
    for worker in workers {
        let name = &*worker.device;
        let (gpu, condition) = (uuid_of(gpus, name), worker.condition.into());
        let none = DeviceStats { name, gpu, workers: 0, ready: 0, running: 0, busy_ratio: None, condition };
        let device = devices.entry(name).or_insert(none);
        device.workers += 1;
        device.ready += usize::from(matches!(worker.state, WorkerDoes::Waiting | WorkerDoes::Running));
        device.running += usize::from(worker.state == WorkerDoes::Running);
    }
    let now = Look::at(workers, clock::now());
    let measured =
        |device: DeviceStats<'a>| DeviceStats { busy_ratio: busy.ratio(&now, device.name, device.workers), ..device };
    devices.into_values().map(measured).collect()
}

fn buckets(buckets: &[Bucket]) -> Vec<BucketStats> {
    buckets.iter().map(|&Bucket { le, count }| BucketStats { le, count }).collect()
}

/// `None` of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
