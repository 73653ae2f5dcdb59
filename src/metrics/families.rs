//! The families: names, help, labels and buckets.

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector,
};

/// Seconds, from a cached tensor model's half millisecond to a long queue's half minute.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// Rows of a batch: powers of two and the steps between that policies like.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0, 256.0, 512.0];

/// Every family. Clones share their values.
#[derive(Debug, Clone)]
pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) request_duration: HistogramVec,
    pub(super) queue_duration: HistogramVec,
    pub(super) compute_duration: HistogramVec,
    pub(super) batch_rows: HistogramVec,
    pub(super) batch_release: IntCounterVec,
    pub(super) tokens: IntCounterVec,
    pub(super) queue_rows: IntGaugeVec,
    pub(super) inflight_rows: IntGauge,
    pub(super) queue_bytes: IntGaugeVec,
    pub(super) batches_in_flight: IntGaugeVec,
    pub(super) device_busy: CounterVec,
    pub(super) slo: IntCounterVec,
    pub(super) shapes: IntGaugeVec,
    pub(super) device_condition: IntGaugeVec,
    pub(super) cost_error: GaugeVec,
    pub(super) reused_rows: IntCounterVec,
    pub(super) cost_coverage: GaugeVec,
    pub(super) cost_margin: GaugeVec,
    pub(super) health_checks: IntCounterVec,
    pub(super) device_fallback: IntGaugeVec,
    pub(super) model_nodes: IntGaugeVec,
    pub(super) model_batching: IntGaugeVec,
    pub(super) policy_generation: IntGauge,
    pub(super) policy_info: IntGaugeVec,
    pub(super) custom_fallbacks: IntCounterVec,
    pub(super) policy_reloads: IntCounterVec,
    pub(super) policy_last_reload_ok: IntGauge,
    pub(super) keys_reloads: IntCounterVec,
    pub(super) keys_last_reload_ok: IntGaugeVec,
    pub(super) build_info: IntGaugeVec,
}

impl Families {
    /// Makes them all, and registers them; what is about batches only with `performance`.
    #[rustfmt::skip]
    pub(super) fn register(registry: &Registry, performance: bool) -> Result<Self> {
        let r = Registrar(Some(registry));
        let p = Registrar(performance.then_some(registry));
        Ok(Self {
            requests: r.counters("requests_total", "Inference requests answered or refused.", &["model", "tenant", "protocol", "outcome"])?,
            request_duration: r.histograms("request_duration_seconds", "From a request's head to its answer.", SECONDS)?,
            queue_duration: p.histograms("queue_duration_seconds", "From a row's arrival at the scheduler to its dispatch.", SECONDS)?,
            compute_duration: p.histograms("compute_duration_seconds", "One batch's run.", SECONDS)?,
            batch_rows: p.histograms("batch_rows", "Rows of a batch.", ROWS)?,
            batch_release: p.counters("batch_release_total", "Batches, by why they were released.", &["model", "reason"])?,
            tokens: p.counters("tokens_total", "Tokens computed, useful or padding.", &["model", "kind"])?,
            queue_rows: r.gauges("queue_rows", "Rows waiting.", &["model", "tenant"])?,
            inflight_rows: r.gauge("inflight_rows", "Rows waiting or running.")?,
            queue_bytes: r.gauges("queue_bytes", "Payload bytes waiting.", &["model"])?,
            batches_in_flight: p.gauges("batches_in_flight", "Batches running.", &["model", "device"])?,
            device_busy: p.register(CounterVec::new(opts("device_busy_seconds_total", "Time spent running batches."), &["model", "device"])?)?,
            slo: r.counters("slo_total", "Requests by whether they met the policy's target.", &["model", "tenant", "result"])?,
            shapes: p.gauges("shapes", "Distinct shapes (rows, padded length) that ran.", &["model", "device"])?,
            device_condition: r.gauges("device_condition", "1 while a device is in this condition.", &["device", "condition"])?,
            cost_error: p.ratios("cost_model_error_ratio", "Recent mean of |predicted - real| / real.")?,
            reused_rows: r.counters("reused_rows_total", "Rows that were equal to others of their batch, and not computed.", &["model"])?,
            cost_coverage: p.ratios("cost_model_coverage_ratio", "Share of recent runs within the margin over their prediction; 0.95 is aimed at.")?,
            cost_margin: p.ratios("cost_model_margin_ratio", "The factor over its prediction that 19 of 20 runs stay under.")?,
            health_checks: r.counters("health_checks_total", "Made-up inferences on idle models.", &["model", "outcome"])?,
            device_fallback: r.gauges("device_fallback", "1 where a model is not on all devices that were wanted.", &["model", "wanted", "device"])?,
            model_nodes: r.gauges("model_nodes", "Nodes of a model's graph, by the execution provider that runs them.", &["model", "device", "provider"])?,
            model_batching: r.gauges("model_batching", "1 for how a model's requests run: stacked into batches, or each alone (solo).", &["model", "mode"])?,
            policy_generation: r.gauge("policy_generation", "Generation of the live policy set.")?,
            policy_info: r.gauges("policy_info", "The live policies.", &["policy", "strategy", "hash"])?,
            custom_fallbacks: r.counters("custom_fallbacks_total", "Decisions made as adaptive makes them, for the policy's script failed.", &["policy"])?,
            policy_reloads: r.counters("policy_reloads_total", "Times the policy folder was read again, by how that went.", &["outcome"])?,
            policy_last_reload_ok: r.gauge("policy_last_reload_ok", "Whether the policy folder compiled when it was last read; if not, the last good policies stay.")?,
            keys_reloads: r.counters("keys_reloads_total", "Times the keys file was read again, by how that went.", &["outcome"])?,
            keys_last_reload_ok: r.gauges("keys_last_reload_ok", "Whether the keys file was good when it was last read; if not, the last good keys stay.", &[])?,
            build_info: r.gauges("build_info", "The running build.", &["version"])?,
        })
    }
}

/// Makes families under the program's prefix; without a registry they are never exported.
struct Registrar<'a>(Option<&'a Registry>);

impl Registrar<'_> {
    fn register<C: Collector + Clone + 'static>(&self, family: C) -> Result<C> {
        self.0.map_or(Ok(()), |registry| registry.register(Box::new(family.clone())))?;
        Ok(family)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn ratios(&self, name: &str, help: &str) -> Result<GaugeVec> {
        self.register(GaugeVec::new(opts(name, help), &["model"])?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::with_opts(opts(name, help))?)
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64]) -> Result<HistogramVec> {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.register(HistogramVec::new(opts, &["model"])?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("inferneo_{name}"), help)
}
