//! The generator against a small server in the same process.

use super::client::Failure;
use super::head::BatchHeader;
use super::meter::Cost;
use super::tally::Sample;
use super::workload::Body;
use super::*;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpListener;

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    tenant: Option<String>,
    body: serde_json::Value,
}

/// A server that notes what it sees and answers by the request's number.
#[derive(Debug)]
struct Server {
    target: Target,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: fn(usize) -> Response<Full<Bytes>>) -> Self {
        Self::start_stalling(answer, |_| Duration::ZERO).await
    }

    /// Waits before some of its answers.
    async fn start_stalling(answer: fn(usize) -> Response<Full<Bytes>>, stall: fn(usize) -> Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(listener, Arc::clone(&seen), answer, stall));
        Self { target, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn accept(
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: fn(usize) -> Response<Full<Bytes>>,
    stall: fn(usize) -> Duration,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = Arc::clone(&seen);
            async move {
                let number = note(&seen, request).await;
                tokio::time::sleep(stall(number)).await;
                Ok::<_, Infallible>(answer(number))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn note(seen: &Mutex<Vec<Seen>>, request: Request<Incoming>) -> usize {
    let path = request.uri().path().to_owned();
    let tenant = request.headers().get("x-inferneo-tenant").map(|value| value.to_str().unwrap().to_owned());
    let body = serde_json::from_slice(&request.collect().await.unwrap().to_bytes()).unwrap();
    let mut seen = seen.lock().unwrap();
    seen.push(Seen { path, tenant, body });
    seen.len() - 1
}

fn ok(batch: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    response.headers_mut().insert("x-inferneo-batch", HeaderValue::from_static(batch));
    let timing = HeaderValue::from_static("queue;dur=1.5, assemble;dur=0.5, compute;dur=7");
    response.headers_mut().insert("server-timing", timing);
    response
}

fn refusal(status: u16, reason: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"no such thing")));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("x-inferneo-reason", HeaderValue::from_static(reason));
    response
}

fn options(target: Target, protocol: Protocol, connections: usize) -> Options {
    Options {
        target,
        model: "minilm".to_owned(),
        protocol,
        payload: Payload::Texts(["one", "two \"quoted\"", "three"].map(str::to_owned).to_vec()),
        load: Load::Closed { connections },
        seed: DEFAULT_SEED,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(200),
        headers: HeaderMap::new(),
        progress: false,
    }
}

#[tokio::test]
async fn sends_texts_in_order_and_reports_what_the_headers_say() {
    let server = Server::start(|_| ok("rows=4;tokens=30;padded=40;policy=default;generation=1")).await;
    let mut options = options(server.target.clone(), Protocol::OpenAi, 1);
    options.headers.insert("x-inferneo-tenant", HeaderValue::from_static("acme"));
    let report = run(options).await.unwrap();

    let seen = server.seen();
    assert!(seen.len() > 4, "{seen:?}");
    for (seen, text) in seen.iter().zip(["one", "two \"quoted\"", "three"].iter().cycle()) {
        assert_eq!(seen.path, "/v1/embeddings");
        assert_eq!(seen.tenant.as_deref(), Some("acme"));
        assert_eq!(seen.body, serde_json::json!({ "model": "minilm", "input": text }));
    }
    assert!(report.requests > 0 && report.requests <= seen.len() as u64);
    assert_eq!(report.errors, 0);
    assert_eq!(report.batch.avg_rows, Some(4.0));
    assert_eq!(report.padding_efficiency, Some(0.75));
    assert_eq!(report.server_ms, Some(ServerMs { queue: 1.5, assemble: 0.5, compute: 7.0 }));
    let latency = report.latency_ms.unwrap();
    assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p99 <= latency.max);
    assert!((report.throughput_rps - report.requests as f64 / 0.2).abs() < 0.01);
}

#[tokio::test]
async fn v2_sends_the_text_input() {
    let server = Server::start(|_| ok("rows=1;tokens=3;padded=3")).await;
    run(options(server.target.clone(), Protocol::V2, 2)).await.unwrap();
    let first = server.seen().remove(0);
    assert_eq!(first.path, "/v2/models/minilm/infer");
    let input = serde_json::json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": ["one"] });
    assert_eq!(first.body, serde_json::json!({ "inputs": [input] }));
}

#[tokio::test]
async fn warm_up_is_not_counted() {
    let server = Server::start(|_| ok("rows=1;tokens=3;padded=3")).await;
    let mut options = options(server.target.clone(), Protocol::OpenAi, 1);
    options.warm_up = Duration::from_millis(100);
    options.duration = Duration::from_millis(1);
    let report = run(options).await.unwrap();
    assert!(report.requests < server.seen().len() as u64 / 2, "{report:?}");
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let server = Server::start(|n| match n % 3 {
        1 => refusal(503, "overloaded"),
        2 => Response::builder().status(500).body(Full::default()).unwrap(),
        _ => ok("rows=1;tokens=3;padded=4"),
    })
    .await;
    let report = run(options(server.target.clone(), Protocol::OpenAi, 1)).await.unwrap();
    assert!(report.requests > 0);
    assert!(report.errors_by_reason["overloaded"] > 0 && report.errors_by_reason["http 500"] > 0, "{report:?}");
    assert_eq!(report.errors, report.errors_by_reason.values().sum::<u64>());
    let shown = table([("openai", &report)]);
    assert!(shown.contains("overloaded") && shown.contains("75.0 %"), "{shown}");
}

#[tokio::test]
async fn a_broken_connection_is_made_again() {
    // The server closes after every other answer.
    let server = Server::start(|n| {
        let mut response = ok("rows=1;tokens=3;padded=3");
        if n % 2 == 1 {
            response.headers_mut().insert("connection", HeaderValue::from_static("close"));
        }
        response
    })
    .await;
    let report = run(options(server.target.clone(), Protocol::OpenAi, 1)).await.unwrap();
    assert!(report.requests > 2, "{report:?}");
}

#[tokio::test]
async fn a_refused_first_request_is_a_clear_error() {
    let server = Server::start(|_| refusal(404, "unknown_model")).await;
    let error = run(options(server.target.clone(), Protocol::OpenAi, 1)).await.unwrap_err().to_string();
    assert_eq!(error, "the server refused the first request: 404 unknown_model: no such thing");
}

#[tokio::test]
async fn an_unreachable_server_is_a_clear_error() {
    // A port that was free a moment ago and is closed again.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let target: Target = format!("http://127.0.0.1:{port}").parse().unwrap();
    let error = run(options(target, Protocol::OpenAi, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(error.to_string().starts_with(&format!("cannot reach 127.0.0.1:{port}: ")), "{error}");
}

/// Two batches, one of three rows and one of a single row, are two batches: (3 + 1) / 2 rows.
#[test]
fn every_batch_weighs_one() {
    let mut tally = tally(Duration::from_secs(2));
    let mut record = |ms, rows, tokens, padded| {
        let answer = client::Answer { batch: Some(BatchHeader { rows, tokens, padded }), ..Default::default() };
        tally.record(&sample(Duration::from_millis(ms)), &Ok(answer));
    };
    for _ in 0..3 {
        record(9, 3, 20, 30);
    }
    record(3, 1, 10, 10);
    let report = tally.report(Protocol::V2, LoadReport::Closed { connections: 1 }, &Cost::default());
    assert_eq!(report.requests, 4);
    assert_eq!(report.throughput_rps, 2.0);
    assert_eq!(report.batch.avg_rows, Some(2.0));
    assert_eq!(report.batch.sizes, [(1, 1.0), (3, 1.0)].map(|(rows, batches)| BatchSize { rows, batches }));
    assert_eq!(report.padding_efficiency, Some(0.75));
    assert_eq!(report.latency_ms.map(|l| l.max.round()), Some(9.0));
}

#[test]
fn what_is_waited_for_in_vain_is_in_the_tail_and_what_is_refused_is_not() {
    let mut tally = tally(Duration::from_secs(1));
    tally.record(&sample(Duration::from_millis(10)), &Ok(client::Answer::default()));
    tally.record(&sample(Duration::from_secs(60)), &Err(Failure::timeout()));
    let report = tally.report(Protocol::V2, LoadReport::Closed { connections: 1 }, &Cost::default());
    assert_eq!((report.requests, report.errors), (1, 1));
    let latency = report.latency_ms.unwrap();
    assert!((latency.p50 - 10.0).abs() < 0.1 && (latency.max - 60_000.0).abs() < 60.0, "{latency:?}");
    let curve = &report.latency_curve;
    assert!(curve.is_sorted_by(|a, b| a.percentile <= b.percentile && a.ms <= b.ms), "{curve:?}");
    assert_eq!(curve.last().map(|point| (point.percentile, point.ms)), Some((100.0, latency.max)));
}

#[test]
fn what_the_server_did_not_say_is_null() {
    let report =
        tally(Duration::from_secs(1)).report(Protocol::OpenAi, LoadReport::Closed { connections: 1 }, &Cost::default());
    let report = serde_json::to_value(report).unwrap();
    for path in ["/latency_ms", "/server_ms", "/batch/avg_rows", "/padding_efficiency", "/generator/late_ms"] {
        assert!(report.pointer(path).unwrap().is_null(), "{path}");
    }
    assert_eq!(report["protocol"], "openai");
    assert_eq!(report["requests"], 0);
}

/// A count from now on, for so long.
fn tally(duration: Duration) -> Tally {
    let from = Time::from_millis(1);
    Tally::new(Measured { start: from, from, until: from + duration })
}

/// A request within the measured time of [`tally`].
fn sample(latency: Duration) -> Sample {
    let now = Time::from_millis(500);
    Sample { counts_by: now, finished: now, latency, late: None }
}

/// A thousand good answers within ten seconds, at a planned rate.
pub(super) fn report() -> Report {
    let mut tally = tally(Duration::from_secs(10));
    for request in 0..1000 {
        let finished = Time::from_millis(1 + request * 10);
        let latency = Duration::from_micros(20_000 + request * 50);
        let sample = Sample { counts_by: finished, finished, latency, late: Some(Duration::from_micros(request)) };
        let batch = Some(BatchHeader { rows: 1 + request as u32 % 4, tokens: 30, padded: 40 });
        tally.record(&sample, &Ok(client::Answer { batch, timing: None }));
    }
    let load = LoadReport::Open { rate: 100.0, seed: 1, connections: 8 };
    tally.report(Protocol::OpenAi, load, &Cost::default())
}

#[test]
fn shipped_texts_are_short_and_long() {
    let texts = parse_texts(SHIPPED_TEXTS);
    assert_eq!(texts.len(), 700);
    let words = |text: &String| text.split_whitespace().count();
    assert!(texts.iter().filter(|text| words(text) < 20).count() > 450);
    assert!(texts.iter().filter(|text| words(text) > 45).count() > 90);
}

#[test]
fn no_text_is_a_usage_error() {
    let mut options = options("http://127.0.0.1:1".parse().unwrap(), Protocol::OpenAi, 1);
    options.payload = Payload::Texts(Vec::new());
    assert!(matches!(Workload::new(&options), Err(Error::Usage(_))));
}

#[test]
fn binary_bodies_hold_a_length_and_the_text() {
    let body = Body::text(Protocol::V2Binary, "m", "h\u{e9}llo");
    assert_eq!(body.data.as_deref(), Some(&b"\x06\x00\x00\x00h\xc3\xa9llo"[..]));
    let json: serde_json::Value = serde_json::from_str(&body.json).unwrap();
    let size = serde_json::json!({ "binary_data_size": 10 });
    let input = serde_json::json!({ "name": "text", "shape": [1], "datatype": "BYTES", "parameters": size });
    assert_eq!(json["inputs"], serde_json::json!([input]));
    assert_eq!(json["parameters"]["binary_data_output"], true);
}

#[test]
fn a_binary_request_says_where_its_json_ends() {
    let mut options = options("http://127.0.0.1:1".parse().unwrap(), Protocol::V2Binary, 1);
    options.payload = Payload::Tensors(vec!["x:FP32:1x2".parse().unwrap()]);
    options.headers.insert("content-length", HeaderValue::from_static("7"));
    let workload = Workload::new(&options).unwrap();
    let request = workload.request(5);
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = (std::str::from_utf8(&request[..end]).unwrap(), &request[end..]);
    let length = |name: &str| {
        let mut values = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length: usize = values.next().unwrap().parse().unwrap();
        assert_eq!(values.next(), None, "{head}");
        length
    };
    assert!(head.starts_with("POST /v2/models/minilm/infer HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"), "{head}");
    assert_eq!(length("content-length"), body.len());
    let (json, data) = body.split_at(length("inference-header-content-length"));
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!((&json["inputs"][0]["shape"], data.len()), (&serde_json::json!([1, 2]), 8));

    options.protocol = Protocol::V2;
    assert!(matches!(Workload::new(&options), Err(Error::Usage(_))));
}

/// Ten requests a tenth of a second over one connection that stalls once for a second: a closed loop would have one slow
/// answer, here everything that was planned meanwhile has waited.
#[tokio::test]
async fn what_a_stall_keeps_waiting_is_in_the_latencies() {
    const STALL: Duration = Duration::from_millis(1000);
    let server =
        Server::start_stalling(|_| ok("rows=1;tokens=3;padded=3"), |n| if n == 30 { STALL } else { Duration::ZERO });
    let server = server.await;
    let mut options = options(server.target.clone(), Protocol::OpenAi, 1);
    options.load = Load::Open { rate: 100.0, connections: 1 };
    options.duration = Duration::from_millis(2000);
    let planned = plan::Arrivals::new(100.0, DEFAULT_SEED, options.duration).count() as u64;
    let report = run(options).await.unwrap();
    assert_eq!((report.requests, report.errors), (planned, 0));
    assert_eq!(report.load, LoadReport::Open { rate: 100.0, seed: DEFAULT_SEED, connections: 1 });
    let latency = report.latency_ms.unwrap();
    assert!(latency.p99 > 900.0 && latency.max >= 999.0, "{latency:?}");
    // Half of what was planned within the stall waited for at least half of it.
    assert!(latency.p90 > 500.0, "{latency:?}");
    assert!(report.generator.late_ms.is_some());
}

#[tokio::test]
async fn without_a_bound_a_stall_holds_up_nobody_else() {
    const STALL: Duration = Duration::from_millis(500);
    let server =
        Server::start_stalling(|_| ok("rows=1;tokens=3;padded=3"), |n| if n == 30 { STALL } else { Duration::ZERO });
    let server = server.await;
    let mut options = options(server.target.clone(), Protocol::OpenAi, 1);
    options.load = Load::Open { rate: 100.0, connections: 1024 };
    options.duration = Duration::from_millis(1000);
    let report = run(options).await.unwrap();
    let latency = report.latency_ms.unwrap();
    assert!(latency.max >= 499.0 && latency.p50 < 499.0, "{latency:?}");
    assert!(matches!(report.load, LoadReport::Open { connections, .. } if connections > 1));
}

#[tokio::test]
async fn a_ramp_reports_its_best_step() {
    let server = Server::start(|_| ok("rows=1;tokens=3;padded=3")).await;
    let mut options = options(server.target.clone(), Protocol::OpenAi, 1);
    options.load = Load::Ramp { from: 50.0, to: 80.0, slo: Duration::from_secs(5), connections: 64 };
    options.duration = Duration::from_millis(500);
    let report = run(options).await.unwrap();
    let ramp = report.ramp.as_ref().unwrap();
    assert!(ramp.steps.iter().all(|step| step.latency_ms.is_some()), "{ramp:?}");
    assert_eq!(ramp.steps[0].rate, 50.0);
    assert_eq!(ramp.highest_rate, ramp.steps.iter().filter(|step| step.held).map(|step| step.rate).reduce(f64::max));
    assert_eq!(ramp.slo_ms, 5000.0);
}
