//! What is turned off is off, and what is on can be seen.

use crate::client::{Answer, input};
use crate::harness::{Server, Settings, cached, folder, model, together, until};
use serde_json::json;
use std::fs;
use std::path::Path;

const CHECKS: &str = "inferneo_health_checks_total";

/// Writes a model whose runs fail unless every `x` is from 2 to 7, as no made-up row is. It is `fails_on_negative` with
/// another bound.
fn write_choosy(folder: &Path) {
    let mut onnx = fs::read(cached("models/test/fails_on_negative/model.onnx")).unwrap();
    // The constant's name, then the tag and the length of its eight bytes.
    let before = b"zero\x4a\x08";
    let at = onnx.windows(before.len()).position(|bytes| bytes == before).unwrap() + before.len();
    onnx[at] = 2;
    fs::write(folder.join("model.onnx"), onnx).unwrap();
}

async fn square(server: &Server, x: i64) -> Answer {
    server.http1().infer("choosy", json!({"inputs": [input("x", "INT64", &[1], json!([x]))]})).await
}

#[tokio::test]
async fn health_checks_are_seen_where_they_are_on_and_nowhere_else() {
    let dir = folder();
    write_choosy(dir.path());
    let choosy = format!("[[model]]\nname = \"choosy\"\npath = {:?}\ninstances = 1\n", dir.path());
    let tiny = model("tiny_text", "test/tiny_text", "");
    let on = Settings::new(format!("{tiny}{choosy}")).start();
    let off = Settings::new(format!("{tiny}{choosy}")).flag("--health-checks", "false").start();

    // What is made up never ran: that it fails says nothing of the model, and takes it out of nothing.
    let failing = [("model", "choosy"), ("outcome", "failed")];
    until("a failed check", async || on.metrics().await.sum(CHECKS, &failing) >= 1.0).await;
    assert_eq!(on.admin().get("/readyz").await.ok().json()["ready"], true);
    assert_eq!(on.http1().get("/v2/models/choosy/ready").await.ok().json()["ready"], true);
    let said = |words: &str| on.log().lines().filter(|line| line.contains(words)).count();
    assert_eq!(said("health is known by callers' batches alone"), 1, "{}", on.log());
    assert_eq!(said("no made-up input runs"), 2, "once of batching, once of health: {}", on.log());

    assert_eq!(square(&on, 3).await.ok().output("y").1, json!([9.0]));
    assert_eq!(on.admin().get("/readyz").await.ok().json(), json!({"ready": true, "draining": false, "missing": {}}));
    on.http1().get("/v2/health/ready").await.ok();
    let well = [("model", "tiny_text"), ("outcome", "ok")];
    until("a good check", async || on.metrics().await.sum(CHECKS, &well) >= 1.0).await;
    let seen = on.metrics().await;
    assert_eq!(seen.sum("inferneo_requests_total", &[]), 1.0);
    assert_eq!(seen.sum("inferneo_batch_rows_count", &[]), 1.0);

    // The other program has been up for as long.
    assert_eq!(off.admin().get("/readyz").await.ok().json()["ready"], true);
    assert_eq!(square(&off, 3).await.ok().output("y").1, json!([9.0]));
    let seen = off.metrics().await;
    assert!(!seen.0.contains("inferneo_health_checks"), "{}", seen.0);
    assert!(!off.log().contains("canary"), "{}", off.log());
}

/// Milliseconds that a request says it waited.
fn queued(answer: &Answer) -> f64 {
    let timing = answer.header("server-timing");
    let queue = timing.split(", ").find_map(|part| part.strip_prefix("queue;dur="));
    queue.unwrap_or_else(|| panic!("{timing}")).parse().unwrap()
}

#[tokio::test]
async fn without_dynamic_batching_every_row_runs_alone_and_at_once() {
    let policy = |rest: &str| {
        let wait = "strategy = 'throughput_optimized'\n[batch]\nmax_queue_delay = '10s'\nmax_batch_size = 4";
        format!("{rest}\n{wait}\n")
    };
    let server = Settings::new(model("tiny_text", "test/tiny_text", "instances = 1"))
        .policy("alone", &policy("dynamic_batching = false"))
        .start();
    let alone = |answer: &Answer, batches: u64| {
        let batch = answer.batch();
        assert_eq!((batch.rows, batch.batches, &*batch.policy), (1, batches, "alone"));
        assert_eq!(batch.tokens, batch.padded);
        // Far from the ten seconds that this strategy would wait for company.
        assert!(queued(answer) < 5_000.0, "{}", answer.header("server-timing"));
    };
    let (http1, http2) = (server.http1(), server.http2());
    alone(&http1.embed("tiny_text", "red").await.ok(), 1);
    alone(&http2.infer_texts("tiny_text", &["red lake"]).await.ok(), 1);
    // The rows of one call run alone too.
    alone(&http2.embed("tiny_text", json!(["red", "green", "blue"])).await.ok(), 3);
    alone(&http1.infer_texts("tiny_text", &["red", "green"]).await.ok(), 2);
    let asked = (0..16).map(|i| {
        let client = if i % 2 == 0 { http1.clone() } else { http2.clone() };
        async move {
            match i % 4 {
                0 | 1 => client.embed("tiny_text", "sun rain").await.ok(),
                _ => client.infer_texts("tiny_text", &["snow"]).await.ok(),
            }
        }
    });
    together(asked).await.iter().for_each(|answer| alone(answer, 1));
    let metrics = server.metrics().await;
    let rows = 1.0 + 1.0 + 3.0 + 2.0 + 16.0;
    for name in ["inferneo_batch_rows_sum", "inferneo_batch_rows_count", "inferneo_batch_release_total"] {
        assert_eq!(metrics.sum(name, &[]), rows, "{name}");
    }
    assert_eq!(metrics.sum("inferneo_batch_release_total", &[("reason", "alone")]), rows);

    // No request falls under the built-in policy, which would batch.
    let batches = async || server.admin().get("/stats").await.ok().json()["features"]["dynamic_batching"].clone();
    assert_eq!(batches().await, false);
    fs::write(server.folder().join("policies/alone.toml"), policy("")).unwrap();
    until("batching", async || batches().await == true).await;
}
