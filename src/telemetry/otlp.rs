//! Spans of finished requests, sent to a collector over OTLP/HTTP.
//!
//! Decides the spans of a request, their attributes, and which requests are sampled. Sending is the
//! SDK's: in batches, on a thread of its own, with a bounded queue; what does not fit is dropped, and
//! that is logged.

mod client;
mod stages;

use super::tracer::{Finished, Ran};
use super::{TraceContext, TraceId};
use crate::clock;
use crate::types::Time;
use client::Client;
use opentelemetry::trace::{Span as _, SpanBuilder, TracerProvider as _};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, Key, KeyValue, Value, trace};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector, SdkProvidedResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use stages::Stages;
use std::time::{Duration, SystemTime};

/// Spans that may wait to be sent.
const QUEUE: usize = 8192;
/// Most spans sent at once, and the longest that one waits for others.
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);
/// Longest that sending a batch may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("the spans' exporter does not start: {0}")]
pub struct StartError(#[from] ExporterBuildError);

/// Sends spans. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Exporter {
    pub(super) fn start(endpoint: &str, ratio: f64) -> Result<Self, StartError> {
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new(TIMEOUT));
        let exporter = exporter.with_endpoint(endpoint).with_timeout(TIMEOUT).build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource())
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Self { provider, tracer })
    }

    /// Queues the spans of a request if it is sampled; answers the trace they belong to.
    pub(super) fn export(&self, request: &Finished<'_>) -> Option<TraceId> {
        if request.caller.is_some_and(|caller| !caller.sampled) {
            return None;
        }
        let caller = request.caller.map_or_else(Context::new, remote);
        let dates = Dates { now: clock::wall_now(), ended: request.ended };
        let root = SpanBuilder::from_name("request").with_kind(SpanKind::Server);
        let mut root = root.with_start_time(dates.of(request.arrived)).start_with_context(&self.tracer, &caller);
        if !root.span_context().is_sampled() {
            return None;
        }
        // Not before: most requests are not sampled.
        root.set_attributes(attributes(request));
        let trace = TraceId(root.span_context().trace_id().to_bytes());
        let inside = caller.with_span(root);
        if let Some(decoded) = request.decoded {
            self.span("decode", vec![], dates.of(request.arrived), &inside).end_with_timestamp(dates.of(decoded));
        }
        if let (Some(stages), Some(ran)) = (Stages::of(request), request.ran) {
            let [queued, batched, computed, done] =
                [stages.queued, stages.batched, stages.computed, stages.done].map(|time| dates.of(time));
            self.span("queue", vec![], queued, &inside).end_with_timestamp(batched);
            let batch = inside.with_span(self.span("batch", batch(ran), batched, &inside));
            self.span("compute", vec![], computed, &batch).end_with_timestamp(done);
            batch.span().end_with_timestamp(done);
        }
        let root = inside.span();
        if request.failed {
            root.set_status(Status::error(request.outcome));
        }
        root.end_with_timestamp(dates.of(request.ended));
        Some(trace)
    }

    fn span(
        &self,
        name: &'static str,
        attributes: Vec<KeyValue>,
        start: SystemTime,
        parent: &Context,
    ) -> opentelemetry_sdk::trace::Span {
        let span = SpanBuilder::from_name(name).with_attributes(attributes).with_start_time(start);
        span.start_with_context(&self.tracer, parent)
    }

    /// Sends what waits, within `limit`.
    pub(super) fn stop(&self, limit: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "spans may be lost");
        }
    }
}

/// What is told of the program itself. Over its own name and version go the operator's words, in the
/// variables that every SDK reads: `OTEL_RESOURCE_ATTRIBUTES`, and over that `OTEL_SERVICE_NAME`.
fn resource() -> Resource {
    let key = Key::from_static_str("service.name");
    // A name that the SDK made up itself is worse than ours.
    let is_given = |name: &Value| !name.as_str().starts_with("unknown_service");
    let given = SdkProvidedResourceDetector.detect().get(&key).filter(is_given);
    Resource::builder_empty()
        .with_attribute(KeyValue::new(key.clone(), env!("CARGO_PKG_NAME")))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(given.map(|name| KeyValue::new(key, name)))
        .build()
}

/// Turns the process's own times into dates, all by one reading, so that spans keep their distances.
struct Dates {
    now: SystemTime,
    ended: Time,
}

impl Dates {
    fn of(&self, time: Time) -> SystemTime {
        self.now.checked_sub(self.ended.since(time)).unwrap_or(self.now)
    }
}

fn remote(caller: &TraceContext) -> Context {
    let flags = if caller.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    // A state that breaks its rules is as good as none.
    let state: TraceState = caller.state.parse().unwrap_or_default();
    let (trace, span) = (trace::TraceId::from_bytes(caller.trace.0), SpanId::from_bytes(caller.span));
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, state))
}

fn attributes(request: &Finished<'_>) -> Vec<KeyValue> {
    let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
    let mut attributes = vec![
        text("inferneo.request.id", request.id),
        KeyValue::new("inferneo.protocol", request.protocol),
        KeyValue::new("inferneo.outcome", request.outcome),
    ];
    attributes.extend(request.model.map(|model| text("inferneo.model", model)));
    attributes.extend(Some(request.tenant).filter(|t| !t.is_empty()).map(|tenant| text("inferneo.tenant", tenant)));
    attributes.extend(request.ran.map(|ran| KeyValue::new("inferneo.batches", i64::from(ran.batch.batches))));
    if request.outcome != "ok" {
        attributes.push(KeyValue::new("error.type", request.outcome));
    }
    attributes
}

fn batch(Ran { batch, .. }: &Ran) -> Vec<KeyValue> {
    let number = |key: &'static str, value: u64| KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX));
    vec![
        number("inferneo.batch.id", batch.id.0),
        number("inferneo.batch.rows", batch.rows.into()),
        number("inferneo.batch.tokens", batch.tokens),
        number("inferneo.batch.padded", batch.padded),
        KeyValue::new("inferneo.batch.policy", batch.policy.to_string()),
        number("inferneo.batch.generation", batch.generation),
    ]
}
