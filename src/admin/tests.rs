//! The probes, through the router.

use super::*;
use crate::clock;
use crate::dispatch::Driver;
use crate::model::{Model, ModelSpec, ModelState, Registry, Task};
use crate::types::ModelId;
use http::Request;
use http_body_util::BodyExt;
use std::path::Path;
use tower::ServiceExt;

pub(super) fn model(name: &str) -> Arc<Model> {
    let spec = ModelSpec {
        inputs: vec![],
        outputs: vec![],
        batchable: false,
        pads: false,
        task: Task::Tensors,
        max_length: None,
        ..ModelSpec::default()
    };
    Arc::new(Model::new(ModelId(0), name, spec, None, 0))
}

async fn call(admin: &Admin, path: &str) -> (StatusCode, String) {
    send(admin, "GET", path, "").await
}

pub(super) async fn send(admin: &Admin, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = admin.clone().router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(super) fn admin(models: Vec<Arc<Model>>) -> Admin {
    admin_over(models, None)
}

/// One over a folder of policies.
pub(super) fn admin_over(models: Vec<Arc<Model>>, folder: Option<&Path>) -> Admin {
    let registry = Arc::new(Registry::new(models));
    let readiness = Arc::new(Readiness::new(Arc::clone(&registry)));
    let metrics = Arc::new(Metrics::new().unwrap());
    let live = Arc::new(Live::open(folder, Arc::clone(&metrics)).unwrap());
    // The driver is gone at once, as after a drain.
    let (_, handle) = Driver::start(Arc::clone(&live.status().policies), Vec::new(), Arc::clone(&metrics)).unwrap();
    let (started, history, gpus) = (clock::now(), Arc::default(), Shown::default());
    Admin { metrics, readiness, registry, live, handle, health_checks: true, started, history, gpus }
}

#[tokio::test]
async fn readyz_says_what_is_missing_until_all_are_ready() {
    let (a, b) = (model("a"), model("b"));
    let admin = admin(vec![a.clone(), b.clone()]);
    a.set_state(ModelState::Ready);
    let (status, body) = call(&admin, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body, r#"{"ready":false,"draining":false,"missing":{"b":"loading"}}"#);
    b.set_state(ModelState::Ready);
    assert_eq!(call(&admin, "/readyz").await.0, 200);
    a.set_ailment(Some("canary failed: no".to_owned()));
    let (status, body) = call(&admin, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body, r#"{"ready":false,"draining":false,"missing":{"a":"canary failed: no"}}"#);
    a.set_ailment(None);
    assert_eq!(call(&admin, "/readyz").await.0, 200);
    admin.readiness.drain();
    let (status, body) = call(&admin, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body, r#"{"ready":false,"draining":true,"missing":{}}"#);
}

#[tokio::test]
async fn livez_is_200_but_for_models_beyond_help_even_while_draining() {
    let (a, b) = (model("a"), model("b"));
    let admin = admin(vec![a.clone(), b]);
    a.set_state(ModelState::Failed);
    assert_eq!(call(&admin, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    a.set_beyond_help(true);
    let (status, body) = call(&admin, "/livez").await;
    assert_eq!((status.as_u16(), &*body), (503, "every GPU is lost to a\n"));
    admin.readiness.drain();
    assert_eq!(call(&admin, "/livez").await.0, 200);
}

#[tokio::test]
async fn metrics_are_text_and_other_paths_are_404() {
    let admin = admin(vec![]);
    let (status, body) = call(&admin, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("inferneo_build_info"));
    let (status, body) = call(&admin, "/nothing").await;
    assert_eq!(status, 404);
    assert_eq!(body, r#"{"error":"there is nothing at /nothing","reason":"not_found"}"#);
}

#[tokio::test]
async fn decisions_are_a_list_and_a_bad_count_is_named() {
    let admin = admin(vec![]);
    let (status, body) = call(&admin, "/decisions").await;
    assert_eq!((status.as_u16(), &*body), (200, "[]"));
    let (status, body) = call(&admin, "/decisions?n=0").await;
    assert_eq!(status, 400);
    assert!(body.contains(r#""error":"n: expected"#) && body.contains(r#""reason":"invalid_request""#), "{body}");
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let router = admin(vec![]).router();
    for (path, allowed) in [("/policies", "GET,HEAD"), ("/strategy", "PUT,DELETE"), ("/metrics", "GET,HEAD")] {
        let request = Request::post(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[header::ALLOW], allowed);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":"method POST is not allowed here","reason":"invalid_request"}"#);
    }
}

#[tokio::test]
async fn stats_are_valid_without_traffic_and_without_a_driver() {
    let admin = admin(vec![model("a")]);
    let (status, body) = call(&admin, "/stats").await;
    assert_eq!(status, 200);
    let stats: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&stats["ready"], &stats["draining"], &stats["inflight_rows"]),
        (&false.into(), &false.into(), &0.into())
    );
    assert_eq!(stats["features"]["performance_monitoring"], true);
    assert_eq!((&stats["policy"]["generation"], stats["devices"].as_array().unwrap().len()), (&1.into(), 0));
    let a = &stats["models"]["a"];
    assert_eq!((&a["state"], &a["strategy"], &a["workers"]), (&"loading".into(), &"adaptive".into(), &0.into()));
    for zero in ["total_requests", "total_rows", "total_tokens", "padded_tokens", "queue_depth", "current_batch_size"] {
        assert_eq!(a[zero], 0, "{zero}");
    }
    for null in ["device", "padding_efficiency", "success_rate", "avg_batch_size", "cost_model", "last_used"] {
        assert!(a.get(null).is_some_and(serde_json::Value::is_null), "{null}: {body}");
    }
    assert!(a["latency_ms"]["p99"].is_null() && a["queue_ms"]["p50"].is_null() && a["throughput_rps"] == 0.0);
    let (status, body) = call(&admin, "/stats/history").await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"step_seconds":2,"now":""#) && body.contains(r#""rps":[]"#), "{body}");
}
