//! What the program takes of memory, and of the processor while nobody asks it anything.

use crate::harness::{Server, Settings, cached, model};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// What two sessions in a server may take above one bare session.
const ABOVE: u64 = 80 << 10;

fn start() -> Server {
    Settings::new(model("minilm", "minilm", "instances = 2\nthreads = 1")).start()
}

/// KiB of a process in memory.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// KiB of a process that makes one session of the model with the runtime's defaults and runs one row.
fn bare() -> u64 {
    let library = cached("onnxruntime/libonnxruntime.so");
    let example = Path::new(env!("CARGO_BIN_EXE_inferneo")).with_file_name("examples").join("bare");
    let mut command = Command::new(&example);
    command.arg("--onnxruntime-library").arg(library).arg(cached("models/minilm/model.onnx"));
    let output = command.env("ORT_DISABLE_TELEMETRY", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{}: {said}", example.display()))
}

#[tokio::test]
async fn two_sessions_share_their_weights() {
    let server = start();
    let client = server.http1();
    for words in [3, 30, 120] {
        client.embed("minilm", "word ".repeat(words)).await.ok();
    }
    let (own, bare) = (resident(&server), bare());
    assert!(own <= bare + ABOVE, "{} MiB, a bare session {} MiB", own >> 10, bare >> 10);
}

#[tokio::test]
async fn a_model_file_that_is_overwritten_while_it_serves_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "tokenizer.json", "config.json"] {
        fs::copy(cached("models/minilm").join(name), folder.path().join(name)).unwrap();
    }
    let server = Settings::new(model("minilm", folder.path().to_str().unwrap(), "instances = 2")).start();
    let text = "a sentence of several words, the rarer the better: quixotic zephyrs";
    let before = server.http1().embed("minilm", text).await.ok();
    // As `cp` and `curl -o` do it: the same file, cut short and written anew.
    File::create(folder.path().join("model.onnx")).unwrap();
    let after = server.http1().embed("minilm", text).await.ok();
    assert_eq!(before.json()["data"], after.json()["data"]);
    server.http1().embed("minilm", "word ".repeat(100)).await.ok();
}

/// Clock ticks that a process has run for.
fn ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // The second field is a name in parentheses; of those behind it the 12th and 13th are user and system time.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn who_is_asked_nothing_does_nothing() {
    let server = start();
    server.http1().embed("minilm", "one").await.ok();
    let before = ticks(&server);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    // Of 500 ticks a core; five samples of NVML, the canary and the minute's writing among them.
    let busy = ticks(&server) - before;
    assert!(busy <= 10, "{busy} of 500 ticks");
}
