//! `inferneo tune`, and whose word counts for the sessions of a model.

use crate::harness::{Server, Settings, folder, model, program};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Texts that the small model knows the words of.
fn texts(dir: &Path) -> PathBuf {
    let file = dir.join("texts.txt");
    fs::write(&file, "red sun\ngreen lake and blue boat\n").unwrap();
    file
}

fn tune(state: &Path, model: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let texts = texts(state);
    let mut command = program();
    command.args(["tune", "--model", model, "--budget", "2s", "--texts"]).arg(texts).arg("--state").arg(state);
    let Output { status, stdout, stderr } = command.args(more).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn serve(state: &Path, keys: &str) -> Server {
    let tiny = model("tiny", "test/tiny_text", keys);
    Settings::new(tiny).variable("INFERNEO_STATE", state.to_str().unwrap()).start()
}

/// What `/stats` says of the model, and what was logged.
async fn stats(server: Server) -> (Value, String) {
    let stats = server.admin().get("/stats").await.json()["models"]["tiny"].clone();
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    (stats, ended.log)
}

#[tokio::test]
async fn the_next_start_goes_by_what_was_tuned_unless_the_settings_say_otherwise() {
    let dir = folder();
    let state = dir.path();
    let (code, out, err) = tune(state, "tiny=.cache/models/test/tiny_text", &["--json", "-"]);
    assert_eq!(code, Some(0), "{err}");
    let found = serde_json::from_str::<Value>(&out).unwrap()["models"][0].clone();
    let chosen = &found["chosen"];
    assert!(found["tried"].as_array().unwrap().iter().all(|tried| tried["rps"].as_f64() > Some(0.0)), "{found}");
    assert!(found["candidates"].as_array().unwrap().iter().any(|one| one["threads"] == chosen["threads"]), "{found}");
    let file = state.join("tiny.tuning.json");
    assert_eq!(found["kept_in"]["tuning"], file.to_str().unwrap());

    let (tuned, log) = stats(serve(state, "")).await;
    let sessions = &tuned["sessions"][0];
    assert_eq!(sessions["chosen_by"], "tune", "{log}");
    assert!(
        ["instances", "threads", "spin"].iter().all(|key| sessions[key] == chosen[key]),
        "{sessions} is not {chosen}"
    );
    assert_eq!(tuned["workers"], chosen["instances"]);
    assert_eq!(tuned["cost_model"]["restored"], true, "{log}");

    let (set, _) = stats(serve(state, "instances = 3\nthreads = 1")).await;
    assert_eq!((&set["sessions"][0]["chosen_by"], &set["sessions"][0]["instances"]), (&"settings".into(), &3.into()));

    let mut kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    kept["tuned"][0]["on"]["processor"] = "of somewhere else".into();
    fs::write(&file, kept.to_string()).unwrap();
    let (foreign, log) = stats(serve(state, "")).await;
    assert_ne!(foreign["sessions"][0]["chosen_by"], "tune");
    assert!(log.contains("a tuning is not used: the processor is not what it was measured on"), "{log}");
}

#[test]
fn what_was_tried_is_shown_as_a_table() {
    let dir = folder();
    let (code, out, err) = tune(dir.path(), "tiny=.cache/models/test/tiny_text", &[]);
    assert_eq!(code, Some(0), "{err}");
    for word in ["tiny: instances × threads", "rows/s", "chosen: ", "tiny.tuning.json", "tiny.costs.json"] {
        assert!(out.contains(word), "{word:?} is not in:\n{out}");
    }
}

#[test]
fn what_cannot_be_tuned_or_kept_is_exit_2_and_names_the_mend() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let tiny = "tiny=.cache/models/test/tiny_text";
    let cases: [(&Path, &str, &[&str], &[&str]); 4] = [
        (&file.join("below"), tiny, &[], &["below/tiny.tuning.json", "--state DIR"]),
        (dir.path(), "no/such/folder", &[], &["no/such/folder"]),
        (dir.path(), tiny, &["--budget", "10ms"], &["--budget", "from 1s"]),
        (dir.path(), tiny, &["--texts", "no/such.txt"], &["--texts"]),
    ];
    for (state, model, more, words) in cases {
        let mut command = program();
        command.args(["tune", "--model", model, "--state"]).arg(state).args(more);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not in: {said}");
    }
}
