//! A finished inference request, told: one log line, and spans where there is an exporter.
//!
//! Decides the line's fields. Everything in it was measured anyway: a request that nobody listens to
//! costs a look at the log's level.

use super::otlp::{Exporter, StartError};
use super::{TraceContext, TraceId};
use crate::request::{BatchSummary, Timing};
use crate::types::Time;
use std::time::Duration;
use tracing::field::display;
use tracing::{Level, Span};

/// An inference request that has its answer or its refusal.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The caller's place in its trace, if it named one.
    pub caller: Option<&'a TraceContext>,
    /// The protocol it came by.
    pub protocol: &'static str,
    /// The model's name, if it is a model that is served.
    pub model: Option<&'a str>,
    /// The tenant's name; empty when none was given.
    pub tenant: &'a str,
    /// `ok`, or the refusal's reason.
    pub outcome: &'static str,
    /// Whether the refusal is this side's fault rather than the caller's.
    pub failed: bool,
    /// When its head had arrived.
    pub arrived: Time,
    /// When it was decoded, if it was.
    pub decoded: Option<Time>,
    /// How it ran, if it did.
    pub ran: Option<&'a Ran>,
    /// When its answer was there.
    pub ended: Time,
}

/// How a request ran: in the batch that ended last, where there were several.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Where its time went.
    pub timing: Timing,
    /// The batch.
    pub batch: BatchSummary,
}

/// Tells of finished requests. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    exporter: Option<Exporter>,
}

impl Tracer {
    /// Builds one that also sends spans to the collector at `endpoint`, an HTTP URL to post to: those that
    /// the caller samples, and `ratio` (0 to 1) of those whose caller says nothing. To be called within a
    /// runtime.
    ///
    /// # Errors
    /// When this build cannot export, or the exporter does not start.
    pub fn exporting(endpoint: &str, ratio: f64) -> Result<Self, StartError> {
        Exporter::start(endpoint, ratio).map(|exporter| Self { exporter: Some(exporter) })
    }

    /// Tells of a request, within its log span.
    pub fn finished(&self, request: &Finished<'_>) {
        let exported = self.exporter.as_ref().and_then(|exporter| exporter.export(request));
        if tracing::enabled!(target: "inferneo::request", Level::DEBUG) {
            log(request, exported);
        }
    }

    /// Sends what was not sent yet and ends the export, within `limit`. Blocks.
    pub fn stop(&self, limit: Duration) {
        if let Some(exporter) = &self.exporter {
            exporter.stop(limit);
        }
    }
}

fn log(request: &Finished<'_>, exported: Option<TraceId>) {
    if let (None, Some(trace)) = (request.caller, exported) {
        Span::current().record("trace_id", display(trace));
    }
    let timing = request.ran.map(|ran| ran.timing);
    let batch = request.ran.map(|ran| &ran.batch);
    tracing::debug!(
        target: "inferneo::request",
        protocol = request.protocol,
        model = request.model,
        tenant = Some(request.tenant).filter(|tenant| !tenant.is_empty()),
        outcome = request.outcome,
        total_ms = ms(request.ended.since(request.arrived)),
        decode_ms = request.decoded.map(|decoded| ms(decoded.since(request.arrived))),
        queue_ms = timing.map(|timing| ms(timing.queue)),
        assemble_ms = timing.map(|timing| ms(timing.assemble)),
        compute_ms = timing.map(|timing| ms(timing.compute)),
        batch = batch.map(|batch| batch.id.0),
        rows = batch.map(|batch| batch.rows),
        tokens = batch.map(|batch| batch.tokens),
        padded = batch.map(|batch| batch.padded),
        policy = batch.map(|batch| &*batch.policy),
        exported = exported.is_some(),
        "finished"
    );
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
