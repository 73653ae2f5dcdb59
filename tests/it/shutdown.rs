//! Stopping: SIGTERM under load answers everything it took, refuses the rest, and exits with 0.

use crate::client::Answer;
use crate::harness::{Settings, model, together, until};
use serde_json::json;

#[tokio::test]
async fn sigterm_answers_what_runs_and_waits_refuses_the_rest_and_exits_0() {
    let policy = "dynamic_batching = false";
    let minilm = model("minilm", "minilm", "instances = 1\nthreads = 1");
    let server = Settings::new(minilm).policy("alone", policy).start();
    let client = server.http2();
    let text = "one of many texts that take their time ".repeat(25);
    let taken: Vec<_> = (0..60)
        .map(|_| {
            let (client, text) = (client.clone(), text.clone());
            tokio::spawn(async move { client.embed("minilm", text).await })
        })
        .collect();
    until("sixty rows taken", async || server.metrics().await.sum("inferneo_inflight_rows", &[]) == 60.0).await;
    server.terminate();
    let admin = server.admin();
    until("readiness to end", async || admin.get("/readyz").await.status == 503).await;
    assert_eq!(admin.get("/readyz").await.json()["draining"], true);
    assert_eq!(admin.get("/livez").await.status, 200);
    // On the old connection and on new ones, in both shapes.
    let refused = [client.embed("minilm", "late").await, server.http1().infer_texts("minilm", &["late"]).await];
    for answer in &refused {
        answer.refusal(503, "draining");
    }
    client.get("/v2/health/ready").await.refusal(503, "draining");
    assert!(server.metrics().await.sum("inferneo_inflight_rows", &[]) > 0.0, "the drain was over before it was seen");
    for answer in taken {
        assert_eq!(answer.await.unwrap().ok().vectors().len(), 1);
    }
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("SIGTERM") && ended.log.contains("stopped"), "{}", ended.log);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_batches_to_fill() {
    let policy = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 64\nmax_queue_delay = '60s'";
    let tiny = model("tiny", "test/tiny_text", "instances = 1");
    let server = Settings::new(tiny).policy("patient", policy).start();
    let client = server.http1();
    let ask = move |_| {
        let client = client.clone();
        async move { client.embed("tiny", "red sun").await }
    };
    let asked = tokio::spawn(together((0..5).map(ask)));
    until("five rows waiting", async || server.metrics().await.sum("inferneo_queue_rows", &[]) == 5.0).await;
    server.terminate();
    let answers: Vec<Answer> = asked.await.unwrap();
    assert!(answers.into_iter().all(|answer| answer.ok().batch().rows == 5));
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test]
async fn during_the_drain_delay_it_is_unready_and_still_serves() {
    let config = format!("drain_delay = \"2s\"\n{}", model("int_ops", "test/int_ops", "instances = 1"));
    let server = Settings::new(config).start();
    server.terminate();
    until("readiness to end", async || server.admin().get("/readyz").await.status == 503).await;
    let body = json!({"inputs": [crate::client::input("x", "INT64", &[1], json!([4]))]});
    let answer = server.http1().infer("int_ops", body).await.ok();
    assert_eq!(answer.output("y").1, json!([8]));
    server.http1().get("/v2/health/ready").await.refusal(503, "draining");
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test]
async fn past_the_drain_timeout_it_says_what_it_leaves_and_exits() {
    let minilm = model("minilm", "minilm", "instances = 1\nthreads = 1");
    let server = Settings::new(format!("drain_timeout = \"0s\"\n{minilm}")).policy("alone", "dynamic_batching = false");
    let server = server.start();
    let client = server.http2();
    let text = "one of many texts that take their time ".repeat(25);
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let (client, text) = (client.clone(), text.clone());
            tokio::spawn(
                async move { client.try_send("POST", "/v1/embeddings", json!({"input": text}).to_string()).await },
            )
        })
        .collect();
    until("sixty rows taken", async || server.metrics().await.sum("inferneo_inflight_rows", &[]) == 60.0).await;
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("drain_timeout passed"), "{}", ended.log);
    drop(asked);
}
