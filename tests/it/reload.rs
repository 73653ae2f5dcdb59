//! Policies that change while requests are served: each is batched by its own, and overrides end when
//! they should. Edits under full load are `tests/live/`.

use crate::client::Answer;
use crate::harness::{Server, Settings, model, until};
use crate::watch::{reloads, shown};
use serde_json::{Value, json};

async fn policies(server: &Server) -> Value {
    server.admin().get("/policies").await.ok().json()
}

/// Four rows make a batch of `fixed_size`, and one alone waits for as good as ever.
const FOUR: &str = "[batch]\nmax_batch_size = 4\nmax_queue_delay = '60s'\n";

async fn four(server: &Server, model: &'static str, tenant: &str) -> Vec<Answer> {
    let client = server.http2().tenant(tenant);
    let ask = move |_| {
        let client = client.clone();
        async move { client.embed(model, "red sun").await.ok() }
    };
    crate::harness::together((0..4).map(ask)).await
}

async fn put(server: &Server, model: &str, strategy: &str) -> Answer {
    server.admin().send("PUT", "/strategy", json!({"model": model, "strategy": strategy}).to_string()).await
}

#[tokio::test]
async fn an_override_holds_until_its_file_changes_or_it_is_deleted() {
    let models = ["one", "two"].map(|name| model(name, "test/tiny_text", "instances = 1")).concat();
    let acme = format!("{FOUR}[match]\ntenants = ['acme']\n");
    let server = Settings::new(models).policy("acme", &acme).policy("all", FOUR).start();
    let before = policies(&server).await;
    assert_eq!((&before["generation"], &before["overrides"]), (&json!(1), &json!([])));
    let set = put(&server, "*", "fixed_size").await.ok().json();
    assert_eq!(set, policies(&server).await);
    assert_eq!((&set["generation"], &set["overrides"][0]["policies"]), (&json!(2), &json!(["acme", "all"])));
    assert!(set["files"].as_array().unwrap().iter().all(|file| file["strategy"] == "fixed_size"), "{set}");
    for tenant in ["acme", "other"] {
        for answer in four(&server, "one", tenant).await {
            assert_eq!((answer.batch().rows, answer.batch().generation), (4, 2));
        }
    }
    // The file changes, and is what it says again; one row is answered alone.
    std::fs::write(server.folder().join("policies/acme.toml"), format!("# mended\n{acme}")).unwrap();
    let (seen, _) = shown(&server, "generation 3", |seen| seen["generation"] == 3).await;
    assert_eq!(seen["overrides"][0]["policies"], json!(["all"]));
    assert_eq!(
        (&seen["files"][0]["strategy"], &seen["files"][1]["strategy"]),
        (&json!("adaptive"), &json!("fixed_size"))
    );
    let batch = server.http1().tenant("acme").embed("one", "red sun").await.ok().batch();
    assert_eq!((batch.rows, &*batch.policy, batch.generation), (1, "acme", 3));
    assert_eq!(four(&server, "one", "other").await[0].batch().rows, 4);
    let cleared = server.admin().send("DELETE", "/strategy", "").await.ok().json();
    assert_eq!((&cleared["generation"], &cleared["overrides"]), (&json!(4), &json!([])));
    assert_eq!(server.http1().embed("one", "red sun").await.ok().batch().generation, 4);
    // For one model alone, in spite of the file they share.
    put(&server, "two", "fixed_size").await.ok();
    assert_eq!(server.http1().embed("one", "red sun").await.ok().batch().rows, 1);
    assert!(four(&server, "two", "").await.iter().all(|answer| answer.batch().rows == 4));
    let cleared = server.admin().send("DELETE", "/strategy?model=two", "").await.ok().json();
    assert_eq!(cleared["overrides"], json!([]));
    assert_eq!(server.http1().embed("two", "red sun").await.ok().batch().rows, 1);
    for (model, strategy, status, reason) in
        [("three", "adaptive", 404, "unknown_model"), ("*", "fast", 400, "invalid_request")]
    {
        let refused = put(&server, model, strategy).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["reason"]), (status, &json!(reason)));
    }
    assert_eq!(reloads(&server).await, (1.0, 0.0));
}

#[tokio::test]
async fn two_tenants_live_by_their_own_files_and_what_waits_moves_to_the_new_one() {
    let policy = |name: &str, strategy: &str| format!("strategy = '{strategy}'\n{FOUR}[match]\ntenants = ['{name}']");
    let tiny = model("tiny", "test/tiny_text", "instances = 1");
    let settings = Settings::new(tiny).policy("patient", &policy("patient", "fixed_size"));
    let server = settings.policy("hasty", &policy("hasty", "latency_optimized")).start();
    let batch = server.http1().tenant("hasty").embed("tiny", "red sun").await.ok().batch();
    assert_eq!((batch.rows, &*batch.policy), (1, "hasty"));
    for answer in four(&server, "tiny", "patient").await {
        assert_eq!((answer.batch().rows, &*answer.batch().policy), (4, "patient"));
    }
    let client = server.http2().tenant("patient");
    let waiting = tokio::spawn(async move { client.embed("tiny", "red sun").await.ok() });
    until("a row that waits", async || server.metrics().await.sum("inferneo_queue_rows", &[]) == 1.0).await;
    std::fs::write(server.folder().join("policies/patient.toml"), policy("patient", "latency_optimized")).unwrap();
    let batch = waiting.await.unwrap().batch();
    assert_eq!((batch.rows, &*batch.policy, batch.generation), (1, "patient", 2));
}
