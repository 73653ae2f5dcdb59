//! Every refusal, in its protocol's own shape, and nobody else is the worse for it.

use crate::client::{Answer, Client, JSON_LENGTH, input};
use crate::harness::{together, until};
use crate::shared::shared;
use serde_json::{Value, json};
use std::io::Read;

const OPENAI: &str = "/v1/embeddings";
const V2: &str = "/v2/models/minilm/infer";

fn openai(text: &str) -> Value {
    json!({"model": "minilm", "input": text})
}

fn v2(text: &str) -> Value {
    json!({"inputs": [input("text", "BYTES", &[1], json!([text]))]})
}

/// A good request of each protocol: path and body.
fn good() -> [(&'static str, Value); 2] {
    [(OPENAI, openai("a")), (V2, v2("a"))]
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(plain, flate2::Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}

/// Bad requests of every kind leave the server as able as before.
async fn still_answers(client: &Client) {
    assert_eq!(client.embed("minilm", "still here").await.ok().vectors().len(), 1);
    assert_eq!(shared().admin().get("/livez").await.status, 200);
}

#[tokio::test]
async fn what_is_not_a_request_is_refused_and_the_server_lives() {
    for client in [shared().http1(), shared().http2()] {
        let bad_utf8 = b"{\"model\": \"minilm\", \"input\": \"\xff\"}".to_vec();
        let bodies: [&[u8]; 8] = [b"", b"{", b"null", b"[]", b"\xff\xfe\x00", &bad_utf8, b"NaN", &[b'['; 100_000]];
        for body in bodies {
            for (path, _) in good() {
                client.send("POST", path, body.to_vec()).await.refusal(400, "invalid_request");
            }
        }
        for (path, body, field) in [
            (OPENAI, json!({"model": "minilm"}), "input"),
            (OPENAI, json!({"model": "minilm", "input": ["a", ""]}), "input[1]"),
            (OPENAI, json!({"model": "minilm", "input": [1, 999_999]}), "999999"),
            (OPENAI, json!({"model": "minilm", "input": "a", "dimensions": 1000}), "dimensions"),
            (OPENAI, json!({"model": "minilm", "input": "a", "encoding_format": "hex"}), "encoding_format"),
            (V2, json!({"inputs": []}), "input_ids"),
            (V2, json!({"inputs": [input("text", "INT64", &[1], json!([1]))]}), "text"),
            (V2, json!({"inputs": [input("input_ids", "FP32", &[1, 1], json!([1]))]}), "input_ids"),
            (V2, json!({"inputs": [input("input_ids", "INT64", &[1, 2], json!([1]))]}), "input_ids"),
            (V2, json!({"inputs": [input("input_ids", "INT64", &[1, -1_i64 as usize], json!([1]))]}), "input_ids"),
        ] {
            let message = client.post(path, body.clone()).await.refusal(400, "invalid_request");
            assert!(message.contains(field), "{body}: {message}");
        }
        still_answers(&client).await;
    }
}

#[tokio::test]
async fn compressed_bodies_are_bounded_by_what_they_expand_to() {
    let client = shared().http1().with("content-encoding", "gzip");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    for (path, body) in good() {
        assert_eq!(client.send("POST", path, gzip(body.to_string().as_bytes())).await.status, 200);
        client.send("POST", path, bomb.clone()).await.refusal(413, "too_large");
        client.send("POST", path, gzip(&bomb)).await.refusal(400, "invalid_request");
        client.send("POST", path, "not gzip").await.refusal(400, "invalid_request");
        let cut = gzip(body.to_string().as_bytes());
        client.send("POST", path, cut[..cut.len() - 9].to_vec()).await.refusal(400, "invalid_request");
    }
    let plain = shared().http1();
    for (path, _) in good() {
        plain.send("POST", path, vec![b' '; (16 << 20) + 1]).await.refusal(413, "too_large");
    }
    still_answers(&plain).await;
}

#[tokio::test]
async fn who_asks_for_the_head_of_a_refusal_gets_no_more() {
    for client in [shared().http1(), shared().http2()] {
        for path in ["/v2/models/nobody", "/v1/models/nobody", "/nothing"] {
            let (whole, head) = (client.get(path).await, client.send("HEAD", path, "").await);
            assert_eq!((head.status.as_u16(), &*head.body), (404, &b""[..]), "{path}");
            assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
        }
        let good = client.send("HEAD", "/v2/health/live", "").await;
        assert_eq!((good.status.as_u16(), &*good.body), (200, &b""[..]));
    }
}

#[tokio::test]
async fn the_table_of_refusals_holds_in_both_shapes() {
    let client = shared().http2();
    client.get("/v1/nothing").await.refusal(404, "not_found");
    client.get("/nothing").await.refusal(404, "not_found");
    for (path, body) in good() {
        let answer = client.get(path).await;
        answer.refusal(405, "invalid_request");
        assert!(answer.header("allow").contains("POST"));
        let typed = client.clone().with("content-type", "text/plain");
        typed.post(path, body.clone()).await.refusal(415, "invalid_request");
        let packed = client.clone().with("content-encoding", "br");
        packed.post(path, body.clone()).await.refusal(415, "invalid_request");
        let hurried = client.clone().with("x-request-timeout-ms", "soon");
        let message = hurried.post(path, body.clone()).await.refusal(400, "invalid_request");
        assert!(message.contains("x-request-timeout-ms"), "{message}");
        let urgent = client.clone().with("x-inferneo-priority", "high");
        urgent.post(path, body).await.refusal(400, "invalid_request");
    }
    client.embed("nobody", "a").await.refusal(404, "unknown_model");
    client.infer("nobody", v2("a")).await.refusal(404, "unknown_model");
    client.send("POST", "/v2/models/minilm/versions/2/infer", v2("a").to_string()).await.refusal(404, "unknown_model");
    client.embed("tiny_classifier", "sun").await.refusal(400, "unsupported");
    client.embed("identity", "sun").await.refusal(400, "unsupported");
    let message = client.post(OPENAI, json!({"input": "a"})).await.refusal(400, "invalid_request");
    assert!(message.contains("minilm") && message.contains("tiny_text"), "{message}");
    let short = client.clone().with(JSON_LENGTH, "5");
    short.infer("minilm", v2("a")).await.refusal(400, "invalid_request");
    let named = client.with("x-request-id", "mine-1").get("/nothing").await;
    assert_eq!(named.header("x-request-id"), "mine-1");
}

#[tokio::test]
async fn a_deadline_that_passes_while_waiting_is_504() {
    // Nobody else is this tenant, so its batch never fills and its delay is a minute.
    let client = shared().http1().tenant("patient").with("x-request-timeout-ms", "30");
    for (path, body) in good() {
        client.post(path, body).await.refusal(504, "deadline_exceeded");
    }
    let body = json!({"inputs": [input("text", "BYTES", &[1], json!(["a"]))], "parameters": {"timeout": 20_000}});
    shared().http1().tenant("patient").post(V2, body).await.refusal(504, "deadline_exceeded");
}

#[tokio::test]
async fn a_deadline_behind_a_long_queue_is_refused_and_those_before_it_are_answered() {
    let client = shared().http2().tenant("alone");
    let text = "a long text to run before any other ".repeat(20);
    let ask = |i: usize| {
        let (client, text) = (client.clone(), text.clone());
        async move {
            let client = if i < 40 { client } else { client.with("x-request-timeout-ms", "1") };
            (i, client.embed("minilm", text).await)
        }
    };
    for (i, answer) in together((0..50).map(ask)).await {
        match answer.status.as_u16() {
            503 if i >= 40 => drop(answer.refusal(503, "overloaded")),
            504 if i >= 40 => drop(answer.refusal(504, "deadline_exceeded")),
            _ if i >= 40 => panic!("answered within a millisecond: {answer:?}"),
            _ => drop(answer.ok()),
        }
    }
}

#[tokio::test]
async fn a_full_queue_refuses_the_next_and_answers_those_it_took() {
    let server = shared();
    let client = server.http1();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.embed("small-queue", vec!["sun", "rain", "snow"]).await })
    };
    let labels = [("model", "small-queue")];
    until("three rows waiting", async || server.metrics().await.sum("inferneo_queue_rows", &labels) == 3.0).await;
    // Room for one row is left: every request of two is refused, over both protocols.
    let ask = |i: usize| {
        let client = client.clone();
        async move {
            match i % 2 {
                0 => client.embed("small-queue", vec!["red", "blue"]).await,
                _ => client.infer_texts("small-queue", &["red", "blue"]).await,
            }
        }
    };
    for answer in together((0..40).map(ask)).await {
        answer.refusal(503, "overloaded");
    }
    client.embed("small-queue", vec!["sun"; 5]).await.refusal(413, "too_large");
    // The row that fits completes the batch of four.
    let last = client.infer_texts("small-queue", &["green"]).await.ok();
    assert_eq!(last.batch().rows, 4);
    let first = waiting.await.unwrap().ok();
    assert_eq!((first.batch().rows, first.vectors().len()), (4, 3));
    let overloaded = [("model", "small-queue"), ("outcome", "overloaded")];
    assert_eq!(server.metrics().await.sum("inferneo_requests_total", &overloaded), 40.0);
}

#[tokio::test]
async fn only_the_guilty_request_of_a_batch_fails() {
    let client = shared().http2().tenant("fixed_size");
    let ask = |i: usize| {
        let client = client.clone();
        let x = if i == 11 { -1 } else { (i % 8) as i64 };
        async move { client.infer("fails_on_negative", json!({"inputs": [input("x", "INT64", &[1], json!([x]))]})).await }
    };
    let answers: Vec<Answer> = together((0..16).map(ask)).await;
    for (i, answer) in answers.into_iter().enumerate() {
        if i == 11 {
            let message = answer.refusal(500, "execution_failed");
            assert!(message.contains("fails_on_negative") && message.len() > 60, "{message}");
            continue;
        }
        let answer = answer.ok();
        assert_eq!(answer.output("y"), (vec![1], json!([((i % 8) * (i % 8)) as f64])));
        // The batch of sixteen was halved until the guilty one was alone.
        assert!(answer.batch().rows <= 8);
    }
}

#[tokio::test]
async fn what_no_body_may_be_is_told_to_the_caller_and_counted_as_failed() {
    let client = shared().http1();
    let stats = async || client.get("/v2/models/bytes_echo/stats").await.ok().json()["model_stats"][0].clone();
    let before = stats().await;
    for path in ["/v2/models/bytes_echo/infer", "/v1/embeddings", "/v2/repository/index"] {
        let message = client.post(path, json!([1, 2])).await.refusal(400, "invalid_request");
        assert!(message.contains("the body is an array, not an object"), "{path}: {message}");
    }
    let zero = json!({"inputs": [input("x", "BYTES", &[2, 1], json!(["fine", "a\u{0}b"]))]});
    let message = client.infer("bytes_echo", zero).await.refusal(400, "invalid_request");
    assert!(message.contains("input `x`, element 1") && message.contains("zero byte"), "{message}");
    let good = json!({"inputs": [input("x", "BYTES", &[1, 1], json!(["fine"]))]});
    client.infer("bytes_echo", good).await.ok();
    let after = stats().await;
    let count = |seen: &Value, kind: &str| seen["inference_stats"][kind]["count"].as_u64().unwrap();
    assert_eq!(count(&after, "success"), count(&before, "success") + 1);
    assert!(count(&after, "fail") >= count(&before, "fail") + 2, "{after}");
    assert!(after["last_inference"].as_u64().unwrap() > 1_600_000_000_000, "{after}");
}
