//! Every refusal, in every protocol's shape.

use crate::error::{Error, Reason};
use crate::front::testing::World;
use axum::body::Body;
use http::Request;
use serde_json::json;
use std::time::Duration;

/// Reason, word, HTTP status, whether it may be retried, OpenAI's type.
const TABLE: [(Reason, &str, u16, bool, &str); 17] = [
    (Reason::InvalidRequest, "invalid_request", 400, false, "invalid_request_error"),
    (Reason::MethodNotAllowed, "invalid_request", 405, false, "invalid_request_error"),
    (Reason::BodyTimeout, "invalid_request", 408, false, "invalid_request_error"),
    (Reason::UnsupportedMediaType, "invalid_request", 415, false, "invalid_request_error"),
    (Reason::Unsupported, "unsupported", 400, false, "invalid_request_error"),
    (Reason::Unauthenticated, "unauthenticated", 401, false, "authentication_error"),
    (Reason::Forbidden, "forbidden", 403, false, "permission_error"),
    (Reason::UnknownModel, "unknown_model", 404, false, "invalid_request_error"),
    (Reason::NotFound, "not_found", 404, false, "invalid_request_error"),
    (Reason::TooLarge, "too_large", 413, false, "invalid_request_error"),
    (Reason::RateLimited, "rate_limited", 429, true, "rate_limit_error"),
    (Reason::Overloaded, "overloaded", 503, true, "server_error"),
    (Reason::Draining, "draining", 503, true, "server_error"),
    (Reason::NotReady, "not_ready", 503, true, "server_error"),
    (Reason::UpstreamFailed, "upstream_failed", 502, false, "server_error"),
    (Reason::DeadlineExceeded, "deadline_exceeded", 504, false, "server_error"),
    (Reason::ExecutionFailed, "execution_failed", 500, false, "server_error"),
];

const V2: (&str, &str) =
    ("/v2/models/echo-FP32/infer", r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[1]}]}"#);
const OPENAI: (&str, &str) = ("/v1/embeddings", r#"{"model":"embed","input":"w1"}"#);

#[tokio::test]
async fn every_reason_has_its_status_header_and_shape() {
    let world = World::new();
    for (reason, word, status, retryable, kind) in TABLE {
        world.refuse(reason);
        let v2 = world.post(V2.0, V2.1).await;
        assert_eq!(v2.json(), json!({"error": "because", "reason": word}));
        let openai = world.post(OPENAI.0, OPENAI.1).await;
        let shape = json!({"error": {"message": "because", "type": kind, "param": null, "code": word}});
        assert_eq!(openai.json(), shape);
        for answer in [v2, openai] {
            assert_eq!(answer.status, status, "{word}");
            assert_eq!(answer.header("x-inferneo-reason"), word);
            assert_eq!(answer.header("retry-after"), if retryable { "1" } else { "" }, "{word}");
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(!answer.header("x-request-id").is_empty());
        }
    }
}

#[tokio::test]
async fn retry_after_is_whole_seconds_rounded_up() {
    let world = World::new();
    for (after, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (7500, "8")] {
        let error = Error::new(Reason::Overloaded, "full").retry_after(Duration::from_millis(after));
        *world.echo.refuse_room.lock().unwrap() = Some(error);
        assert_eq!(world.post(V2.0, V2.1).await.header("retry-after"), header);
    }
}

#[tokio::test]
async fn outcomes_are_counted_once_each_under_their_model() {
    let world = World::new();
    world.post(V2.0, V2.1).await;
    world.refuse(Reason::Overloaded);
    world.post(OPENAI.0, OPENAI.1).await;
    world.post("/v2/models/nobody/infer", "{}").await;
    world.get("/v2/health/live").await;
    // Refused before the body is understood, or even the headers.
    world.post("/v2/models/two/infer", vec![b' '; 100 << 10]).await.refusal(413, "too_large");
    let urgent = Request::post("/v2/models/two/infer").header("x-inferneo-priority", "high");
    world.send(urgent.body(Body::empty()).unwrap()).await.refusal(400, "invalid_request");
    let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    let counts: Vec<&str> = text.lines().filter(|line| line.starts_with("inferneo_requests_total{")).collect();
    let expected = [
        r#"inferneo_requests_total{model="echo-FP32",outcome="ok",protocol="v2",tenant="default"} 1"#,
        r#"inferneo_requests_total{model="embed",outcome="overloaded",protocol="openai",tenant="default"} 1"#,
        r#"inferneo_requests_total{model="two",outcome="invalid_request",protocol="v2",tenant="default"} 1"#,
        r#"inferneo_requests_total{model="two",outcome="too_large",protocol="v2",tenant="default"} 1"#,
        r#"inferneo_requests_total{model="unknown",outcome="unknown_model",protocol="v2",tenant="default"} 1"#,
    ];
    assert_eq!(counts, expected);
}
