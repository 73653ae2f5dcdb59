//! Rows of megabytes: as many callers as usual are served, and what is too large is told which limit it meets.

use crate::client::Client;
use crate::graphs::Set::{Int, Ints};
use crate::graphs::{Build, declared};
use crate::harness::{Settings, folder, together};
use std::fs;
use tempfile::TempDir;

/// The mean of each colour of an image.
fn means(height: &str, width: &str) -> Vec<u8> {
    let mut build = Build::of(vec![declared("image", 1, &["batch", "3", height, width])], 1);
    build.then("ReduceMean", &[], vec![("axes", Ints(&[2, 3])), ("keepdims", Int(0))]);
    build.end("means", 1, &["batch", "3"])
}

fn model(name: &str, file: &[u8]) -> (TempDir, String) {
    let dir = folder();
    fs::write(dir.path().join("model.onnx"), file).unwrap();
    let keys = "instances = 1\ndevice = \"cpu\"\n";
    let config = format!("[[model]]\nname = \"{name}\"\npath = {:?}\n{keys}", dir.path());
    (dir, config)
}

/// An image of one colour each plane: `shade`, and one and two more.
fn image(shade: f32, side: usize) -> Vec<u8> {
    let plane = |colour: u8| (shade + f32::from(colour)).to_le_bytes().repeat(side * side);
    [0, 1, 2].map(plane).concat()
}

async fn ask(client: Client, model: &str, shade: f32, side: usize) -> Vec<f32> {
    let answer = client.infer_bytes(model, &[("image", "FP32", vec![1, 3, side, side], image(shade, side))]).await;
    let (_, shape, data) = answer.binary().remove(0);
    assert_eq!(shape, [1, 3]);
    data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[tokio::test]
async fn sixty_four_callers_with_an_image_each_are_served() {
    let (_fixed, one) = model("fixed", &means("640", "640"));
    let (_open, other) = model("open", &means("height", "width"));
    let server = Settings::new([one, other].concat()).start();
    for name in ["fixed", "open"] {
        let asked = (0..64_u8).map(|n| ask(server.http1(), name, f32::from(n), 640));
        for (n, means) in together(asked).await.into_iter().enumerate() {
            let expected = [0.0, 1.0, 2.0].map(|colour| n as f32 + colour);
            let near = means.iter().zip(expected).all(|(mean, expected)| (mean - expected).abs() < 1e-2);
            assert!(near, "{name}: {means:?}, not {expected:?}");
        }
    }
    let metrics = server.metrics().await;
    assert_eq!(metrics.sum("inferneo_requests_total", &[("outcome", "ok")]), 128.0);
    assert_eq!(metrics.sum("inferneo_requests_total", &[]), 128.0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_told_the_limit_and_the_flag_raises_it() {
    let (_dir, config) = model("open", &means("height", "width"));
    let server = Settings::new(config.clone()).start();
    let body = [("image", "FP32", vec![1, 3, 1280, 1280], image(1.0, 1280))];
    let message = server.http1().infer_bytes("open", &body).await.refusal(413, "too_large");
    assert!(message.contains("at most 16777216 are taken (max_body_bytes)"), "{message}");
    assert!(message.contains("the body has 1966"), "what was asked: {message}");
    let server = Settings::new(config).flag("--max-body-bytes", "32MiB").start();
    let asked = (0..8_u8).map(|n| ask(server.http1(), "open", f32::from(n), 1280));
    for (n, means) in together(asked).await.into_iter().enumerate() {
        assert!((means[0] - n as f32).abs() < 1e-2, "{means:?}");
    }
}

#[tokio::test]
async fn a_row_of_the_widest_model_fits_as_json_and_what_is_written_stands() {
    // Of a row as JSON, what matters here is its size alone: 1,228,800 numbers of twenty letters and two between them.
    let (_dir, config) = model("fixed", &means("640", "640"));
    let body = format!("{}{{}}", " ".repeat(1_228_800 * 22));
    let server = Settings::new(config.clone()).start();
    let answer = server.http1().send("POST", "/v2/models/fixed/infer", body.clone()).await;
    assert!(answer.refusal(400, "invalid_request").contains("missing field `inputs`"));
    let server = Settings::new(format!("max_body_bytes = \"16MiB\"\n{config}")).start();
    let message = server.http1().send("POST", "/v2/models/fixed/infer", body).await.refusal(413, "too_large");
    assert!(message.contains("has 27033602 bytes; at most 16777216 are taken (max_body_bytes)"), "{message}");
    let policy = "schema = 1\n[queue]\nmax_bytes = \"4MiB\"\n";
    let server = Settings::new(config).policy("default", policy).start();
    let body = [("image", "FP32", vec![1, 3, 640, 640], image(1.0, 640))];
    let message = server.http1().infer_bytes("fixed", &body).await.refusal(413, "too_large");
    let told = "the request keeps 4915200 bytes; the queue takes at most 4194304 (queue.max_bytes)";
    assert!(message.contains(told), "{message}");
}
