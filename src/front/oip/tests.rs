//! The protocol, through the routes.

mod bad;
mod round_trips;

use crate::front::testing::{Answered, World};
use crate::model::ModelState;
use crate::types::Priority;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

async fn infer(world: &World, model: &str, body: Value) -> Answered {
    world.post(&format!("/v2/models/{model}/infer"), body.to_string()).await
}

fn x(datatype: &str, shape: Value, data: Value) -> Value {
    json!({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]})
}

#[tokio::test]
async fn the_server_and_its_models_describe_themselves() {
    let world = World::new();
    let server = world.get("/v2").await.json();
    assert_eq!(server["name"], "inferneo");
    assert_eq!(server["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(world.get("/v2/health/live").await.json(), json!({"live": true}));
    assert_eq!(world.get("/v2/health/ready").await.json(), json!({"ready": true}));
    let expected = json!({
        "name": "two", "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, -1]}, {"name": "b", "datatype": "INT32", "shape": [-1, -1]}],
        "outputs": [{"name": "a_out", "datatype": "FP32", "shape": [-1, -1]}, {"name": "b_out", "datatype": "INT32", "shape": [-1, -1]}],
    });
    assert_eq!(world.get("/v2/models/two").await.json(), expected);
    assert_eq!(world.get("/v2/models/two/versions/1").await.json(), expected);
    let text = &world.get("/v2/models/embed").await.json()["text"];
    assert_eq!(text["inputs"], json!([{"name": "text", "datatype": "BYTES", "shape": [-1]}]));
    assert_eq!(text["outputs"], json!([{"name": "embedding", "datatype": "FP32", "shape": [-1, 4]}]));
    let text = &world.get("/v2/models/classify").await.json()["text"];
    assert_eq!(
        text["outputs"],
        json!([{"name": "logits", "datatype": "FP32", "shape": [-1, 2], "labels": ["no", "yes"]}])
    );
}

#[tokio::test]
async fn the_repository_index_and_statistics_are_tritons() {
    let world = World::new();
    let index = world.post("/v2/repository/index", String::new()).await.json();
    let two = json!({"name": "two", "version": "1", "state": "READY", "reason": ""});
    assert!(index.as_array().is_some_and(|all| all.contains(&two)), "{index}");
    world.registry.get("two").unwrap().set_state(ModelState::Failed);
    let ready = world.post("/v2/repository/index", r#"{"ready": true}"#.to_owned()).await.json();
    assert_eq!(ready.as_array().map(Vec::len), index.as_array().map(|all| all.len() - 1));
    world.post("/v2/repository/index", "{".to_owned()).await.refusal(400, "invalid_request");
    let stats = &world.get("/v2/models/embed/stats").await.json()["model_stats"][0];
    assert_eq!((&stats["name"], &stats["execution_count"]), (&json!("embed"), &json!(0)));
    assert_eq!(stats["inference_stats"]["queue"], json!({"count": 0, "ns": 0}));
    world.get("/v2/models/none/stats").await.refusal(404, "unknown_model");
}

#[tokio::test]
async fn models_that_are_not_ready_are_refused_everywhere() {
    let world = World::new();
    let model = world.registry.get("two").unwrap();
    assert_eq!(world.get("/v2/models/two/ready").await.json(), json!({"name": "two", "ready": true}));
    for state in [ModelState::Loading, ModelState::Failed] {
        model.set_state(state);
        infer(&world, "two", json!({})).await.refusal(503, "not_ready");
        for path in ["/v2/models/two/ready", "/v2/models/two/versions/1/ready", "/v2/health/ready"] {
            world.get(path).await.refusal(503, "not_ready");
        }
    }
    model.set_state(ModelState::Ready);
    // An unwell model is not ready, but what comes all the same is tried.
    model.set_ailment(Some("canary failed".to_owned()));
    for path in ["/v2/models/two/ready", "/v2/health/ready"] {
        world.get(path).await.refusal(503, "not_ready");
    }
    infer(&world, "two", json!({})).await.refusal(400, "invalid_request");
    let index = world.post("/v2/repository/index", String::new()).await.json();
    let two = json!({"name": "two", "version": "1", "state": "UNAVAILABLE", "reason": "not well"});
    assert!(index.as_array().is_some_and(|all| all.contains(&two)), "{index}");
    model.set_ailment(None);
    assert_eq!(world.get("/v2/models/two/ready").await.status, 200);
    world.readiness.drain();
    world.get("/v2/health/ready").await.refusal(503, "draining");
    world.get("/v2/models/two/ready").await.refusal(503, "draining");
    assert_eq!(world.get("/v2/health/live").await.status, 200);
}

#[tokio::test]
async fn models_are_unloaded_and_loaded_by_name() {
    let world = World::new();
    assert_eq!(world.post("/v2/repository/models/two/unload", "{}".to_owned()).await.json(), json!({}));
    infer(&world, "two", json!({})).await.refusal(503, "not_ready");
    world.get("/v2/models/two/ready").await.refusal(503, "not_ready");
    let index = world.post("/v2/repository/index", String::new()).await.json();
    let two = json!({"name": "two", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"});
    assert!(index.as_array().is_some_and(|all| all.contains(&two)), "{index}");
    assert_eq!(world.get("/v2/health/ready").await.status, 200, "what was unloaded on request is not missed");
    for (body, reason) in [("{", "invalid_request"), (r#"{"parameters": {"config": "{}"}}"#, "unsupported")] {
        world.post("/v2/repository/models/two/load", body.to_owned()).await.refusal(400, reason);
    }
    assert_eq!(world.post("/v2/repository/models/two/load", String::new()).await.json(), json!({}));
    assert_eq!(world.get("/v2/models/two/ready").await.status, 200);
    for change in ["load", "unload"] {
        world.post(&format!("/v2/repository/models/none/{change}"), String::new()).await.refusal(404, "unknown_model");
    }
}

#[tokio::test]
async fn names_versions_paths_and_methods_that_do_not_exist() {
    let world = World::new();
    for path in ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/two/versions/2", "/v2/models/a%20b"] {
        world.get(path).await.refusal(404, "unknown_model");
    }
    world.post("/v2/models/two/versions/2/infer", "{}").await.refusal(404, "unknown_model");
    world.get("/v2/models/%ff").await.refusal(400, "invalid_request");
    world.get("/v2/nothing").await.refusal(404, "not_found");
    let answer = world.get("/v2/models/two/infer").await;
    answer.refusal(405, "invalid_request");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn answers_are_flat_row_major_with_id_and_headers() {
    let world = World::new();
    let mut body = x("INT32", json!([2, 3]), json!([[1, 2, 3], [4, 5, 6]]));
    body["id"] = json!("mine");
    let answer = infer(&world, "echo-INT32", body).await;
    let outputs = json!([{"name": "x_out", "datatype": "INT32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}]);
    let expected = json!({"model_name": "echo-INT32", "model_version": "1", "id": "mine", "outputs": outputs});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("server-timing"), "queue;dur=1.000, assemble;dur=0.020, compute;dur=3.000");
    assert_eq!(answer.header("x-inferneo-batch"), "rows=12;tokens=410;padded=480;policy=default;generation=3");
}

#[tokio::test]
async fn outputs_come_as_asked_and_in_that_order() {
    let world = World::new();
    let mut body = json!({"inputs": [
        {"name": "b", "datatype": "INT32", "shape": [1, 1], "data": [7]},
        {"name": "a", "datatype": "FP32", "shape": [1, 1], "data": [1.5]},
    ]});
    let names = |answer: &Answered| {
        let outputs = answer.json()["outputs"].as_array().unwrap().clone();
        outputs.iter().map(|o| (o["name"].as_str().unwrap().to_owned(), o["data"][0].clone())).collect::<Vec<_>>()
    };
    let (a, b) = (("a_out".to_owned(), json!(1.5)), ("b_out".to_owned(), json!(7)));
    assert_eq!(names(&infer(&world, "two", body.clone()).await), [a.clone(), b.clone()]);
    body["outputs"] = json!([{"name": "b_out"}, {"name": "a_out"}]);
    assert_eq!(names(&infer(&world, "two", body.clone()).await), [b.clone(), a]);
    body["outputs"] = json!([{"name": "b_out", "parameters": null}]);
    assert_eq!(names(&infer(&world, "two", body).await), [b]);
}

#[tokio::test]
async fn texts_are_embedded_one_row_each() {
    let world = World::new();
    for shape in [json!([2]), json!([2, 1])] {
        let data = json!(["w3 w4", "w1 w1 w1 w1 w1 w1 w1 w1 w1 w1"]);
        let body = json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": shape, "data": data}]});
        let answer = infer(&world, "embed", body).await.json();
        let data = json!([2.0, 3.0, 1.0, 0.0, 8.0, 1.0, 1.0, 0.0]);
        let expected = json!([{"name": "embedding", "datatype": "FP32", "shape": [2, 4], "data": data}]);
        assert_eq!(answer["outputs"], expected, "the second text is cut to the model's 8 tokens");
    }
    let body = json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["w1", "w1 w2"]}]});
    let answer = infer(&world, "classify", body).await.json();
    let expected = json!([{"name": "logits", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 0.5, 2.0, 0.5]}]);
    assert_eq!(answer["outputs"], expected);
}

#[tokio::test]
async fn parameters_and_headers_say_when_and_how_urgently() {
    let world = World::new();
    let mut body = x("FP32", json!([1, 1]), json!([1]));
    body["parameters"] = json!({"timeout": 5000, "priority": 2, "whatever": {"deep": [1]}});
    infer(&world, "echo-FP32", body.clone()).await;
    let asked = world.echo.asked.lock().unwrap().clone().unwrap();
    assert_eq!((asked.priority, asked.tenant.as_str()), (Priority(2), ""));
    assert!(asked.deadline.is_some());
    let request = Request::post("/v2/models/echo-FP32/infer")
        .header("x-inferneo-priority", "7")
        .header("x-inferneo-tenant", "acme")
        .header("x-request-id", "id-1")
        .body(Body::from(body.to_string()))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.header("x-request-id"), "id-1");
    let asked = world.echo.asked.lock().unwrap().clone().unwrap();
    assert_eq!((asked.priority, asked.tenant.as_str()), (Priority(7), "acme"));
    body["parameters"] = json!({"timeout": 0});
    infer(&world, "echo-FP32", body).await;
    assert_eq!(world.echo.asked.lock().unwrap().clone().unwrap().deadline, None);
}
