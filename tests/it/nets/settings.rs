//! What `model.toml` may say of batching, and what comes of it: a setting names, it does not prove.

use super::mixing::MIXING;
use super::sound::{SOUND, Step};
use crate::client::input;
use crate::graphs::{Build, Set, declared};
use crate::harness::{Server, Settings, cached, folder, program, together};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

const POLICY: &str =
    "schema = 1\nstrategy = \"fixed_size\"\n[batch]\nmax_batch_size = 4\nmax_queue_delay = \"300ms\"\n";

fn step(of: &[Step], name: &str) -> fn(&mut Build) {
    of.iter().find(|step| step.0 == name).unwrap().1
}

/// A folder with a graph and a `model.toml`.
fn source(file: &[u8], settings: &str) -> TempDir {
    let dir = folder();
    fs::write(dir.path().join("model.onnx"), file).unwrap();
    fs::write(dir.path().join("model.toml"), settings).unwrap();
    dir
}

fn serve(dir: &TempDir) -> Server {
    let keys = "instances = 1\ndevice = \"cpu\"\n";
    Settings::new(format!("[[model]]\nname = \"m\"\npath = {:?}\n{keys}", dir.path())).policy("default", POLICY).start()
}

/// What `doctor` says of a model folder.
fn doctor(dir: &TempDir) -> String {
    let output = program().arg("doctor").arg("--model").arg(dir.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// How `/stats` says that requests run, which the metric must say too.
async fn batching(server: &Server) -> Value {
    let stats = server.admin().get("/stats").await.ok().json();
    let batching = stats["models"]["m"]["batching"].clone();
    let metrics = server.metrics().await;
    for mode in ["stacked", "solo"] {
        let labels = [("model", "m"), ("mode", mode)];
        let says = metrics.sum("inferneo_model_batching", &labels);
        assert_eq!(says == 1.0, batching["mode"] == mode, "{mode}: {batching}");
    }
    batching
}

/// Four rows at the same time; the rows of the largest batch, and each one's answer.
async fn four(server: &Server) -> (u64, Vec<Value>) {
    let asked = (0..4).map(|n| {
        let client = server.http1();
        let row: Vec<f64> = (0..6).map(|at| f64::from(n) + f64::from(at) / 7.0).collect();
        let body = json!({"inputs": [input("x", "FP32", &[1, 6], json!(row))]});
        async move { client.infer("m", body).await.ok() }
    });
    let answers = together(asked).await;
    let most = answers.iter().map(|answer| answer.batch().rows).max().unwrap();
    (most, answers.iter().map(|answer| answer.output("y").1).collect())
}

/// A graph of one step, whose rows are called `rows` where they come in and `named` where they go out.
fn graph(step: fn(&mut Build), rows: &str, named: &str) -> Vec<u8> {
    let mut build = Build::new(&["x"], rows, 3);
    step(&mut build);
    build.end("y", 1, &[named, "6"])
}

#[tokio::test]
async fn stacking_can_be_forbidden() {
    let file = graph(step(SOUND, "dense"), "batch", "batch");
    let stacked = serve(&source(&file, ""));
    let (rows, expected) = four(&stacked).await;
    assert_eq!((rows, batching(&stacked).await["mode"].clone()), (4, json!("stacked")));
    let dir = source(&file, "[batching]\nstack = false\n");
    let server = serve(&dir);
    let (rows, answers) = four(&server).await;
    assert_eq!((rows, answers), (1, expected));
    let why = "[batching] stack = false in model.toml forbids it";
    assert_eq!(batching(&server).await["why"], why);
    assert!(doctor(&dir).contains(why) && server.log().contains(why), "{}", doctor(&dir));
}

#[tokio::test]
async fn neighbours_are_let_in_where_the_variant_allows_it_and_how_far_answers_move_is_said() {
    let file = graph(step(MIXING, "dynamic quantisation"), "batch", "batch");
    let dir = source(&file, "");
    let solo = serve(&dir);
    let (rows, alone) = four(&solo).await;
    assert_eq!(rows, 1);
    let found = batching(&solo).await;
    assert!(found["why"].as_str().unwrap().contains("DynamicQuantizeLinear"), "{found}");
    assert!(doctor(&dir).contains(found["why"].as_str().unwrap()), "{}", doctor(&dir));
    let dir = source(&file, "[batching]\nvariant = \"allow\"\n");
    let allowed = serve(&dir);
    let (rows, together) = four(&allowed).await;
    assert!(rows == 4 && together != alone, "{rows} {together:?}");
    let found = batching(&allowed).await;
    assert!(found["mode"] == "stacked" && found["moved"].as_f64().unwrap() > 1e-4, "{found}");
    assert!(doctor(&dir).contains("variant = \"allow\" stacks it all the same"), "{}", doctor(&dir));
    // What is allowed is a row that moves, never one that is somebody else's.
    let counted = super::COUNTED.iter().find(|end| end.step.0 == "rows that differ").unwrap();
    let file = graph(counted.step.1, "batch", "batch");
    let server = serve(&source(&file, "[batching]\nvariant = \"allow\"\n"));
    assert_eq!((four(&server).await.0, batching(&server).await["mode"].clone()), (1, json!("solo")));
}

#[tokio::test]
async fn a_mend_is_named_where_it_holds_and_does_not_hold_because_it_is_set() {
    let setting = "batch_dim = \"frames\"";
    let dir = source(&graph(step(SOUND, "dense"), "frames", "clips"), "");
    assert!(doctor(&dir).contains(setting), "{}", doctor(&dir));
    let server = serve(&dir);
    let (rows, expected) = four(&server).await;
    assert_eq!(rows, 1);
    fs::write(dir.path().join("model.toml"), format!("[batching]\n{setting}\n")).unwrap();
    assert_eq!(four(&serve(&dir)).await, (4, expected));
    for name in ["by the largest of all", "running sum over rows", "number of rows", "dynamic quantisation"] {
        let dir = source(&graph(step(MIXING, name), "frames", "clips"), "");
        assert!(!doctor(&dir).contains(setting), "{name}: {}", doctor(&dir));
        let (_, expected) = four(&serve(&dir)).await;
        fs::write(dir.path().join("model.toml"), format!("[batching]\n{setting}\n")).unwrap();
        let server = serve(&dir);
        assert_eq!(four(&server).await, (1, expected), "{name}");
        let why = batching(&server).await["why"].clone();
        assert!(doctor(&dir).contains(why.as_str().unwrap()), "{name}: {why}: {}", doctor(&dir));
    }
}

#[tokio::test]
async fn made_up_input_has_the_size_that_is_given_or_one_that_was_found_to_run() {
    // It takes the column of number 300.
    let mut build = Build::of(vec![declared("x", 1, &["batch", "width"])], 1);
    let (column, weight) = (build.ints(&[300]), build.floats(&[1, 6], &[1.0; 6]));
    build.then("Gather", &[&column], vec![("axis", Set::Int(1))]);
    build.then("Mul", &[&weight], vec![]);
    let file = build.end("y", 1, &["batch", "6"]);
    for (settings, size) in [("", 512), ("[inputs.x]\nsample = [1, 301]\n", 301)] {
        let dir = source(&file, settings);
        let server = serve(&dir);
        let described = server.http1().get("/v2/models/m").await.ok().json();
        assert_eq!(described["inputs"][0]["sample"]["shape"], json!([1, size]), "{described}");
        assert_eq!(batching(&server).await["mode"], "stacked");
        assert!(doctor(&dir).contains(&format!("made-up input runs at: x [1, {size}]")), "{}", doctor(&dir));
        // The same is asked of a running server, as `helm test` does.
        let asked = program().arg("doctor").arg("--url").arg(format!("http://{}", server.data)).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    }
    let dir = source(&file, "[inputs.x]\nsample = [1, 200]\n");
    let server = serve(&dir);
    let found = batching(&server).await;
    assert!(found["mode"] == "solo" && found["why"].as_str().unwrap().contains("no made-up input runs"), "{found}");
    let described = server.http1().get("/v2/models/m").await.ok().json();
    assert!(described["no_sample"].is_string(), "{described}");
    assert_eq!(server.admin().get("/readyz").await.status, 200, "callers alone tell its health");
}

/// Token vectors, of which callers of texts get a pooled one, beside scores that take all rows together.
#[tokio::test]
async fn a_text_model_is_stacked_by_what_its_callers_get() {
    let tokens = |name| declared(name, 7, &["batch", "sequence"]);
    let mut build = Build::of(vec![tokens("input_ids"), tokens("attention_mask")], 1);
    let (table, mask) = (build.weight(&[64, 8]), build.op("Cast", &["attention_mask"], vec![("to", Set::Int(1))]));
    let (axis, bound) = (build.ints(&[2]), build.ints(&[63]));
    let mask = build.op("Unsqueeze", &[&mask, &axis], vec![]);
    build.then("Min", &[&bound], vec![]);
    let ids = build.top.clone();
    build.top = build.op("Gather", &[&table, &ids], vec![("axis", Set::Int(0))]);
    build.then("Mul", &[&mask], vec![]);
    build.output("last_hidden_state", 1, &["batch", "sequence", "8"]);
    build.then("Softmax", &[], vec![("axis", Set::Int(0))]);
    let dir = source(&build.end("scores", 1, &["batch", "sequence", "8"]), "");
    for file in ["tokenizer.json", "config.json"] {
        fs::copy(cached("models/test/tiny_text").join(file), dir.path().join(file)).unwrap();
    }
    let server = serve(&dir);
    assert_eq!(batching(&server).await["mode"], "stacked", "{}", server.log());
    let texts = ["red sun", "green lake", "red", "sun sun sun"];
    let embed = texts.map(|text| {
        let client = server.http1();
        async move { client.embed("m", text).await.ok() }
    });
    assert!(together(embed).await.iter().all(|answer| answer.batch().rows == 4));
    // Whoever asks for the scores is asked for alone, and has those of a row by itself: of one row, each is one.
    let asked = (1..5).map(|id| {
        let client = server.http1();
        let one = |name, value: i64| input(name, "INT64", &[1, 2], json!([value, 1]));
        let body = json!({"inputs": [one("input_ids", id), one("attention_mask", 1)], "outputs": [{"name": "scores"}]});
        async move { client.infer("m", body).await.ok() }
    });
    for answer in together(asked).await {
        assert_eq!((answer.batch().rows, answer.output("scores").1), (1, json!(vec![1.0; 16])));
    }
}
