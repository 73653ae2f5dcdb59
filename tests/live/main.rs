//! What is measured: policies that are edited under full load (what is edited goes live, what is broken does not, and
//! no request is lost), and simulations beside what they simulate. A program of its own, whose tests run one at a time,
//! because others at their side would be measured too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calibration;
#[expect(dead_code, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/client.rs"]
mod client;
mod folder;
#[expect(dead_code, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/harness.rs"]
mod harness;
mod load;
#[path = "../it/watch.rs"]
mod watch;

use folder::{Folder, edits};
use harness::{Settings, model};
use load::Load;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;
use watch::{reloads, shown};

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Edits that go live, and those that are faults.
const PLAIN: usize = 60;
const SWAPS: usize = 100;
const BROKEN: usize = 40;
/// A change is live within this, on a plain file system.
const PROMISE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_edits_under_load_lose_no_request() {
    let _alone = ALONE.lock().await;
    let tiny = model("tiny", "test/tiny_text", "instances = 2");
    let server = Settings::new(tiny).policy("all", "").start();
    let mut folder = Folder::new(server.folder().join("policies"));
    folder.mount();
    let (first, _) = shown(&server, "the mounted file", |seen| seen["generation"] == 2).await;
    assert_eq!(first["files"][1]["name"], "mounted.toml");
    let load = Load::start(&server);
    let client = server.http1();
    let (mut generation, mut took) = (2, Vec::new());
    for edit in edits(PLAIN, SWAPS, BROKEN) {
        sleep(edit.pause()).await;
        folder.apply(&edit);
        if let Some(place) = edit.fault() {
            let broken = |seen: &Value| seen["last_error"].as_str().is_some_and(|text| text.contains(&place));
            let (seen, _) = shown(&server, &place, broken).await;
            assert_eq!(seen["generation"], generation, "a fault changed something");
            assert!(seen["last_error_at"].is_string(), "{seen}");
            assert_eq!(client.embed("tiny", "red sun").await.ok().batch().generation, generation);
            continue;
        }
        generation += 1;
        let (seen, after) = shown(&server, "a good edit", |seen| seen["generation"] == generation).await;
        assert_eq!((&seen["last_error"], &seen["last_error_at"]), (&Value::Null, &Value::Null));
        took.push(after);
    }
    let answered = load.stop().await;
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{answered} requests; {} good edits live after {median:?} in the middle, {worst:?} at worst", took.len());
    assert!(answered > 1000, "{answered} requests are no load");
    assert!(worst < PROMISE, "live after {worst:?} at worst, {median:?} in the middle");
    assert_eq!(reloads(&server).await, (1.0 + (PLAIN + SWAPS) as f64, BROKEN as f64));
    assert_eq!(server.metrics().await.sum("inferneo_policy_generation", &[]), generation as f64);
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let logged = |words: &str| ended.log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((logged("policies live"), logged("policies refused")), (1 + PLAIN + SWAPS, BROKEN));
    assert!(ended.log.contains("all: batch.max_batch_size "), "{}", ended.log);
}
