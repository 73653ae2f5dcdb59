//! Trace context through the real program: into every log line about a request, and on to the upstream.

use crate::client::input;
use crate::harness::{Server, Settings, model, until};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "vendor=a:1,other=b";

/// The JSON log lines with this message, once there is one.
async fn lines(server: &Server, message: &str, id: &str) -> Vec<Value> {
    let mut found = Vec::new();
    until(message, async || {
        let lines = server.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        found = lines.filter(|line| line["message"] == message && line["span"]["id"] == id).collect();
        !found.is_empty()
    })
    .await;
    found
}

fn settings(config: impl Into<String>) -> Settings {
    Settings::new(config).flag("--log-format", "json").flag("--log-level", "info,inferneo::request=debug")
}

#[tokio::test]
async fn one_line_a_request_tells_its_trace_and_where_its_time_went() {
    let server = settings(model("tiny", "test/tiny_text", "instances = 1")).start();
    let client = server.http1().tenant("acme").with("x-request-id", "r-1").with("traceparent", PARENT);
    let answer = client.embed("tiny", json!(["red sun", "sun"])).await.ok();
    let told = lines(&server, "finished", "r-1").await;
    let [line] = &told[..] else { panic!("one line: {told:?}") };
    assert_eq!((&line["target"], &line["level"]), (&json!("inferneo::request"), &json!("DEBUG")));
    assert_eq!((&line["span"]["trace_id"], &line["span"]["path"]), (&json!(TRACE), &json!("/v1/embeddings")));
    for (key, value) in [("protocol", "openai"), ("model", "tiny"), ("tenant", "acme"), ("outcome", "ok")] {
        assert_eq!(line[key], value, "{line}");
    }
    let batch = answer.batch();
    assert_eq!((line["tokens"].as_u64(), line["policy"].as_str()), (Some(batch.tokens), Some(&*batch.policy)));
    assert!(line["batch"].is_u64() && line["rows"].is_u64(), "{line}");
    let ms = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"));
    let timing = answer.header("server-timing");
    assert!(timing.starts_with(&format!("queue;dur={:.3}, ", ms("queue_ms"))), "{timing} {line}");
    let stages = ms("decode_ms") + ms("queue_ms") + ms("assemble_ms") + ms("compute_ms");
    assert!(stages > 0.0 && stages <= ms("total_ms"), "{line}");
}

#[tokio::test]
async fn a_refusal_has_its_line_and_a_bad_traceparent_is_none() {
    let server = settings(model("int_ops", "test/int_ops", "")).start();
    let client = server.http1().with("traceparent", &PARENT.replacen("00", "ff", 1)).with("x-request-id", "r-2");
    client
        .infer("int_ops", json!({"inputs": [input("secret", "INT64", &[1], json!([4]))]}))
        .await
        .refusal(400, "invalid_request");
    let line = lines(&server, "finished", "r-2").await.remove(0);
    assert_eq!((&line["outcome"], &line["model"]), (&json!("invalid_request"), &json!("int_ops")));
    let absent = [&line["span"]["trace_id"], &line["queue_ms"], &line["batch"]];
    assert!(absent.iter().all(|value| value.is_null()), "{line}");
    assert!(!server.log().contains("secret"), "no line quotes the payload");
}

#[tokio::test]
async fn a_line_of_the_scheduler_about_a_request_names_its_trace_too() {
    let server = Settings::new(model("fails_on_negative", "test/fails_on_negative", ""));
    // Whatever the level: a line that is shown at all has the ids.
    let server = server.flag("--log-format", "json").flag("--log-level", "warn").start();
    let client = server.http1().with("traceparent", PARENT).with("x-request-id", "r-4");
    let body = json!({"inputs": [input("x", "INT64", &[1], json!([-4]))]});
    client.infer("fails_on_negative", body).await.refusal(500, "execution_failed");
    assert_eq!(lines(&server, "the model failed on a request", "r-4").await[0]["span"]["trace_id"], TRACE);
}

#[tokio::test]
async fn a_line_of_text_quotes_what_callers_chose() {
    let server = Settings::new(model("fails_on_negative", "test/fails_on_negative", "")).start();
    // As if it were another request's span.
    let client = server.http1().with("x-request-id", "mine}:request{id=theirs");
    let body = json!({"inputs": [input("x", "INT64", &[1], json!([-4]))]});
    client.infer("fails_on_negative", body).await.refusal(500, "execution_failed");
    server.terminate();
    let log = server.ended().await.log;
    assert!(log.contains(r#"request{id="mine}:request{id=theirs" path="/v2/"#), "{log}");
}

#[tokio::test]
async fn at_the_usual_level_there_is_no_line_a_request() {
    let server = Settings::new(model("int_ops", "test/int_ops", "")).start();
    let body = json!({"inputs": [input("x", "INT64", &[1], json!([4]))]});
    server.http1().with("traceparent", PARENT).infer("int_ops", body).await.ok();
    server.terminate();
    let log = server.ended().await.log;
    assert!(!log.contains("finished") && !log.contains(TRACE), "{log}");
}

#[tokio::test]
async fn the_upstream_gets_both_headers_unchanged_and_its_failure_names_the_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let echo = async |request: Request| {
        let mut response: Response = Response::default();
        for (name, seen) in [("traceparent", "x-parent"), ("tracestate", "x-state")] {
            for value in request.headers().get_all(name) {
                response.headers_mut().append(seen, value.clone());
            }
        }
        response
    };
    let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    let server = settings("").flag("--upstream", format!("http://{upstream}")).start();
    // Even what is no trace context of ours is the upstream's to judge.
    for (parent, state) in [(PARENT, STATE), ("01-what-ever", "=")] {
        let client = server.http1().with("traceparent", parent).with("tracestate", state);
        let answer = client.get("/elsewhere").await.ok();
        assert_eq!((answer.header("x-parent"), answer.header("x-state")), (parent, state));
        assert_eq!(answer.headers.get_all("x-parent").iter().count(), 1);
    }
    serving.abort();
    drop(serving.await);
    let client = server.http1().with("traceparent", PARENT).with("x-request-id", "r-3");
    until("a refusal", async || client.get("/elsewhere").await.status == 502).await;
    assert_eq!(lines(&server, "the upstream failed", "r-3").await[0]["span"]["trace_id"], TRACE);
}
