//! Overrides as an operator meets them: beside saves, and in the log.

use crate::harness::{Server, Settings, model, until};
use serde_json::{Value, json};
use std::fs;

async fn order(server: &Server, method: &str, path: &str, body: Value) -> Value {
    server.admin().send(method, path, body.to_string()).await.ok().json()
}

async fn put(server: &Server, model: &str, strategy: &str) -> Value {
    order(server, "PUT", "/strategy", json!({"model": model, "strategy": strategy})).await
}

async fn generation(server: &Server, wanted: u64) {
    until("a generation", async || server.admin().get("/policies").await.json()["generation"] == wanted).await;
}

#[tokio::test]
async fn an_order_right_after_a_save_is_about_what_was_saved() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).policy("all", "").start();
    let folder = server.folder().join("policies");
    for (round, strategy) in ["fixed_size", "coalescing", "latency_optimized"].into_iter().enumerate() {
        fs::write(folder.join("all.toml"), format!("# edit {round}")).unwrap();
        let set = put(&server, "*", strategy).await;
        let (file, held) = (&set["files"][0], &set["overrides"][0]["policies"]);
        assert_eq!((&file["policy"], &file["strategy"], &held[0]), (&json!("all"), &json!(strategy), &json!("all")));
        // Once another save is taken up, that of before has been too.
        fs::write(folder.join(format!("m{round}.toml")), format!("match.models = ['m{round}']")).unwrap();
        generation(&server, set["generation"].as_u64().unwrap() + 1).await;
        let seen = server.admin().get("/policies").await.ok().json();
        assert_eq!(seen["overrides"][0]["policies"], *held, "{}", server.log());
    }
}

#[tokio::test]
async fn the_log_says_why_policies_were_swapped() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).policy("all", "").start();
    put(&server, "*", "fixed_size").await;
    put(&server, "tiny", "coalescing").await;
    order(&server, "DELETE", "/strategy?model=tiny", Value::Null).await;
    fs::remove_file(server.folder().join("policies/all.toml")).unwrap();
    generation(&server, 5).await;
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("policies live")).collect();
    let said = [
        r#"cause="override set: fixed_size for every model""#,
        r#"cause="override set: coalescing for model tiny""#,
        r#"cause="override removed: coalescing for model tiny""#,
        r#"cause="folder changed, override ended for all.toml: fixed_size for every model""#,
    ];
    assert_eq!(lines.len(), said.len(), "{log}");
    for (line, cause) in lines.iter().zip(said) {
        assert!(line.contains(cause), "{cause} is not in {line}");
    }
    let ended = lines[3];
    assert!(ended.contains("all: removed; default: added (adaptive)"), "{ended}");
    assert!(!lines[0].contains("default"), "no request falls under the built-in policy: {}", lines[0]);
}
