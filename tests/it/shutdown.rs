//! Stopping: SIGTERM under load answers everything it took, refuses the rest, and exits with 0.

use crate::client::Answer;
use crate::harness::{Server, Settings, model, together, until};
use serde_json::json;
use tokio::task::JoinHandle;

/// Keeps up to 99 rows waiting until a drain, which then runs them a few at a time.
const HOLD: &str = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 100\nmax_batch_tokens = 1024\n\
                    max_queue_delay = '60s'\n[match]\ntenants = ['held']";
const ROWS: usize = 60;

/// A server of MiniLM on one thread, with [`ROWS`] rows waiting: some seconds of work. Answers the tasks
/// that wait for them.
async fn loaded(config: &str) -> (Server, Vec<JoinHandle<Result<Answer, String>>>) {
    let minilm = model("minilm", "minilm", "instances = 1\nthreads = 1");
    let settings = Settings::new(format!("{config}{minilm}")).policy("alone", "dynamic_batching = false");
    let server = settings.policy("hold", HOLD).start();
    let client = server.http2().tenant("held");
    let body = json!({"input": "one of many texts that take their time ".repeat(25)}).to_string();
    let ask = || {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { client.try_send("POST", "/v1/embeddings", body).await })
    };
    let asked = std::iter::repeat_with(ask).take(ROWS).collect();
    let waiting = async || server.metrics().await.sum("inferneo_queue_rows", &[]) == ROWS as f64;
    until("all rows waiting", waiting).await;
    (server, asked)
}

#[tokio::test]
async fn sigterm_answers_what_runs_and_waits_refuses_the_rest_and_exits_0() {
    let (server, waiting) = loaded("drain_timeout = \"120s\"\n").await;
    let (old, new) = (server.http2(), server.http1());
    assert_eq!(old.embed("minilm", "early").await.ok().batch().rows, 1);
    let running: Vec<_> = (0..10)
        .map(|_| {
            let client = old.clone();
            tokio::spawn(async move { client.embed("minilm", "in flight").await })
        })
        .collect();
    server.terminate();
    // No request at all: malformed while requests are taken, refused before it is looked at in a drain.
    until("refusals", async || old.send("POST", "/v1/embeddings", "").await.status == 503).await;
    new.send("POST", "/v2/models/minilm/infer", "").await.refusal(503, "draining");
    old.embed("minilm", "late").await.refusal(503, "draining");
    old.get("/v2/health/ready").await.refusal(503, "draining");
    let ready = server.admin().get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["draining"]), (503, &json!(true)));
    assert_eq!(server.admin().get("/livez").await.status, 200);
    for answer in running {
        let answer = answer.await.unwrap();
        if answer.status != 200 {
            answer.refusal(503, "draining");
        }
    }
    for answer in waiting {
        let answer = answer.await.unwrap().unwrap_or_else(|e| panic!("{e}:\n{}", server.log()));
        assert_eq!(answer.ok().vectors().len(), 1);
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
    let (server, _waiting) = loaded("drain_timeout = \"0s\"\n").await;
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("drain_timeout passed"), "{}", ended.log);
}
