//! `/stats` and its history, from before the first request to the drain.

use crate::harness::{Settings, model, until};
use serde_json::{Value, json};

#[tokio::test]
async fn stats_hold_before_any_traffic_and_while_draining() {
    let config = format!("drain_delay = '60s'\n{}", model("quiet", "test/tiny_text", "instances = 2"));
    let server = Settings::new(config).start();
    let admin = server.admin();
    let stats = admin.get("/stats").await.ok().json();
    assert_eq!(
        (&stats["version"], &stats["ready"], &stats["draining"]),
        (&json!("0.1.0"), &json!(true), &json!(false))
    );
    assert!(stats["uptime_seconds"].as_f64().unwrap() > 0.0);
    let features = json!({"dynamic_batching": true, "performance_monitoring": true, "health_checks": true});
    assert_eq!((&stats["features"], &stats["inflight_rows"]), (&features, &json!(0)));
    assert!(stats["gpus"].is_array(), "{stats}");
    let policy = json!({"generation": 1, "files": [], "overrides": [], "last_error": null, "last_error_at": null});
    assert_eq!(stats["policy"], policy);
    let quiet = &stats["models"]["quiet"];
    let known = ["state", "strategy", "device", "workers"].map(|field| quiet[field].clone());
    assert_eq!(known, [json!("ready"), json!("adaptive"), json!("cpu"), json!(2)]);
    for zero in ["total_requests", "total_rows", "total_tokens", "padded_tokens", "queue_depth", "throughput_rps"] {
        assert_eq!(quiet[zero].as_f64(), Some(0.0), "{zero}");
    }
    for null in ["padding_efficiency", "success_rate", "avg_batch_size", "oldest_wait_ms", "last_used"] {
        assert!(quiet.get(null).is_some_and(Value::is_null), "{null}");
    }
    for times in ["latency_ms", "queue_ms", "compute_ms"] {
        assert_eq!(quiet[times], json!({"p50": null, "p95": null, "p99": null}), "{times}");
    }
    // The warm-up's runs are known, and what they say.
    assert!(quiet["cost_model"]["observations"].as_u64().unwrap() > 0, "{quiet}");
    server.terminate();
    until("a drain", async || admin.get("/stats").await.ok().json()["draining"] == true).await;
    let stats = admin.get("/stats").await.ok().json();
    assert_eq!((&stats["ready"], &stats["models"]["quiet"]["queue_depth"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn the_history_grows_and_shows_the_traffic() {
    let server = Settings::new(model("busy", "test/tiny_text", "instances = 1")).start();
    let (admin, client) = (server.admin(), server.http2());
    let mut busy = Value::Null;
    until("two samples with traffic between them", async || {
        client.embed("busy", vec!["sun rain", "sun"]).await.ok();
        busy = admin.get("/stats/history").await.ok().json()["models"]["busy"].clone();
        busy["rps"].as_array().unwrap().iter().any(|rps| rps.as_f64() > Some(0.0))
    })
    .await;
    let ratio = admin.get("/stats").await.ok().json()["devices"][0]["busy_ratio"].as_f64();
    assert!(ratio > Some(0.0) && ratio <= Some(1.0), "{ratio:?}");
    let series = busy.as_object().unwrap();
    let samples = series["rps"].as_array().unwrap().len();
    assert_eq!(series.len(), 7);
    assert!(series.values().all(|values| values.as_array().unwrap().len() == samples), "{busy}");
    let last = |name: &str| series[name].as_array().unwrap().last().unwrap().as_f64().unwrap();
    assert!(last("p50_ms") > 0.0 && last("p99_ms") >= last("p50_ms"));
    assert!((1.0..=2.0).contains(&last("batch_rows")) && (0.5..=1.0).contains(&last("padding_efficiency")), "{busy}");
}
