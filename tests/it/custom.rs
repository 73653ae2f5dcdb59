//! An operator's script in the real program: it decides, is edited while requests wait, and may fail.

use crate::harness::{Server, Settings, model, together, until};
use crate::watch::shown;
use serde_json::json;
use std::fs;

/// Everything is up to the script: nothing else ends a wait within the test.
const POLICY: &str = "strategy = 'custom'\n[custom]\nscript = 'mine.rhai'\n[batch]\nmax_queue_delay = '60s'";

fn server(script: &str) -> Server {
    let models = model("tiny", "test/tiny_text", "instances = 1");
    Settings::new(models).policy("all", POLICY).script("mine", script).start()
}

fn save(server: &Server, script: &str) {
    fs::write(server.folder().join("policies/mine.rhai"), script).unwrap();
}

#[tokio::test]
async fn a_script_decides_and_a_save_of_it_alone_is_live_for_what_waits() {
    let server = server("if segment.rows >= 4 { 1 } else { wait(1000) }");
    let client = server.http2();
    let ask = move |_| {
        let client = client.clone();
        async move { client.embed("tiny", "red sun").await.ok() }
    };
    for answer in together((0..4).map(ask)).await {
        let batch = answer.batch();
        assert_eq!((batch.rows, &*batch.policy, batch.generation), (4, "all", 1));
    }
    let decision = server.admin().get("/decisions?n=1").await.ok().json()[0].clone();
    assert_eq!((&decision["reason"], &decision["rows"]), (&json!("script"), &json!(4)));
    let hash = |seen: &serde_json::Value| seen["files"][0]["hash"].clone();
    let before = server.admin().get("/policies").await.json();
    let client = server.http2();
    let waiting = tokio::spawn(async move { client.embed("tiny", "red sun").await.ok() });
    until("a row that waits", async || server.metrics().await.sum("inferneo_queue_rows", &[]) == 1.0).await;
    // One that does not compile changes nothing.
    save(&server, "segment.rows +\n  segment.size");
    let (seen, _) = shown(&server, "a refusal", |seen| seen["last_error"].is_string()).await;
    assert!(seen["last_error"].to_string().contains("mine.rhai:2:"), "{seen}");
    assert_eq!((&seen["generation"], hash(&seen)), (&json!(1), hash(&before)));
    assert_eq!(server.metrics().await.sum("inferneo_queue_rows", &[]), 1.0);
    save(&server, "segment.rows");
    let batch = waiting.await.unwrap().batch();
    assert_eq!((batch.rows, batch.generation), (1, 2));
    // What is shown follows what is live.
    let (after, _) = shown(&server, "the new script", |seen| hash(seen) != hash(&before)).await;
    assert_eq!(after["files"].as_array().unwrap().len(), 1, "a script is no policy: {after}");
    assert!(server.log().contains("all: custom.script has another text"), "{}", server.log());
}

#[tokio::test]
async fn a_script_that_fails_is_counted_and_logged_and_costs_no_answer() {
    // No made-up scene has a length from 2 to 7; this text has.
    let server = server("if segment.length > 1 && segment.length < 8 { throw \"odd\" }\nsegment.rows");
    let fallbacks = async || server.metrics().await.sum("inferneo_custom_fallbacks_total", &[("policy", "all")]);
    assert_eq!(fallbacks().await, 0.0);
    assert!(server.metrics().await.0.contains("inferneo_custom_fallbacks_total{policy=\"all\"} 0"));
    for _ in 0..5 {
        server.http1().embed("tiny", "red sun").await.ok();
    }
    assert_eq!(fallbacks().await, 5.0, "one a decision");
    let log = server.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("fell back to adaptive")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("WARN") && told[0].contains("mine.rhai:1:") && told[0].contains("odd"), "{}", told[0]);
    save(&server, "segment.rows");
    shown(&server, "the mended script", |seen| seen["generation"] == 2).await;
    server.http1().embed("tiny", "red sun").await.ok();
    assert_eq!(fallbacks().await, 5.0);
}

#[tokio::test]
async fn a_switch_to_custom_needs_a_script_and_ends_when_that_is_edited() {
    let models = model("tiny", "test/tiny_text", "instances = 1");
    let server = Settings::new(models).policy("all", "[custom]\nscript = 'mine.rhai'").script("mine", "1").start();
    let put = async |server: &Server| {
        let body = json!({"model": "*", "strategy": "custom"}).to_string();
        server.admin().send("PUT", "/strategy", body).await
    };
    assert_eq!(put(&server).await.ok().json()["files"][0]["strategy"], "custom");
    assert_eq!(server.http1().embed("tiny", "red sun").await.ok().batch().generation, 2);
    save(&server, "2");
    let (seen, _) = shown(&server, "the edit", |seen| seen["generation"] == 3).await;
    assert_eq!((&seen["files"][0]["strategy"], &seen["overrides"]), (&json!("adaptive"), &json!([])));
    fs::write(server.folder().join("policies/all.toml"), "").unwrap();
    shown(&server, "a policy without one", |seen| seen["generation"] == 4).await;
    let refused = put(&server).await;
    let said = refused.json().to_string();
    assert_eq!(refused.status.as_u16(), 400, "{said}");
    assert!(said.contains("all.toml:1:1: custom needs a script"), "{said}");
}
