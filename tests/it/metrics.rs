//! Known traffic, counted to the row: what `/metrics` says before and after it, what `/stats` says of
//! it, and that nothing is said where performance monitoring is off.

use crate::client::{Answer, Client, input};
use crate::exposition::Exposition;
use crate::harness::{Server, Settings, model, together, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Four rows of `acme` make a batch; whoever waits for them waits a minute.
const ACME: &str = "strategy = 'fixed_size'\n[match]\ntenants = ['acme']\n[batch]\nmax_batch_size = 4\n\
                    max_queue_delay = '60s'\n[slo]\ntarget = '1h'\n[queue]\nmax_rows = 8";
/// Every row of `beta` runs alone, and no request can meet its target.
const BETA: &str = "dynamic_batching = false\n[match]\ntenants = ['beta', 'free-*']\n[slo]\ntarget = '1us'";

/// What is about batches: absent without performance monitoring.
const PERFORMANCE: [(&str, &str); 11] = [
    ("inferneo_queue_duration_seconds", "histogram"),
    ("inferneo_compute_duration_seconds", "histogram"),
    ("inferneo_batch_rows", "histogram"),
    ("inferneo_batch_release_total", "counter"),
    ("inferneo_tokens_total", "counter"),
    ("inferneo_batches_in_flight", "gauge"),
    ("inferneo_device_busy_seconds_total", "counter"),
    ("inferneo_shapes", "gauge"),
    ("inferneo_cost_model_error_ratio", "gauge"),
    ("inferneo_cost_model_coverage_ratio", "gauge"),
    ("inferneo_cost_model_margin_ratio", "gauge"),
];
/// The rest.
const ALWAYS: [(&str, &str); 12] = [
    ("inferneo_requests_total", "counter"),
    ("inferneo_request_duration_seconds", "histogram"),
    ("inferneo_queue_rows", "gauge"),
    ("inferneo_queue_bytes", "gauge"),
    ("inferneo_inflight_rows", "gauge"),
    ("inferneo_slo_total", "counter"),
    ("inferneo_policy_generation", "gauge"),
    ("inferneo_policy_info", "gauge"),
    ("inferneo_policy_reloads_total", "counter"),
    ("inferneo_policy_last_reload_ok", "gauge"),
    ("inferneo_build_info", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
];

fn settings() -> Settings {
    let models = model("counted", "test/tiny_text", "instances = 1");
    Settings::new(models).policy("default", "").policy("acme", ACME).policy("beta", BETA)
}

async fn scrape(server: &Server) -> Exposition {
    Exposition::read(&server.metrics().await.0)
}

/// Words of the test model's vocabulary: a row of so many and two special tokens.
fn words(n: usize) -> String {
    vec!["sun"; n].join(" ")
}

/// One batch of four, of 3 to 6 tokens, from both protocols; three of its rows are seen waiting.
async fn four_of_acme(server: &Server) {
    let (openai, v2) = (server.http1().tenant("acme"), server.http2().tenant("acme"));
    let waiting = {
        let client = openai.clone();
        tokio::spawn(async move { client.embed("counted", vec![words(1), words(2), words(3)]).await })
    };
    let labels = [("model", "counted"), ("tenant", "acme")];
    until("three rows waiting", async || scrape(server).await.sum("inferneo_queue_rows", &labels) == 3.0).await;
    let seen = scrape(server).await;
    assert_eq!(seen.value("inferneo_inflight_rows", &[]), Some(3.0));
    assert!(seen.sum("inferneo_queue_bytes", &[("model", "counted")]) > 0.0);
    let stats = server.admin().get("/stats").await.ok().json();
    let counted = &stats["models"]["counted"];
    assert_eq!((&stats["inflight_rows"], &counted["queue_depth"]), (&json!(3), &json!(3)));
    assert!(counted["oldest_wait_ms"].as_f64().unwrap() > 0.0 && counted["queue_bytes"].as_u64().unwrap() > 0);
    let last = v2.infer_texts("counted", &[&words(4)]).await.ok().batch();
    let first = waiting.await.unwrap().ok().batch();
    assert_eq!(first, last);
    assert_eq!((last.rows, last.tokens, last.padded), (4, 3 + 4 + 5 + 6, 4 * 6));
}

/// Two rows of each of three requests, six batches.
async fn six_of_beta(server: &Server) {
    let client = server.http2().tenant("beta");
    for _ in 0..3 {
        let batch = client.infer_texts("counted", &[&words(5), &words(6)]).await.ok().batch();
        assert_eq!((batch.rows, batch.batches, batch.policy.as_str()), (1, 2, "beta"));
    }
}

/// Five rows, one after the other, of tenants that no policy names, and of none.
async fn five_of_others(server: &Server) {
    for tenant in ["stranger", "free-1", "stranger", "", ""] {
        let client = server.http1();
        let client = if tenant.is_empty() { client } else { client.tenant(tenant) };
        assert_eq!(client.embed("counted", words(1)).await.ok().batch().rows, 1);
    }
}

/// One request of four rows, which stay together.
async fn four_as_tensors(server: &Server) {
    let tensor = |name: &str| input(name, "INT64", &[4, 5], json!(vec![1; 20]));
    let inputs = ["input_ids", "attention_mask"].map(tensor);
    let batch = server.http1().infer("counted", json!({"inputs": inputs})).await.ok().batch();
    assert_eq!((batch.rows, batch.tokens, batch.padded), (4, 20, 20));
}

/// One refusal of each kind.
async fn refusals(server: &Server) {
    let (acme, beta) = (server.http1().tenant("acme"), server.http2().tenant("beta"));
    acme.embed("counted", "").await.refusal(400, "invalid_request");
    acme.embed("counted", vec![words(1); 9]).await.refusal(413, "too_large");
    let hurried: Client = acme.with("x-request-timeout-ms", "30");
    hurried.embed("counted", words(1)).await.refusal(504, "deadline_exceeded");
    beta.infer("counted", json!({"inputs": []})).await.refusal(400, "invalid_request");
    beta.infer_texts("nobody", &["sun"]).await.refusal(404, "unknown_model");
}

async fn idle(server: &Server) {
    until("nothing waiting or running", async || {
        scrape(server).await.value("inferneo_inflight_rows", &[]) == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn known_traffic_is_counted_to_the_row() {
    let server = settings().start();
    let before = scrape(&server).await;
    four_of_acme(&server).await;
    six_of_beta(&server).await;
    five_of_others(&server).await;
    four_as_tensors(&server).await;
    refusals(&server).await;
    idle(&server).await;
    let after = scrape(&server).await;
    for (family, kind) in PERFORMANCE.into_iter().chain(ALWAYS) {
        assert_eq!(after.types.get(family).map(String::as_str), Some(kind), "{family}");
    }
    let counted: &[_] = &[("model", "counted")];
    let of = |name: &str, labels: &[(&str, &str)]| {
        let labels: Vec<_> = counted.iter().chain(labels).copied().collect();
        after.sum(name, &labels) - before.sum(name, &labels)
    };
    check_requests(&of);
    assert_eq!(after.sum("inferneo_requests_total", &[("model", "unknown"), ("outcome", "unknown_model")]), 1.0);
    check_batches(&of);
    for tenant in ["acme", "beta", "other", "default"] {
        assert_eq!(after.value("inferneo_queue_rows", &[("model", "counted"), ("tenant", tenant)]), Some(0.0));
    }
    for gauge in ["inferneo_queue_bytes", "inferneo_batches_in_flight"] {
        assert_eq!(after.sum(gauge, counted), 0.0, "{gauge}");
    }
    // One shape of each batch of four, and rows of 3, 7 and 8 tokens alone.
    assert_eq!(after.value("inferneo_shapes", &[("model", "counted"), ("device", "cpu")]), Some(5.0));
    let tenants: BTreeSet<_> = ["acme", "beta", "other", "default"].into();
    assert_eq!(tenants_of(&server.metrics().await.0), tenants.into_iter().map(str::to_owned).collect());
    agrees(&server, &after).await;
}

fn check_requests(of: &impl Fn(&str, &[(&str, &str)]) -> f64) {
    for (tenant, protocol, outcome, count) in [
        ("acme", "openai", "ok", 1.0),
        ("acme", "v2", "ok", 1.0),
        ("beta", "v2", "ok", 3.0),
        ("other", "openai", "ok", 3.0),
        ("default", "openai", "ok", 2.0),
        ("default", "v2", "ok", 1.0),
        ("acme", "openai", "invalid_request", 1.0),
        ("acme", "openai", "too_large", 1.0),
        ("acme", "openai", "deadline_exceeded", 1.0),
        ("beta", "v2", "invalid_request", 1.0),
    ] {
        let labels = [("tenant", tenant), ("protocol", protocol), ("outcome", outcome)];
        assert_eq!(of("inferneo_requests_total", &labels), count, "{labels:?}");
    }
    assert_eq!(of("inferneo_requests_total", &[]), 15.0);
    assert_eq!(of("inferneo_request_duration_seconds_count", &[]), 15.0);
    assert!(of("inferneo_request_duration_seconds_sum", &[]) > 0.03);
    // Acme's deadline passed; beta's three and that of `free-1`, which a glob sends to beta, came too late.
    for (tenant, result, count) in
        [("acme", "met", 2.0), ("acme", "missed", 1.0), ("beta", "missed", 3.0), ("other", "missed", 1.0)]
    {
        assert_eq!(of("inferneo_slo_total", &[("tenant", tenant), ("result", result)]), count, "{tenant} {result}");
    }
    assert_eq!(of("inferneo_slo_total", &[]), 7.0);
}

fn check_batches(of: &impl Fn(&str, &[(&str, &str)]) -> f64) {
    assert_eq!(of("inferneo_batch_rows_sum", &[]), 19.0);
    for batches in
        ["inferneo_batch_rows_count", "inferneo_compute_duration_seconds_count", "inferneo_batch_release_total"]
    {
        assert_eq!(of(batches, &[]), 13.0, "{batches}");
    }
    assert_eq!(of("inferneo_batch_release_total", &[("reason", "full")]), 1.0);
    // Beta's six, and the one of `free-1`.
    assert_eq!(of("inferneo_batch_release_total", &[("reason", "alone")]), 7.0);
    assert_eq!(of("inferneo_queue_duration_seconds_count", &[]), 19.0);
    assert_eq!(of("inferneo_tokens_total", &[("kind", "useful")]), f64::from(18 + 3 * (7 + 8) + 5 * 3 + 20));
    assert_eq!(of("inferneo_tokens_total", &[("kind", "padding")]), f64::from(24 - 18));
    let (busy, compute) =
        (of("inferneo_device_busy_seconds_total", &[]), of("inferneo_compute_duration_seconds_sum", &[]));
    assert!(busy >= compute && compute > 0.0, "{busy} s busy, {compute} s computed");
}

/// The tenants that requests are counted under.
fn tenants_of(text: &str) -> BTreeSet<String> {
    let requests = text.lines().filter(|line| line.starts_with("inferneo_requests_total{"));
    requests.filter_map(|line| Some(line.split_once("tenant=\"")?.1.split_once('"')?.0.to_owned())).collect()
}

/// Whether two numbers are one, but for how they were written and read.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12
}

/// Holds `/stats` against the scrape.
async fn agrees(server: &Server, scraped: &Exposition) {
    let stats = server.admin().get("/stats").await.ok().json();
    let (counted, labels) = (&stats["models"]["counted"], [("model", "counted")]);
    let number = |field: &str| counted[field].as_f64().unwrap_or_else(|| panic!("{field}: {counted}"));
    let useful = scraped.sum("inferneo_tokens_total", &[("model", "counted"), ("kind", "useful")]);
    for (field, name) in [
        ("total_requests", "inferneo_requests_total"),
        ("total_rows", "inferneo_batch_rows_sum"),
        ("padded_tokens", "inferneo_tokens_total"),
        ("queue_depth", "inferneo_queue_rows"),
        ("queue_bytes", "inferneo_queue_bytes"),
    ] {
        assert_eq!(number(field), scraped.sum(name, &labels), "{field}");
    }
    assert_eq!((number("total_tokens"), number("current_batch_size")), (useful, 0.0));
    for (field, ratio) in [
        ("padding_efficiency", useful / number("padded_tokens")),
        ("avg_batch_size", 19.0 / 13.0),
        ("success_rate", 11.0 / 15.0),
    ] {
        assert!(near(number(field), ratio), "{field}: {counted}");
    }
    let outcomes = json!({"ok": 11, "invalid_request": 2, "too_large": 1, "deadline_exceeded": 1});
    assert_eq!(counted["outcomes"], outcomes);
    for (field, count) in [("batch_sizes", 13), ("lengths", 19)] {
        let buckets = counted[field].as_array().unwrap();
        assert_eq!(buckets.iter().map(|b| b["count"].as_u64().unwrap()).sum::<u64>(), count, "{field}");
        assert!(buckets.last().unwrap()["le"].is_null(), "{field}");
    }
    assert_eq!(counted["batch_sizes"][0], json!({"le": 1, "count": 11}));
    assert_eq!(counted["lengths"][0], json!({"le": 8, "count": 19}));
    for times in ["latency_ms", "queue_ms", "compute_ms"] {
        let at = |p: &str| counted[times][p].as_f64().unwrap();
        assert!(at("p50") <= at("p95") && at("p95") <= at("p99") && at("p99") > 0.0, "{times}: {counted}");
    }
    let costs = &counted["cost_model"];
    for (field, name) in
        [("error_ratio", "inferneo_cost_model_error_ratio"), ("coverage_ratio", "inferneo_cost_model_coverage_ratio")]
    {
        assert!(near(costs[field].as_f64().unwrap(), scraped.value(name, &labels).unwrap()), "{field}: {costs}");
    }
    let points = costs["devices"][0]["points"].as_array().unwrap();
    assert!((1..=24).contains(&points.len()) && points.iter().all(|p| p["measured_ms"].as_f64().unwrap() > 0.0));
    assert_eq!(stats["policy"], server.admin().get("/policies").await.json());
    let device = &stats["devices"][0];
    for (field, value) in [("name", json!("cpu")), ("workers", json!(1)), ("ready", json!(1)), ("running", json!(0))] {
        assert_eq!(device[field], value, "{device}");
    }
    assert!(number("throughput_rps") > 0.0 && counted["last_used"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn without_performance_monitoring_nothing_about_batches_is_said() {
    let server = settings().flag("--performance-monitoring", false).start();
    let client = server.http2().tenant("beta");
    let asked = together((0..8).map(|i| {
        let client = client.clone();
        async move { client.embed("counted", words(i + 1)).await }
    }));
    let answers: Vec<Answer> = asked.await;
    assert!(answers.into_iter().all(|answer| answer.ok().batch().rows == 1), "answers say what they always say");
    idle(&server).await;
    let seen = scrape(&server).await;
    for (family, _) in PERFORMANCE {
        assert_eq!(seen.types.get(family), None, "{family}");
    }
    for (family, kind) in ALWAYS {
        assert_eq!(seen.types.get(family).map(String::as_str), Some(kind), "{family}");
    }
    assert_eq!(seen.sum("inferneo_requests_total", &[("model", "counted"), ("outcome", "ok")]), 8.0);
    let admin = server.admin();
    assert_eq!(admin.get("/decisions").await.ok().json(), json!([]));
    let history = admin.get("/stats/history").await.ok().json();
    let series = history["models"]["counted"].as_object().unwrap();
    assert!(series.values().all(|samples| samples == &json!([])), "{history}");
    let stats = admin.get("/stats").await.ok().json();
    assert_eq!(stats["features"]["performance_monitoring"], false);
    let counted = &stats["models"]["counted"];
    for field in [
        "total_rows",
        "total_tokens",
        "padding_efficiency",
        "queue_ms",
        "compute_ms",
        "batch_sizes",
        "lengths",
        "cost_model",
    ] {
        assert!(counted.get(field).is_some_and(Value::is_null), "{field}: {counted}");
    }
    assert_eq!((&counted["total_requests"], &counted["outcomes"]), (&json!(8), &json!({"ok": 8})));
    assert!(counted["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    assert!(stats["devices"][0]["busy_ratio"].is_null(), "{stats}");
}
