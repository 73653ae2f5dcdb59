//! Starting: what is refused with which exit code and words, and what tells that it is up.

use crate::harness::{Server, Settings, cached, folder, model, program, until};
use serde_json::json;
use std::fs;
use std::net::TcpListener;

fn identity() -> String {
    model("identity", "test/identity", "instances = 1")
}

/// Runs settings that are at fault: the exit code must be `code`, and stderr hold all of `words`.
async fn refused(settings: Settings, code: i32, words: &[&str]) {
    let ended = settings.run().await;
    assert_eq!(ended.code, Some(code), "{}", ended.log);
    for word in words {
        assert!(ended.log.contains(word), "{word:?} is not in:\n{}", ended.log);
    }
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[tokio::test]
async fn a_bad_configuration_is_exit_2_with_file_line_and_key() {
    // Two lines with the ports come first.
    let words = ["inferneo.toml:3:", "drain_timout", "did you mean `drain_timeout`"];
    refused(Settings::new("drain_timout = \"3s\"\n"), 2, &words).await;
    let words = ["inferneo.toml:4:", "header_timeout = 10", "header_timeout"];
    refused(Settings::new("[http]\nheader_timeout = 10\n"), 2, &words).await;
    refused(Settings::new("[[model]]\nname = \"m\"\n"), 2, &["inferneo.toml:3:", "path"]).await;
    refused(Settings::new("= 1"), 2, &["inferneo.toml:3:"]).await;
    refused(Settings::new(""), 2, &["there is nothing to serve", "--model"]).await;
    refused(Settings::new("").flag("--upstream", "ftp://x"), 2, &["--upstream", "INFERNEO_UPSTREAM"]).await;
    refused(Settings::new(identity()).flag("--listen", "nowhere"), 2, &["--listen", "nowhere"]).await;
    refused(Settings::new(identity()).flag("--device", "gpu"), 2, &["--device", "cuda", "cpu"]).await;
}

#[tokio::test]
async fn bad_policies_are_exit_2_with_file_line_and_column() {
    let words = ["wrong.toml:2:1:", "max_batch_siz", "did you mean `max_batch_size`", "other.toml:1:12:"];
    let settings = Settings::new(identity()).policy("wrong", "[batch]\nmax_batch_siz = 3\n");
    refused(settings.policy("other", "strategy = \"fast\"\n"), 2, &words).await;
    let tie = Settings::new(identity()).policy("a", "").policy("b", "");
    refused(tie, 2, &["b.toml:1:1:", "match equally well"]).await;
    let missing = Settings::new(identity()).flag("--policies", "no/such/folder");
    refused(missing, 2, &["policies", "no/such/folder"]).await;
}

#[tokio::test]
async fn what_a_model_needs_and_is_not_there_is_exit_2() {
    let words = ["model `m`", "no/such/folder"];
    refused(Settings::new("[[model]]\nname = \"m\"\npath = \"/no/such/folder\"\n"), 2, &words).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.onnx"), "not a model").unwrap();
    let broken = Settings::new(format!("[[model]]\nname = \"m\"\npath = {:?}\n", dir.path()));
    refused(broken, 2, &["model `m`", "model.onnx"]).await;
    // A library that was named and does not load is never replaced by one that is found.
    let none = Settings::new(identity()).flag("--onnxruntime-library", "/no/such/libonnxruntime.so");
    refused(none, 2, &["/no/such/libonnxruntime.so"]).await;
    let text = dir.path().join("model.onnx").display().to_string();
    refused(Settings::new(identity()).flag("--onnxruntime-library", &text), 2, &[&text]).await;
    let named = Settings::new(format!("{}\n[onnxruntime]\nlibrary = {text:?}\n", identity()));
    // The environment, which the tests set, beats the file.
    drop(named.start());
}

#[test]
fn unknown_flags_and_commands_are_exit_2() {
    for (arguments, word) in [
        (&["serve", "--polices", "x"][..], "--policies"),
        (&["serve", "--config"], "--config"),
        (&["srve"], "serve"),
        (&["bench", "--url", "http://x"], "--model"),
        (&[], "Usage"),
    ] {
        let output = program().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    assert_eq!(program().arg("--version").output().unwrap().status.code(), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_exit_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().map(|a| (a, TcpListener::bind(a)));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    drop(taken);
    let address = other.local_addr().unwrap().to_string();
    for (flag, key) in [("--listen", "listen"), ("--admin-listen", "admin_listen")] {
        let settings = Settings::new(identity()).flag(flag, &address);
        refused(settings, 1, &[&format!("{key} {address}"), "in use"]).await;
    }
}

#[tokio::test]
async fn once_up_the_ready_file_the_probes_and_the_log_say_so() {
    let server = Settings::new(identity()).flag("--log-format", "json").start();
    assert!(server.data.ip().is_loopback() && server.data.port() != 0 && server.admin.port() != server.data.port());
    let admin = server.admin();
    assert_eq!(admin.get("/livez").await.ok().text(), "ok\n");
    assert_eq!(admin.get("/readyz").await.ok().json(), json!({"ready": true, "draining": false, "missing": {}}));
    assert_eq!(admin.get("/nothing").await.status, 404);
    let metrics = admin.get("/metrics").await.ok();
    assert!(metrics.header("content-type").starts_with("text/plain"));
    for name in
        ["inferneo_build_info", "inferneo_inflight_rows", "inferneo_policy_generation", "process_cpu_seconds_total"]
    {
        assert!(metrics.text().contains(&format!("\n{name}")), "{name}");
    }
    let client = server.http1();
    assert_eq!(client.get("/v2/health/ready").await.ok().json()["ready"], true);
    assert_eq!(client.get("/v1/models").await.ok().json()["data"][0]["id"], "identity");
    let body = json!({"inputs": [crate::client::input("x", "FP32", &[1, 4], json!([1, 2, 3, 4]))]});
    let answer = client.with("x-request-id", "r-1").infer("identity", body).await.ok();
    assert_eq!((answer.header("x-request-id"), &*answer.batch().policy), ("r-1", "default"));
    let timing = answer.header("server-timing");
    assert!(["queue;dur=", "assemble;dur=", "compute;dur="].iter().all(|part| timing.contains(part)), "{timing}");
    let lines: Vec<serde_json::Value> = server.log().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let ready = lines.iter().find(|line| line["message"] == "ready" && line.get("listen").is_some());
    assert_eq!(ready.unwrap()["listen"], server.data.to_string());
}

#[tokio::test]
async fn a_model_by_flag_goes_by_its_folders_name() {
    let server = Settings::new("").flag("--model", cached("models/test/int_ops").display()).start();
    assert_eq!(server.http2().get("/v2/models/int_ops/ready").await.ok().json()["ready"], true);
}

#[tokio::test]
async fn a_signal_ends_the_reading_of_policies_too() {
    let dir = folder();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    // Whether two of so many long globs match the same name takes minutes to find out.
    for name in ["a", "b"] {
        let globs: Vec<String> = (0..4_000).map(|i| format!("{name}{i}{}*", "x".repeat(200))).collect();
        fs::write(policies.join(name).with_extension("toml"), format!("match.models = {globs:?}")).unwrap();
    }
    // The program heeds signals before it removes the ready file of an earlier run.
    let ready = dir.path().join("ready.json");
    fs::write(&ready, "").unwrap();
    let mut command = program();
    command.arg("serve").arg("--model").arg(cached("models/test/identity")).arg("--policies").arg(policies);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let server = Server::spawn(command, dir);
    until("heed of signals", async || !ready.exists()).await;
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("stopped while loading") && !ended.log.contains("policies read"), "{}", ended.log);
}
