//! Spans of the real program, as a collector gets them.

use crate::client::Answer;
use crate::harness::{Server, Settings, cached, folder, model, program, together, until};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const CALLER: u64 = 0xb7ad_6b71_6920_3331;

type Batches = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A collector on loopback: its URL, and what it was sent.
async fn collector() -> (String, Batches) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let batches = Batches::default();
    let take = async |State(batches): State<Batches>, body: Bytes| {
        batches.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    };
    let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&batches));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, batches)
}

fn spans(batches: &Batches) -> Vec<Span> {
    let batches = batches.lock().unwrap();
    let resources = batches.iter().flat_map(|batch| &batch.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

/// The spans of a trace, by name.
fn of<'a>(spans: &'a [Span], trace: u128, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.trace_id == trace.to_be_bytes() && span.name == name).collect()
}

/// What the first batch says of the program.
fn told_of_itself(batches: &Batches, key: &str) -> String {
    let resource = batches.lock().unwrap()[0].resource_spans[0].resource.clone().unwrap();
    let value = resource.attributes.into_iter().find(|a| a.key == key).and_then(|a| a.value?.value);
    let Some(Value::StringValue(text)) = value else { panic!("{key}: {value:?}") };
    text
}

fn attribute(span: &Span, key: &str) -> Value {
    let find = |attributes: &[KeyValue]| attributes.iter().find(|a| a.key == key)?.value.clone()?.value;
    find(&span.attributes).unwrap_or_else(|| panic!("{key}: {:?}", span.attributes))
}

fn parent(trace: u128, flags: u8) -> String {
    format!("00-{trace:032x}-{CALLER:016x}-{flags:02x}")
}

/// Milliseconds of a part of `server-timing`.
fn timing(answer: &Answer, part: &str) -> f64 {
    let parts = answer.header("server-timing").split(", ");
    parts.filter_map(|p| p.strip_prefix(part)?.strip_prefix(";dur=")?.parse().ok()).next().unwrap()
}

fn ms(span: &Span) -> f64 {
    (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.01
}

#[tokio::test]
async fn a_sampled_request_is_five_spans_under_its_callers() {
    let (url, batches) = collector().await;
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1"));
    let server = server.flag("--otlp-endpoint", url).start();
    let client = server.http1().tenant("acme").with("x-request-id", "r-1").with("tracestate", "vendor=a:1");
    // Not sampled by its caller, so not by this program: would it be sent, then before the next.
    client.clone().with("traceparent", &parent(7, 0)).embed("tiny", "red sun").await.ok();
    let answer = client.with("traceparent", &parent(TRACE, 1)).embed("tiny", json!(["red sun", "sun"])).await.ok();
    until("five spans", async || spans(&batches).len() >= 5).await;
    let all = spans(&batches);
    assert!(all.iter().all(|span| span.trace_id == TRACE.to_be_bytes()) && all.len() == 5, "{all:#?}");
    let one = |name: &str| *of(&all, TRACE, name).first().unwrap_or_else(|| panic!("{name}: {all:#?}"));
    let [request, decode, queue, batch, compute] = ["request", "decode", "queue", "batch", "compute"].map(one);
    assert_eq!((&*request.parent_span_id, request.kind), (&CALLER.to_be_bytes()[..], SpanKind::Server as i32));
    assert!(all.iter().all(|span| span.trace_state == "vendor=a:1"), "{all:#?}");
    for (inner, outer) in [(decode, request), (queue, request), (batch, request), (compute, batch)] {
        assert_eq!(inner.parent_span_id, outer.span_id, "{} in {}", inner.name, outer.name);
        let begins = outer.start_time_unix_nano <= inner.start_time_unix_nano;
        assert!(begins && inner.end_time_unix_nano <= outer.end_time_unix_nano, "{inner:#?} {outer:#?}");
    }
    assert_eq!(decode.end_time_unix_nano, queue.start_time_unix_nano);
    assert_eq!(queue.end_time_unix_nano, batch.start_time_unix_nano);
    assert!(close(ms(queue), timing(&answer, "queue")) && close(ms(compute), timing(&answer, "compute")), "{all:#?}");
    assert!(close(ms(batch), timing(&answer, "assemble") + timing(&answer, "compute")), "{all:#?}");
    let text = |key: &str| attribute(request, &format!("inferneo.{key}"));
    for (key, value) in [("request.id", "r-1"), ("model", "tiny"), ("tenant", "acme"), ("outcome", "ok")] {
        assert_eq!(text(key), Value::StringValue(value.into()));
    }
    let told = answer.batch();
    let number = |key: &str| attribute(batch, &format!("inferneo.batch.{key}"));
    for (key, value) in [("rows", told.rows), ("tokens", told.tokens), ("padded", told.padded)] {
        assert_eq!(number(key), Value::IntValue(value.try_into().unwrap()));
    }
    assert_eq!(told_of_itself(&batches, "service.name"), "inferneo");
}

#[tokio::test]
async fn the_operator_names_the_service() {
    let given = "service.name=weaker,deployment.environment.name=test";
    for (name, expected) in [("stronger", "stronger"), ("", "weaker")] {
        let (url, batches) = collector().await;
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--otlp-endpoint", &url]);
        command.arg("--model").arg(cached("models/test/int_ops"));
        command.env("OTEL_SERVICE_NAME", name).env("OTEL_RESOURCE_ATTRIBUTES", given);
        let mut server = Server::spawn(command, folder());
        server.wait_ready();
        server
            .http1()
            .with("traceparent", &parent(TRACE, 1))
            .embed("nobody", "sun")
            .await
            .refusal(404, "unknown_model");
        until("a span", async || !spans(&batches).is_empty()).await;
        let told = ["service.name", "deployment.environment.name"].map(|key| told_of_itself(&batches, key));
        assert_eq!(told, [expected, "test"]);
        assert!(!told_of_itself(&batches, "service.version").is_empty());
    }
}

#[tokio::test]
async fn the_ratio_samples_what_no_caller_judged_and_a_drain_sends_the_rest() {
    let (url, batches) = collector().await;
    let tiny = model("tiny", "test/tiny_text", "instances = 1");
    let config = format!("{tiny}[tracing]\notlp_endpoint = {url:?}\nsample_ratio = 1.0\n");
    let policy = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 2\nmax_queue_delay = '60s'";
    let server = Settings::new(config).policy("pairs", policy).start();
    let client = server.http1();
    let ask = |_| {
        let client = client.clone();
        async move { client.embed("tiny", "red sun").await.ok() }
    };
    together((0..2).map(ask)).await;
    client.embed("nobody", "red sun").await.refusal(404, "unknown_model");
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let all = spans(&batches);
    let named = |name: &str| all.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let roots = named("request");
    assert!(roots.len() == 3 && roots.iter().all(|root| root.parent_span_id.is_empty()), "{all:#?}");
    let refused: Vec<_> = roots.iter().filter(|root| root.attributes.iter().any(|a| a.key == "error.type")).collect();
    assert_eq!(attribute(refused[0], "error.type"), Value::StringValue("unknown_model".into()));
    // Two requests of two traces shared a batch.
    let shared = named("batch");
    assert!(shared.len() == 2 && shared[0].trace_id != shared[1].trace_id, "{all:#?}");
    assert_eq!(attribute(shared[0], "inferneo.batch.id"), attribute(shared[1], "inferneo.batch.id"));
}

#[tokio::test]
async fn a_collector_that_is_away_harms_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = format!("drain_timeout = \"8s\"\n{}", model("tiny", "test/tiny_text", "instances = 1"));
    let server = Settings::new(config).flag("--otlp-endpoint", url).start();
    for _ in 0..100 {
        server.http1().with("traceparent", &parent(TRACE, 1)).embed("tiny", "red sun").await.ok();
    }
    until("a word about it", async || server.log().contains("the collector takes no spans")).await;
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("stopped"), "{}", ended.log);
}
