//! What was learned of costs, from one life of the program to the next.

use crate::harness::{Server, Settings, folder, model};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Starts a server of MiniLM that keeps what it learns in `state`.
fn start(state: &Path, threads: u32) -> Server {
    let minilm = model("minilm", "minilm", &format!("instances = 1\nthreads = {threads}"));
    Settings::new(minilm).variable("INFERNEO_STATE", state.to_str().unwrap()).start()
}

async fn cost(server: &Server) -> Value {
    server.admin().get("/stats").await.json()["models"]["minilm"]["cost_model"].clone()
}

/// Stops a server well; answers what it logged.
async fn stop(server: Server) -> String {
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    ended.log
}

fn file(state: &Path) -> PathBuf {
    state.join("minilm.costs.json")
}

#[tokio::test]
async fn a_restart_is_warm() {
    let dir = folder();
    let state = dir.path().join("made/by/the/program");
    let first = start(&state, 1);
    let swept = cost(&first).await["observations"].as_u64().unwrap();
    // As many as five seconds hold.
    assert!(swept >= 1, "the sweep: {swept} runs");
    let client = first.http1();
    for text in 0..30 {
        client.embed("minilm", format!("text {text} {}", "word ".repeat(text))).await.ok();
    }
    let learned = cost(&first).await;
    let observations = learned["observations"].as_u64().unwrap();
    assert!(observations >= swept + 30 && learned["restored"] == false, "{learned}");
    assert!(!file(&state).exists(), "it is written once a minute and at the end");
    stop(first).await;
    assert!(file(&state).exists());

    let second = start(&state, 1);
    let known = cost(&second).await;
    let now = known["observations"].as_u64().unwrap();
    assert!(now > observations && known["restored"] == true, "{known}");
    // Three shapes; on a machine with busy neighbours they may be off, and all are measured anew.
    let log = stop(second).await;
    assert!(log.contains("learned costs restored"), "{log}");
    assert!((observations + 3..=observations + 3 + swept).contains(&now), "{observations}, then {now}");

    let other = start(&state, 2);
    assert_eq!(cost(&other).await["restored"], false);
    let log = stop(other).await;
    assert!(log.contains("learned costs are not used: the number of threads"), "{log}");
}

#[tokio::test]
async fn garbage_is_not_believed_and_holds_nothing_up() {
    let dir = folder();
    let server = start(dir.path(), 1);
    stop(server).await;
    let text = fs::read_to_string(file(dir.path())).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    kept["devices"][0]["learned"]["observations"] = 1.into();
    kept["devices"][0]["learned"]["margin"]["log"] = 1e9.into();
    for (garbage, words) in
        [("{".to_owned(), "learned costs cannot be read"), (kept.to_string(), "learned costs are learned anew")]
    {
        fs::write(file(dir.path()), garbage).unwrap();
        let server = start(dir.path(), 1);
        assert_eq!(cost(&server).await["restored"], false);
        let log = stop(server).await;
        assert!(log.contains(words), "{log}");
        assert_ne!(fs::read_to_string(file(dir.path())).unwrap(), "{", "it is replaced");
    }
}
