//! What a graph may end with besides tensors, and begin with besides what must be given.

use crate::client::input;
use crate::graphs::Set::{Floats, Int, Ints, Texts};
use crate::graphs::{Build, Set, declared};
use crate::harness::{Settings, folder, program, together};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// A folder with this file, and the `[[model]]` of it.
fn model(file: &[u8]) -> (TempDir, String) {
    let dir = folder();
    fs::write(dir.path().join("model.onnx"), file).unwrap();
    let config = format!("[[model]]\nname = \"m\"\npath = {:?}\ninstances = 1\ndevice = \"cpu\"\n", dir.path());
    (dir, config)
}

const POLICY: &str =
    "schema = 1\nstrategy = \"fixed_size\"\n[batch]\nmax_batch_size = 4\nmax_queue_delay = \"300ms\"\n";

/// What `doctor` says of a model folder.
fn doctor(dir: &TempDir) -> String {
    let output = program().arg("doctor").arg("--model").arg(dir.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A classifier of three classes as scikit-learn's exporter writes it: labels, and a map of scores for each row.
fn classifier(classes: (&'static str, Set), zipped: (&'static str, Set)) -> Vec<u8> {
    let mut build = Build::new(&["float_input"], "N", 1);
    let weights = (0..18).map(|n| if n % 7 == 0 { 1.0 } else { 0.0 }).collect();
    let set = vec![classes, ("coefficients", Floats(weights)), ("intercepts", Floats(vec![0.0, 0.5, 1.0]))];
    let top = build.top.clone();
    build.top = build.ops("ai.onnx.ml:LinearClassifier", &[&top], 2, set).remove(1);
    build.untyped("probabilities", "ai.onnx.ml:ZipMap", vec![zipped]);
    build.file()
}

#[tokio::test]
async fn the_scores_of_classes_are_a_tensor_with_the_classes_as_labels() {
    let numbers = || Ints(&[4, 2, 9]);
    let names = || Texts(&["cat", "dog", "ant"]);
    for (file, labels) in [
        (classifier(("classlabels_ints", numbers()), ("classlabels_int64s", numbers())), json!(["4", "2", "9"])),
        (classifier(("classlabels_strings", names()), ("classlabels_strings", names())), json!(["cat", "dog", "ant"])),
    ] {
        let (dir, config) = model(&file);
        let server = Settings::new(config).policy("default", POLICY).start();
        let described = server.http1().get("/v2/models/m").await.ok().json();
        let expected = json!([{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3], "labels": labels}]);
        assert_eq!(described["outputs"], expected);
        let body = |n: usize| {
            let row = [1, n, 2, 3, 4, 5];
            json!({"inputs": [input("float_input", "FP32", &[1, 6], json!(row))]})
        };
        let asked = (0..4).map(|n| {
            let client = server.http1();
            async move { client.infer("m", body(n)).await.ok() }
        });
        for (n, answer) in together(asked).await.iter().enumerate() {
            assert_eq!(answer.batch().rows, 4, "rows of maps are stacked as well");
            // Weights 0, 7 and 14 are one: the first of the first class, the second of the second, the third of the last.
            let n = n as f64;
            assert_eq!(answer.output("probabilities"), (vec![1, 3], json!([1.0, n + 0.5, 3.0])));
        }
        let told = doctor(&dir);
        assert!(told.contains("output probabilities FP32 [batch, 3], columns"), "{told}");
    }
}

#[tokio::test]
async fn what_no_request_can_carry_is_left_out_and_said() {
    let mut build = Build::new(&["x"], "N", 1);
    let scale = build.floats(&[1], &[2.0]);
    build.then("Mul", &[&scale], vec![]);
    build.default_input("scale", &["1"]);
    build.output("y", 1, &["N", "6"]);
    build.untyped("parts", "SplitToSequence", vec![("axis", Int(0))]);
    let (dir, config) = model(&build.file());
    let server = Settings::new(config).start();
    let client = server.http1();
    let described = client.get("/v2/models/m").await.ok().json();
    let names =
        |of: &str| -> Vec<Value> { described[of].as_array().unwrap().iter().map(|t| t["name"].clone()).collect() };
    assert_eq!((names("inputs"), names("outputs")), (vec![json!("x")], vec![json!("y")]));
    let left_out = json!([
        {"name": "parts", "datatype": "seq(tensor(float))", "why": "no answer can carry it"},
        {"name": "scale", "datatype": "tensor(float)", "why": "its value in the file stands"},
    ]);
    assert_eq!(described["left_out"], left_out);
    let answer = client.infer("m", json!({"inputs": [input("x", "FP32", &[1, 6], json!([1, 2, 3, 4, 5, 6]))]})).await;
    assert_eq!(answer.ok().output("y").1, json!([2.0, 4.0, 6.0, 8.0, 10.0, 12.0]));
    for told in [doctor(&dir), server.log()] {
        assert!(told.contains("left out: parts, seq(tensor(float)), because no answer can carry it"), "{told}");
        assert!(told.contains("left out: scale, tensor(float), because its value in the file stands"), "{told}");
    }
}

#[tokio::test]
async fn a_model_without_a_tensor_to_answer_is_refused_in_the_words_of_onnx() {
    let mut build = Build::new(&["x"], "N", 1);
    build.untyped("parts", "SplitToSequence", vec![("axis", Int(0))]);
    let (dir, config) = model(&build.file());
    let ended = Settings::new(config).run().await;
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    let path = dir.path().join("model.onnx");
    let message = format!("{}: no output is a tensor (`parts` is seq(tensor(float)))", path.display());
    assert!(ended.log.contains(&message) && !ended.log.contains("the model failed"), "{}", ended.log);
}

/// Four numbers below 256 can ask for more memory than any machine has.
#[tokio::test]
async fn what_takes_sizes_out_of_its_input_is_tried_with_small_ones() {
    let mut build = Build::of(vec![declared("sizes", 7, &["4"])], 1);
    build.then("ConstantOfShape", &[], vec![]);
    let (_dir, config) = model(&build.end("y", 1, &["a", "b", "c", "d"]));
    let server = Settings::new(config).start();
    let client = server.http1();
    let described = client.get("/v2/models/m").await.ok().json();
    assert_eq!(described["inputs"][0]["sample"], json!({"shape": [4], "most": 1}));
    let answer = client.infer("m", json!({"inputs": [input("sizes", "INT64", &[4], json!([2, 1, 1, 3]))]})).await;
    assert_eq!(answer.ok().output("y"), (vec![2, 1, 1, 3], json!(vec![0.0; 6])));
}
