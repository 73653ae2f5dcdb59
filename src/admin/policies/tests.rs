//! What is shown of policies, and which orders are taken.

use super::super::tests::{admin, admin_over, model, send};
use super::*;
use serde_json::json;
use std::fs;

async fn put(admin: &Admin, body: impl Into<String>) -> (u16, Value) {
    ask(admin, "PUT", "/strategy", body).await
}

async fn ask(admin: &Admin, method: &str, path: &str, body: impl Into<String>) -> (u16, Value) {
    let (status, body) = send(admin, method, path, body.into()).await;
    (status.as_u16(), serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
}

#[tokio::test]
async fn the_built_in_policy_alone_is_valid() {
    let (status, shown) = ask(&admin(vec![]), "GET", "/policies", "").await;
    assert_eq!(status, 200);
    let expected = json!({"generation": 1, "files": [], "overrides": [], "last_error": null, "last_error_at": null});
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn files_and_overrides_are_shown_until_they_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.toml"), "").unwrap();
    fs::write(folder.path().join("acme.toml"), "strategy = 'coalescing'\nmatch.tenants = ['acme']").unwrap();
    let admin = admin_over(vec![model("m"), model("n")], Some(folder.path()));
    let (status, shown) = put(&admin, r#"{"model": "*", "strategy": "throughput_optimized"}"#).await;
    assert_eq!((status, &shown["generation"]), (200, &json!(2)));
    let names: Vec<_> = shown["files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["acme.toml", "all.toml"]);
    assert_eq!(shown["files"][0]["policy"], "acme");
    assert_eq!(shown["files"][0]["strategy"], "throughput_optimized");
    assert_eq!(shown["files"][0]["hash"].as_str().unwrap().len(), 16);
    let dates = [&shown["files"][0]["loaded_at"], &shown["overrides"][0]["since"]];
    assert!(dates.iter().all(|date| humantime::parse_rfc3339(date.as_str().unwrap()).is_ok()), "{shown}");
    assert_eq!(shown["overrides"][0]["model"], "*");
    assert_eq!(shown["overrides"][0]["policies"], json!(["acme", "all"]));
    let (_, shown) = put(&admin, r#"{"model": "m", "strategy": "fixed_size"}"#).await;
    assert_eq!(shown["overrides"][1]["model"], "m");
    assert_eq!(shown["files"][0]["strategy"], "throughput_optimized", "one model's override is no file's strategy");
    let (_, shown) = ask(&admin, "DELETE", "/strategy?model=n", "").await;
    assert_eq!((&shown["generation"], shown["overrides"].as_array().unwrap().len()), (&json!(3), 2));
    let (_, shown) = ask(&admin, "DELETE", "/strategy?model=m", "").await;
    assert_eq!((&shown["generation"], shown["overrides"].as_array().unwrap().len()), (&json!(4), 1));
    for path in ["/strategy?model=%2a", "/strategy"] {
        let (status, shown) = ask(&admin, "DELETE", path, "").await;
        assert_eq!((status, &shown["generation"], &shown["overrides"]), (200, &json!(5), &json!([])));
        assert_eq!(shown["files"][0]["strategy"], "coalescing");
    }
}

#[tokio::test]
async fn names_in_a_query_may_be_escaped() {
    let admin = admin(vec![model("mini-lm")]);
    for query in [
        "model=mini-lm",
        "model=mini%2Dlm",
        "model=mini%2dlm",
        "mod%65l=%6d%69%6E%69-lm",
        "model=*",
        "model=%2A",
        "model=%2a",
    ] {
        let (_, shown) = put(&admin, r#"{"model": "mini-lm", "strategy": "coalescing"}"#).await;
        assert_eq!(shown["overrides"][0]["model"], "mini-lm");
        let (status, shown) = ask(&admin, "DELETE", &format!("/strategy?{query}"), "").await;
        assert_eq!((status, &shown["overrides"]), (200, &json!([])), "{query}");
    }
}

#[tokio::test]
async fn what_is_not_an_order_is_refused_with_what_is_allowed() {
    let admin = admin(vec![model("minilm")]);
    for (body, words) in [
        ("", "expected {\"model\": NAME"),
        ("\u{0}", "expected {\"model\": NAME"),
        ("[1]", "expected {\"model\": NAME"),
        ("{}", "`model` is missing"),
        (r#"{"model": "*"}"#, "`strategy` is missing"),
        (r#"{"model": 3, "strategy": "adaptive"}"#, "`model` is not a string"),
        (r#"{"model": "*", "strategy": null}"#, "`strategy` is not a string"),
        (r#"{"model": "*", "stratgy": "adaptive"}"#, "unknown field `stratgy`"),
        (r#"{"model": "*", "stratgy": "adaptive"}"#, "did you mean `strategy`?"),
        (r#"{"model": "*", "strategy": "adaptiv"}"#, "did you mean `adaptive`?"),
        (r#"{"model": "*", "strategy": "none"}"#, "throughput_optimized, fixed_size, custom"),
        (r#"{"model": "*", "strategy": "custom"}"#, "custom needs a script"),
    ] {
        let (status, refusal) = put(&admin, body).await;
        assert_eq!((status, &refusal["reason"]), (400, &json!("invalid_request")), "{body}");
        assert!(refusal["error"].as_str().unwrap().contains(words), "{body}: {refusal}");
    }
    let (status, refusal) = put(&admin, r#"{"model": "minilmm", "strategy": "adaptive"}"#).await;
    assert_eq!((status, &refusal["reason"]), (404, &json!("unknown_model")));
    assert_eq!(refusal["error"], "model `minilmm` is not known; did you mean `minilm`?");
    let (status, refusal) = put(&admin, " ".repeat(super::super::serve::BODY_BYTES + 1)).await;
    assert_eq!((status, &refusal["reason"]), (413, &json!("too_large")));
    for (query, code) in [
        ("?model=x", 404),
        ("?model=", 404),
        ("?modle=minilm", 400),
        ("?model=minilm&model=m", 400),
        ("?model", 400),
        ("?model=%ff", 400),
        ("?%ff=minilm", 400),
        // What is no escape stands for itself.
        ("?model=minilm%", 404),
        ("?model=mini%6", 404),
    ] {
        let (status, refusal) = ask(&admin, "DELETE", &format!("/strategy{query}"), "").await;
        assert_eq!(status, code, "{query}: {refusal}");
    }
    assert_eq!(admin.live.status().generation, 1);
}

#[tokio::test]
async fn an_override_that_files_do_not_take_is_refused_with_their_faults() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), "queue.max_rows = 8").unwrap();
    let admin = admin_over(vec![], Some(folder.path()));
    let (status, refusal) = put(&admin, r#"{"model": "*", "strategy": "fixed_size"}"#).await;
    assert_eq!((status, &refusal["reason"]), (400, &json!("invalid_request")));
    let error = refusal["error"].as_str().unwrap();
    assert!(error.contains("small.toml:1:1") && error.contains("fixed_size could never fill a batch"), "{error}");
    assert_eq!(admin.live.status().generation, 1);
}
