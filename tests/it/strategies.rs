//! Sixteen concurrent requests under each strategy: the batches it promises, and each row run once.

use crate::client::{Answer, Metrics};
use crate::harness::{together, until};
use crate::shared::shared;
use std::collections::BTreeMap;

const REQUESTS: usize = 16;
/// The test model's vocabulary, a little of it.
const WORDS: [&str; 8] = ["red", "green", "blue", "sun", "rain", "snow", "lake", "road"];

/// Sixteen texts of one to sixteen words, all different.
fn texts() -> Vec<String> {
    (0..REQUESTS).map(|i| (0..=i).map(|j| WORDS[(i + 3 * j) % WORDS.len()]).collect::<Vec<_>>().join(" ")).collect()
}

/// Sends sixteen requests at once and checks what every strategy promises: each is answered, once,
/// with its own answer. Answers the requests' answers.
async fn sixteen(tenant: &str, model: &'static str) -> Vec<Answer> {
    let server = shared();
    let clients = [server.http1(), server.http2()].map(|client| client.tenant(tenant));
    let ask = |(i, text): (usize, String)| {
        let client = clients[i % 2].clone();
        async move { client.embed(model, text).await.ok() }
    };
    let answers = together(texts().into_iter().enumerate().map(ask)).await;
    let alone = server.http1().tenant("alone").embed("tiny_text", texts()).await.ok().vectors();
    for (answer, own) in answers.iter().zip(&alone) {
        let vector = answer.vectors().remove(0);
        assert!(vector.iter().zip(own).all(|(a, b)| (a - b).abs() < 1e-5), "{vector:?} is not {own:?}");
        assert_eq!(answer.batch().policy, tenant);
    }
    let after = server.metrics().await;
    let of_model = [("model", model)];
    assert_eq!(after.sum("inferneo_batch_rows_sum", &of_model), REQUESTS as f64, "a row ran twice or never");
    let outcomes = [("model", model), ("outcome", "ok")];
    assert_eq!(after.sum("inferneo_requests_total", &outcomes), REQUESTS as f64);
    assert_eq!(after.sum("inferneo_requests_total", &of_model), REQUESTS as f64);
    answers
}

/// Rows of every batch, by batch: a batch of n rows is seen n times.
fn batches(answers: &[Answer]) -> Vec<u64> {
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    answers.iter().for_each(|answer| *seen.entry(answer.batch().rows).or_default() += 1);
    seen.iter().flat_map(|(rows, times)| vec![*rows; (times / rows) as usize]).collect()
}

fn released(metrics: &Metrics, model: &str, reason: &str) -> f64 {
    metrics.sum("inferneo_batch_release_total", &[("model", model), ("reason", reason)])
}

#[tokio::test]
async fn fixed_size_of_sixteen_runs_one_batch_of_sixteen() {
    let answers = sixteen("fixed_size", "fixed").await;
    assert_eq!(batches(&answers), [16]);
    // Texts of one to sixteen words, each with two special tokens.
    let batch = answers[0].batch();
    assert_eq!((batch.tokens, batch.padded), ((1..=16).sum::<u64>() + 32, 16 * 18));
    let metrics = shared().metrics().await;
    assert_eq!(metrics.sum("inferneo_batch_rows_count", &[("model", "fixed")]), 1.0);
    assert_eq!(released(&metrics, "fixed", "full"), 1.0);
    let tokens = |kind| metrics.sum("inferneo_tokens_total", &[("model", "fixed"), ("kind", kind)]);
    assert_eq!((tokens("useful"), tokens("padding")), (batch.tokens as f64, (batch.padded - batch.tokens) as f64));
}

#[tokio::test]
async fn strategies_that_wait_run_few_batches_and_never_an_idle_one() {
    for (tenant, model) in [("coalescing", "coalesced"), ("throughput_optimized", "throughput")] {
        let answers = sixteen(tenant, model).await;
        let metrics = shared().metrics().await;
        let count = metrics.sum("inferneo_batch_rows_count", &[("model", model)]);
        assert!(count <= REQUESTS as f64 / 4.0, "{tenant}: {count} batches, {:?}", batches(&answers));
        // Held back until it is worth it or the delay is over.
        let worth_it: f64 = ["full", "best", "delay"].iter().map(|reason| released(&metrics, model, reason)).sum();
        assert_eq!(worth_it, count, "{tenant}");
    }
}

#[tokio::test]
async fn without_dynamic_batching_every_request_runs_alone() {
    let answers = sixteen("alone", "alone").await;
    assert_eq!(batches(&answers), [1; REQUESTS]);
    assert!(answers.iter().all(|answer| answer.batch().tokens == answer.batch().padded));
    assert_eq!(released(&shared().metrics().await, "alone", "alone"), REQUESTS as f64);
}

#[tokio::test]
async fn strategies_that_do_not_wait_batch_what_piled_up() {
    let server = shared();
    for tenant in ["adaptive", "latency_optimized"] {
        let client = server.http2().tenant(tenant);
        let ask = |i: usize| {
            let client = client.clone();
            async move { client.embed("minilm", WORDS[i % WORDS.len()]).await.ok().batch() }
        };
        // How much piles up while the first rows run is the machine's affair, and so is, until it has
        // learned, what the strategy expects of a batch. That short rows are batched is its promise.
        let mut largest = 1;
        until("a batch of several", async || {
            let seen = together((0..REQUESTS).map(ask)).await;
            assert!(seen.iter().all(|batch| batch.policy == tenant));
            largest = seen.iter().map(|batch| batch.rows).max().unwrap_or_default();
            largest > 1
        })
        .await;
        assert!(largest <= REQUESTS as u64, "{tenant}: {largest}");
    }
}

#[tokio::test]
async fn a_request_longer_than_the_budget_is_refused_and_blocks_nobody() {
    let server = shared();
    let client = server.http2().tenant("budget");
    let ask = |i: usize| {
        let client = client.clone();
        // Six words and two special tokens are the budget of eight.
        let words = if i == 5 { 7 } else { 6 };
        async move { client.embed("budget", vec!["sun"; words].join(" ")).await }
    };
    for (i, answer) in together((0..REQUESTS).map(ask)).await.into_iter().enumerate() {
        match i {
            5 => assert!(answer.refusal(413, "too_large").contains("9 tokens")),
            _ => assert_eq!(answer.ok().batch().rows, 1),
        }
    }
    // Over v2 in its own form; a request of several rows is refused as a whole.
    let long = ["sun"; 7].join(" ");
    client.infer_texts("budget", &["sun", &long]).await.refusal(413, "too_large");
    until("nothing waiting or running", async || {
        server.metrics().await.sum("inferneo_queue_rows", &[("model", "budget")]) == 0.0
    })
    .await;
    let metrics = server.metrics().await;
    assert_eq!(metrics.sum("inferneo_batch_rows_sum", &[("model", "budget")]), 15.0);
    assert_eq!(metrics.sum("inferneo_requests_total", &[("model", "budget"), ("outcome", "too_large")]), 2.0);
}
