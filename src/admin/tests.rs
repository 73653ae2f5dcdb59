//! The probes, through the router.

use super::*;
use crate::model::{Model, ModelSpec, Registry, Task};
use crate::types::ModelId;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

fn model(name: &str) -> Arc<Model> {
    let spec = ModelSpec {
        inputs: vec![],
        outputs: vec![],
        batchable: false,
        pads: false,
        task: Task::Tensors,
        max_length: None,
    };
    Arc::new(Model::new(ModelId(0), name, spec, None, 0))
}

async fn call(admin: &Admin, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = admin.clone().router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn admin(models: Vec<Arc<Model>>) -> Admin {
    let readiness = Arc::new(Readiness::new(Arc::new(Registry::new(models))));
    Admin { metrics: Arc::new(Metrics::new().unwrap()), readiness, recorder: Arc::default() }
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
    admin.readiness.drain();
    let (status, body) = call(&admin, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body, r#"{"ready":false,"draining":true,"missing":{}}"#);
}

#[tokio::test]
async fn livez_is_200_even_while_draining() {
    let admin = admin(vec![model("a")]);
    admin.readiness.drain();
    assert_eq!(call(&admin, "/livez").await.0, 200);
}

#[tokio::test]
async fn metrics_are_text_and_other_paths_are_404() {
    let admin = admin(vec![]);
    let (status, body) = call(&admin, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("inferneo_build_info"));
    assert_eq!(call(&admin, "/nothing").await.0, 404);
}
