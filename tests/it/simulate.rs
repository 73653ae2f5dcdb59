//! `inferneo simulate` on a trace of the real program: what it predicts beside what was measured.

use crate::client::Answer;
use crate::harness::{Server, Settings, model, program};
use inferneo::trace::Trace;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two requests, whatever becomes of the first: far from what the machine can do.
const GAP: Duration = Duration::from_millis(25);
const TEXTS: [&str; 4] = [
    "How are trains kept apart?",
    "A row of its own",
    "The harbour is closed while the wind is above force nine, and every ship is told so by radio beforehand.",
    "Bread is made of flour, water, salt and yeast; the dough is kneaded, left to rise for an hour, shaped, left to \
     rise again, and baked in an oven that is as hot as it gets until the crust is brown.",
];

/// Milliseconds from the scheduler to the answer, as the server tells them.
fn served(answer: &Answer) -> f64 {
    let parts = answer.header("server-timing").split(", ");
    parts.map(|part| part.split_once("dur=").unwrap().1.parse::<f64>().unwrap()).sum()
}

/// Records for three seconds under an open loop; answers the trace, and the latencies beside it.
async fn record(server: &Server) -> (Vec<u8>, Vec<f64>) {
    let admin = server.admin();
    let recording = tokio::spawn(async move { admin.post("/trace", json!({"seconds": 3})).await.ok().body });
    let (client, mut asked) = (server.http2(), JoinSet::new());
    let mut due = interval(GAP);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for text in TEXTS.iter().cycle() {
        due.tick().await;
        if recording.is_finished() {
            break;
        }
        let client = client.clone();
        asked.spawn(async move { served(&client.embed("minilm", *text).await.ok()) });
    }
    (recording.await.unwrap().to_vec(), asked.join_all().await)
}

fn simulate(folder: &Path, flags: &[&str]) -> String {
    let Output { status, stdout, stderr } = program().arg("simulate").args(flags).current_dir(folder).output().unwrap();
    assert!(status.success(), "{flags:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test]
async fn a_recorded_load_is_simulated_near_to_what_was_measured() {
    let server = Settings::new(model("minilm", "minilm", "")).policy("all", "slo.target = '500ms'").start();
    let (lines, mut measured) = record(&server).await;
    let stats = server.admin().get("/stats").await.ok().body;
    let trace = Trace::read(&*lines).unwrap();
    let known = &trace.header.models["minilm"];
    assert!(known.batchable && known.devices[0].workers >= 1 && &*known.devices[0].device == "cpu", "{known:?}");
    assert!(!known.devices[0].costs[0].points.is_empty(), "{known:?}");
    let at = server.folder();
    std::fs::write(at.join("trace.jsonl"), &lines).unwrap();
    std::fs::write(at.join("stats.json"), &stats).unwrap();
    let flags = ["--trace", "trace.jsonl", "--policy", "policies/all.toml", "--policy", "policies", "--json"];
    let said = simulate(at, &flags);
    assert_eq!(said, simulate(at, &flags), "the same question, the same answer");
    let figures: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&figures[0]["policy"], &figures[1]["policy"]), (&json!("policies/all.toml"), &json!("policies")));
    assert_eq!(figures[0]["requests"], trace.footer.arrivals, "{said}");
    measured.sort_by(f64::total_cmp);
    let (median, predicted) = (measured[measured.len() / 2], figures[0]["latency_ms"]["p50"].as_f64().unwrap());
    let p99 = (measured[measured.len() * 99 / 100], &figures[0]["latency_ms"]["p99"]);
    println!("p50 {median:.2} ms, predicted {predicted:.2}; p99 {:.2} ms, predicted {}", p99.0, p99.1);
    // The machine may be shared with others: only a wrong unit or a lost factor is caught here.
    assert!((0.2..5.0).contains(&(predicted / median)), "p50 {median} ms, predicted {predicted}");
    let table = simulate(at, &[&flags[..4], &["--costs", "stats.json", "--scale", "10x", "--devices", "2"]].concat());
    assert!(table.contains("useful tokens") && table.contains("policies/all.toml"), "{table}");
}

#[test]
fn without_costs_it_says_how_to_get_them() {
    let folder = crate::harness::folder();
    let trace = "{\"trace\":1,\"started_at\":\"2026-01-02T03:04:05Z\",\"seconds\":1}\n\
                 {\"arrivals\":0,\"rows\":0,\"duration_us\":1000000,\"truncated\":false}\n";
    std::fs::write(folder.path().join("trace.jsonl"), trace).unwrap();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut command = program();
    command.args(["simulate", "--trace", "trace.jsonl", "--policy"]).arg(policies).current_dir(&folder);
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("POST /trace") && said.contains("GET /stats") && said.contains("--costs"), "{said}");
}
