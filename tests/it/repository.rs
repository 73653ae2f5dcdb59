//! A model is unloaded, loaded and replaced while its clients go on asking.

use crate::client::{Answer, Client, input};
use crate::harness::{Server, Settings, cached, folder, model, together, until};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

#[tokio::test]
async fn an_unloaded_model_refuses_and_a_loaded_one_answers_as_before() {
    let models = ["one", "two"].map(|name| model(name, "test/tiny_text", "instances = 1")).concat();
    let server = Settings::new(models).start();
    let client = server.http1();
    let before = client.embed("one", "red sun").await.ok().vectors();
    for _ in 0..3 {
        let ask = |_| {
            let client = server.http2();
            async move { client.embed("one", "green lake").await }
        };
        let (asked, unloaded) =
            tokio::join!(together((0..16).map(ask)), client.post("/v2/repository/models/one/unload", json!({})));
        unloaded.ok();
        // Each was in time or was not; none is lost.
        for answer in asked {
            if answer.status != 200 {
                answer.refusal(503, "not_ready");
            }
        }
        client.embed("one", "red sun").await.refusal(503, "not_ready");
        client.embed("two", "red sun").await.ok();
        assert_eq!(server.admin().get("/readyz").await.status, 200);
        until("the session's end", async || {
            let stats = server.admin().get("/stats").await.ok().json();
            stats["models"]["one"]["state"] == "unloaded" && stats["devices"][0]["workers"] == 1
        })
        .await;
        client.post("/v2/repository/models/one/load", json!({})).await.ok();
        assert_eq!(client.embed("one", "red sun").await.ok().vectors(), before);
    }
    client.post("/v2/repository/models/none/load", json!({})).await.refusal(404, "unknown_model");
}

/// A model folder of a test's own, with the files of one in `.cache/models/test`.
fn source(of: &str) -> TempDir {
    let dir = folder();
    put(&dir, of);
    dir
}

/// Puts the files of a model in `.cache/models/test` into a folder, each in one step as a deployment does.
fn put(dir: &TempDir, of: &str) {
    for file in fs::read_dir(cached("models/test").join(of)).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            replace(dir, file.file_name().to_str().unwrap(), &fs::read(file.path()).unwrap());
        }
    }
}

fn replace(dir: &TempDir, name: &str, bytes: &[u8]) {
    let draft = dir.path().join("draft");
    fs::write(&draft, bytes).unwrap();
    fs::rename(draft, dir.path().join(name)).unwrap();
}

fn serve(dir: &TempDir) -> Server {
    Settings::new(model("m", dir.path().to_str().unwrap(), "instances = 1")).start()
}

const LOAD: &str = "/v2/repository/models/m/load";
const UNLOAD: &str = "/v2/repository/models/m/unload";

/// A row of so many numbers.
async fn row(client: &Client, width: usize) -> Answer {
    let data: Vec<usize> = (1..=width).collect();
    client.infer("m", json!({"inputs": [input("x", "FP32", &[1, width], json!(data))]})).await
}

#[tokio::test]
async fn another_signature_is_what_is_served_from_then_on() {
    let dir = source("identity");
    let server = serve(&dir);
    let client = server.http1();
    for unloaded in [false, true] {
        put(&dir, "identity");
        client.post(LOAD, json!({})).await.ok();
        assert_eq!(row(&client, 4).await.ok().output("y").0, [1, 4]);
        row(&client, 3).await.refusal(400, "invalid_request");
        put(&dir, "affine");
        if unloaded {
            client.post(UNLOAD, json!({})).await.ok();
        }
        client.post(LOAD, json!({})).await.ok();
        let (shape, values) = row(&client, 3).await.ok().output("y");
        assert_eq!((shape, values), (vec![1, 2], json!([22.5, 27.5])));
        row(&client, 4).await.refusal(400, "invalid_request");
        let described = client.get("/v2/models/m").await.ok().json();
        assert_eq!(described["outputs"][0]["shape"], json!([-1, 2]), "{described}");
        assert_eq!(server.admin().get("/readyz").await.status, 200);
    }
    // The same file again is as good.
    client.post(LOAD, json!({})).await.ok();
    row(&client, 3).await.ok();
    let stats = server.admin().get("/stats").await.ok().json();
    assert_eq!((&stats["models"]["m"]["workers"], &stats["models"]["m"]["state"]), (&json!(1), &json!("ready")));
}

#[tokio::test]
async fn another_tokenizer_is_what_is_served_from_then_on() {
    let dir = source("tiny_text");
    let server = serve(&dir);
    let client = server.http1();
    let before = [client.embed("m", "red").await.ok().vectors(), client.embed("m", "green").await.ok().vectors()];
    assert_ne!(before[0], before[1]);
    let text = fs::read_to_string(dir.path().join("tokenizer.json")).unwrap();
    let swapped = text.replace("\"red\"", "\"?\"").replace("\"green\"", "\"red\"").replace("\"?\"", "\"green\"");
    assert_ne!(swapped, text);
    replace(&dir, "tokenizer.json", swapped.as_bytes());
    client.post(LOAD, json!({})).await.ok();
    assert_eq!(client.embed("m", "red").await.ok().vectors(), before[1]);
    assert_eq!(client.embed("m", "green").await.ok().vectors(), before[0]);
}

#[tokio::test]
async fn what_does_not_load_leaves_what_is_served_and_says_why() {
    let dir = source("tiny_text");
    let server = serve(&dir);
    let client = server.http1();
    let before = client.embed("m", "red sun").await.ok().vectors();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, bytes) in [("model.onnx", &b"no model"[..]), ("tokenizer.json", b"{"), ("config.json", b"[")] {
        let good = fs::read(path(name)).unwrap();
        replace(&dir, name, bytes);
        let message = client.post(LOAD, json!({})).await.refusal(503, "not_ready");
        assert!(message.contains(&path(name)), "{message}");
        assert_eq!(client.embed("m", "red sun").await.ok().vectors(), before);
        assert_eq!(server.admin().get("/readyz").await.status, 200);
        let index = client.post("/v2/repository/index", json!({})).await.ok().json();
        assert_eq!(index[0]["state"], "READY", "{index}");
        replace(&dir, name, &good);
        client.post(LOAD, json!({})).await.ok();
    }
    fs::remove_file(path("model.onnx")).unwrap();
    let message = client.post(LOAD, json!({})).await.refusal(503, "not_ready");
    assert!(message.contains("holds neither model.onnx"), "{message}");
    // An unloaded one stays unloaded, and is not missed.
    client.post(UNLOAD, json!({})).await.ok();
    client.post(LOAD, json!({})).await.refusal(503, "not_ready");
    client.embed("m", "red sun").await.refusal(503, "not_ready");
    assert_eq!(server.admin().get("/readyz").await.status, 200);
    put(&dir, "tiny_text");
    client.post(LOAD, json!({})).await.ok();
    assert_eq!(client.embed("m", "red sun").await.ok().vectors(), before);
}

#[tokio::test]
async fn twenty_loads_under_load_lose_nothing_and_readiness_stays() {
    let dir = source("identity");
    let server = serve(&dir);
    let ended = Arc::new(AtomicBool::new(false));
    let asking = |http2: bool| {
        let (client, ended) = (if http2 { server.http2() } else { server.http1() }, Arc::clone(&ended));
        tokio::spawn(async move {
            let mut answered = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(row(&client, 4).await.ok().output("y").1, json!([1.0, 2.0, 3.0, 4.0]));
                answered += 1;
            }
            answered
        })
    };
    let callers: Vec<_> = (0..8).map(|caller| asking(caller % 2 == 0)).collect();
    let (admin, probed) = (server.admin(), Arc::clone(&ended));
    let probes = tokio::spawn(async move {
        while !probed.load(Ordering::Relaxed) {
            assert_eq!(admin.get("/readyz").await.status, 200);
        }
    });
    let client = server.http1();
    for load in 0..20 {
        // Files that take the same rows, and are not the same.
        put(&dir, if load % 2 == 0 { "null" } else { "identity" });
        client.post(LOAD, json!({})).await.ok();
    }
    ended.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    probes.await.unwrap();
    until("the end of what was replaced", async || {
        server.admin().get("/stats").await.ok().json()["devices"][0]["workers"] == 1
    })
    .await;
    let metrics = server.metrics().await;
    let ok = [("model", "m"), ("outcome", "ok")];
    assert_eq!(metrics.sum("inferneo_requests_total", &[("model", "m")]), metrics.sum("inferneo_requests_total", &ok));
    for gauge in ["inferneo_queue_bytes", "inferneo_queue_rows", "inferneo_batches_in_flight"] {
        assert_eq!(metrics.sum(gauge, &[("model", "m")]), 0.0, "{gauge}");
    }
    assert_eq!(client.post("/v2/repository/index", json!({})).await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn loads_at_once_take_turns_and_the_last_word_counts() {
    let dir = source("identity");
    let server = serve(&dir);
    put(&dir, "affine");
    let load = |path: &'static str| {
        let client = server.http2();
        async move { client.post(path, json!({})).await }
    };
    for answer in together((0..3).map(|_| load(LOAD))).await {
        answer.ok();
    }
    let client = server.http1();
    row(&client, 3).await.ok();
    for _ in 0..3 {
        let answers = together([LOAD, UNLOAD, LOAD, UNLOAD].map(load)).await;
        for (path, answer) in [LOAD, UNLOAD, LOAD, UNLOAD].into_iter().zip(answers) {
            // A load that an unload overtook says so.
            if answer.status != 200 {
                assert!(path == LOAD && answer.refusal(503, "not_ready").contains("unloaded again"));
            }
        }
        client.post(UNLOAD, json!({})).await.ok();
        row(&client, 3).await.refusal(503, "not_ready");
        client.post(LOAD, json!({})).await.ok();
        row(&client, 3).await.ok();
    }
    until("one worker", async || server.admin().get("/stats").await.ok().json()["devices"][0]["workers"] == 1).await;
}

#[tokio::test]
async fn what_was_learned_holds_on_for_the_same_file_alone() {
    let dir = source("identity");
    let server = serve(&dir);
    let client = server.http1();
    let cost = async || server.admin().get("/stats").await.json()["models"]["m"]["cost_model"].clone();
    let learned = cost().await["observations"].as_u64().unwrap();
    assert!(learned > 0);
    put(&dir, "identity");
    client.post(LOAD, json!({})).await.ok();
    let same = cost().await;
    assert!(same["restored"] == true && same["observations"].as_u64().unwrap() >= learned, "{same}");
    put(&dir, "affine");
    client.post(LOAD, json!({})).await.ok();
    assert_eq!(cost().await["restored"], false);
}
