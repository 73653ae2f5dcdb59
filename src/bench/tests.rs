//! The generator against a small server in the same process.

use super::client::{BatchHeader, TimingHeader, batch_header, timing_header};
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(listener, Arc::clone(&seen), answer));
        Self { target, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>, answer: fn(usize) -> Response<Full<Bytes>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = Arc::clone(&seen);
            async move { Ok::<_, Infallible>(answer(note(&seen, request).await)) }
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
        texts: vec!["one".to_owned(), "two \"quoted\"".to_owned(), "three".to_owned()],
        load: Load::Closed { connections },
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
    let mut tally = Tally::default();
    let answer = |rows, tokens, padded| {
        Ok(client::Answer { batch: Some(BatchHeader { rows, tokens, padded }), ..Default::default() })
    };
    for _ in 0..3 {
        tally.record(Duration::from_millis(9), &answer(3, 20, 30));
    }
    tally.record(Duration::from_millis(3), &answer(1, 10, 10));
    let report = tally.report(Protocol::V2, Duration::from_secs(2));
    assert_eq!(report.requests, 4);
    assert_eq!(report.throughput_rps, 2.0);
    assert_eq!(report.batch.avg_rows, Some(2.0));
    assert_eq!(report.padding_efficiency, Some(0.75));
    assert_eq!(report.latency_ms.map(|l| l.max.round()), Some(9.0));
}

#[test]
fn what_the_server_did_not_say_is_null() {
    let report = serde_json::to_value(Tally::default().report(Protocol::OpenAi, Duration::from_secs(1))).unwrap();
    for path in ["/latency_ms", "/server_ms", "/batch/avg_rows", "/padding_efficiency"] {
        assert!(report.pointer(path).unwrap().is_null(), "{path}");
    }
    assert_eq!(report["protocol"], "openai");
    assert_eq!(report["requests"], 0);
}

#[test]
fn headers_are_read_or_left_out() {
    let batch = |value| batch_header(&HeaderMap::from_iter([("x-inferneo-batch".parse().unwrap(), value)]));
    let full = HeaderValue::from_static("rows=12;tokens=410;padded=480;policy=default;generation=3;batches=2");
    assert_eq!(batch(full), Some(BatchHeader { rows: 12, tokens: 410, padded: 480 }));
    assert_eq!(batch(HeaderValue::from_static("rows=0;tokens=0;padded=0")), None);
    assert_eq!(batch(HeaderValue::from_static("rows=12")), None);
    assert_eq!(batch_header(&HeaderMap::new()), None);

    let timing = |value| timing_header(&HeaderMap::from_iter([("server-timing".parse().unwrap(), value)]));
    let full = HeaderValue::from_static("queue;dur=1.25, assemble;dur=0, compute;desc=run;dur=7");
    assert_eq!(timing(full), Some(TimingHeader { queue: 1.25, assemble: 0.0, compute: 7.0 }));
    assert_eq!(timing(HeaderValue::from_static("cache;dur=1")), None);
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
    options.texts.clear();
    assert!(matches!(Workload::new(&options), Err(Error::Usage(_))));
}
