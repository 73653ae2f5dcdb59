//! Small models that show one way each in which a batch can go wrong, as JSON and as bytes.

use crate::client::{Answer, Client, input};
use crate::harness::together;
use crate::shared::shared;
use serde_json::{Value, json};

/// A client whose requests are put into batches of four rows, or of what came within 300 ms.
fn gathering() -> Client {
    shared().http2().tenant("gather")
}

/// Sends v2 bodies at the same time.
async fn at_once(model: &'static str, bodies: impl IntoIterator<Item = Value>) -> Vec<Answer> {
    let client = gathering();
    let ask = |body: Value| {
        let client = client.clone();
        async move { client.infer(model, body).await.ok() }
    };
    together(bodies.into_iter().map(ask)).await
}

fn one(name: &str, datatype: &str, shape: &[usize], data: Value) -> Value {
    json!({"inputs": [input(name, datatype, shape, data)]})
}

#[tokio::test]
async fn rows_come_back_to_whom_they_belong() {
    let row = |i: usize| json!([i, i + 1, i + 2, i + 3]);
    // One row, two rows, one row: four together.
    let two = one("x", "FP32", &[2, 4], json!([row(10), row(20)]));
    let bodies = [one("x", "FP32", &[1, 4], row(1)), two, one("x", "FP32", &[1, 4], row(30))];
    let answers = at_once("identity", bodies).await;
    assert!(answers.iter().all(|answer| answer.batch().rows == 4), "{answers:?}");
    assert_eq!(answers[0].output("y"), (vec![1, 4], json!([1.0, 2.0, 3.0, 4.0])));
    assert_eq!(answers[1].output("y"), (vec![2, 4], json!([10.0, 11.0, 12.0, 13.0, 20.0, 21.0, 22.0, 23.0])));
    assert_eq!(answers[2].output("y"), (vec![1, 4], json!([30.0, 31.0, 32.0, 33.0])));
}

#[tokio::test]
async fn a_product_is_the_same_as_json_and_as_bytes() {
    let client = shared().http1();
    let json = client.infer("affine", one("x", "FP32", &[2, 3], json!([1, 2, 3, 0, 0, 1]))).await.ok();
    assert_eq!(json.output("y"), (vec![2, 2], json!([22.5, 27.5, 5.5, 5.5])));
    let data = [1.0_f32, 2.0, 3.0, 0.0, 0.0, 1.0].map(f32::to_le_bytes).concat();
    let binary = client.infer_bytes("affine", &[("x", "FP32", vec![2, 3], data)]).await.binary();
    let expected = [22.5_f32, 27.5, 5.5, 5.5].map(f32::to_le_bytes).concat();
    assert_eq!(binary, [("y".to_owned(), vec![2, 2], expected.into())]);
}

#[tokio::test]
async fn a_model_of_one_row_runs_one_at_a_time() {
    let answers = at_once("fixed_batch", (0..4).map(|i| one("x", "FP32", &[1, 4], json!([i, i, i, i])))).await;
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.batch().rows, 1);
        assert_eq!(answer.output("y"), (vec![1, 4], json!(vec![2.0 * i as f64; 4])));
    }
    let two = one("x", "FP32", &[2, 4], json!([1, 1, 1, 1, 2, 2, 2, 2]));
    let message = gathering().infer("fixed_batch", two).await.refusal(400, "invalid_request");
    assert!(message.contains("input `x`") && message.contains("[2, 4]"), "{message}");
}

#[tokio::test]
async fn a_model_without_a_mask_is_never_padded() {
    let body = |ids: Value| one("input_ids", "INT64", &[1, ids.as_array().unwrap().len()], ids);
    // Four of one length share a batch.
    let same = at_once("maskless", (1..=4).map(|i| body(json!([i, i, 10])))).await;
    for (i, answer) in (1..=4).zip(&same) {
        assert_eq!((answer.batch().rows, answer.batch().tokens, answer.batch().padded), (4, 12, 12));
        assert_eq!(answer.output("sum"), (vec![1], json!([2.0 * f64::from(i) + 10.0])));
    }
    // Two lengths: two batches of two, though together they would have made four.
    let lengths = [json!([3, 5]), json!([2, 4, 6, 8]), json!([1, 1]), json!([9, 9, 9, 9])];
    let mixed = at_once("maskless", lengths.map(body)).await;
    assert_eq!(sizes(&mixed), [(2, 4), (2, 8), (2, 4), (2, 8)]);
    let means = mixed.iter().map(|answer| answer.output("mean").1);
    assert_eq!(means.collect::<Vec<_>>(), [json!([4.0]), json!([5.0]), json!([1.0]), json!([9.0])]);
}

/// Rows and padded tokens of each answer's batch.
fn sizes(answers: &[Answer]) -> Vec<(u64, u64)> {
    answers.iter().map(|answer| (answer.batch().rows, answer.batch().padded)).collect()
}

#[tokio::test]
async fn a_model_with_a_mask_is_padded_and_its_answers_are_trimmed() {
    let body = |ids: &[i64]| {
        let shape = [1, ids.len()];
        let mask = vec![1; ids.len()];
        json!({"inputs": [input("input_ids", "INT64", &shape, json!(ids)), input("attention_mask", "INT64", &shape, json!(mask))]})
    };
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[10, 20, 30, 40, 50], &[7], &[4, 4]];
    let answers = at_once("masked", rows.map(body)).await;
    for (answer, ids) in answers.iter().zip(rows) {
        let batch = answer.batch();
        assert_eq!((batch.rows, batch.tokens, batch.padded), (4, 11, 20));
        let total: i64 = ids.iter().sum();
        let values: Vec<f64> = ids.iter().flat_map(|id| [*id as f64, total as f64]).collect();
        assert_eq!(answer.output("values"), (vec![1, ids.len(), 2], json!(values)));
    }
}

#[tokio::test]
async fn strings_of_any_bytes_go_through() {
    let texts = ["", "plain", "é\"\\\n", "🚲"];
    let answers = at_once("bytes_echo", texts.map(|text| one("x", "BYTES", &[1, 1], json!([text])))).await;
    for (answer, text) in answers.iter().zip(texts) {
        assert_eq!(answer.batch().rows, 4);
        assert_eq!(answer.output("y"), (vec![1, 1], json!([text])));
    }
    let element = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let data = [element(b"text"), element(b"more")].concat();
    let output = shared().http2().infer_bytes("bytes_echo", &[("x", "BYTES", vec![2, 1], data.clone())]).await.binary();
    assert_eq!(output, [("y".to_owned(), vec![2, 1], data.into())]);
}

#[tokio::test]
async fn half_precision_is_exact_in_both_forms() {
    let answers = at_once("fp16_half", (0..4).map(|i| one("x", "FP16", &[1, 4], json!([i, 0.5, -2, 65504])))).await;
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.batch().rows, 4);
        assert_eq!(answer.output("y"), (vec![1, 4], json!([i as f64 / 2.0, 0.25, -1.0, 32752.0])));
    }
    let halves = |values: [f32; 4]| values.map(|v| half::f16::from_f32(v).to_le_bytes()).concat();
    let client = shared().http1();
    let output =
        client.infer_bytes("fp16_half", &[("x", "FP16", vec![1, 4], halves([1.0, 2.0, 3.0, 5.0]))]).await.binary();
    assert_eq!(output[0].2, halves([0.5, 1.0, 1.5, 2.5]));
    let message = client.infer("fp16_half", one("x", "FP16", &[1, 4], json!([1, 2, 3, 65520]))).await;
    assert!(message.refusal(400, "invalid_request").contains("element 3"), "{message:?}");
}

#[tokio::test]
async fn whole_numbers_beyond_a_double_are_exact() {
    let large = (1_i64 << 61) + 1;
    let bodies = [large, -large, 0, 7].map(|x| one("x", "INT64", &[1], json!([x])));
    for (answer, x) in at_once("int_ops", bodies).await.iter().zip([large, -large, 0, 7]) {
        assert_eq!((answer.batch().rows, answer.output("y")), (4, (vec![1], json!([2 * x]))));
    }
    let data = large.to_le_bytes().to_vec();
    let output = shared().http1().infer_bytes("int_ops", &[("x", "INT64", vec![1], data)]).await.binary();
    assert_eq!(*output[0].2, (2 * large).to_le_bytes());
}

#[tokio::test]
async fn several_inputs_and_chosen_outputs_stay_together() {
    let body = |i: usize| {
        let (a, b) = (input("a", "FP32", &[1, 2], json!([i, i])), input("b", "FP32", &[1, 2], json!([1, i * i])));
        json!({"inputs": [b, a], "outputs": [{"name": "difference"}]})
    };
    for (i, answer) in at_once("two_inputs", (0..4).map(body)).await.iter().enumerate() {
        let (x, square) = (i as f64, (i * i) as f64);
        assert_eq!(answer.batch().rows, 4);
        assert_eq!(answer.output("difference"), (vec![1, 2], json!([x - 1.0, x - square])));
        assert_eq!(answer.json()["outputs"].as_array().unwrap().len(), 1);
    }
}

/// As ONNX Runtime runs it, whatever else waits.
#[tokio::test]
async fn what_is_not_rows_of_one_length_runs_as_it_is_and_alone() {
    let pair = |a: (&[usize], Value), b: (&[usize], Value)| json!({"inputs": [input("a", "FP32", a.0, a.1), input("b", "FP32", b.0, b.1)]});
    let bodies = [
        pair((&[1, 2], json!([5, 6])), (&[1, 2], json!([1, 2]))),
        // One row is taken from each of two.
        pair((&[2, 2], json!([5, 6, 7, 8])), (&[1, 2], json!([1, 2]))),
        pair((&[0, 2], json!([])), (&[0, 2], json!([]))),
    ];
    let answers = at_once("two_inputs", bodies).await;
    assert_eq!(answers[0].output("difference"), (vec![1, 2], json!([4.0, 4.0])));
    assert_eq!(answers[1].output("difference"), (vec![2, 2], json!([4.0, 4.0, 6.0, 6.0])));
    assert_eq!(answers[2].output("difference"), (vec![0, 2], json!([])));
    assert!(answers.iter().all(|answer| answer.batch().rows <= 2), "{answers:?}");
    let bytes = gathering().infer_bytes("identity", &[("x", "FP32", vec![0, 4], Vec::new())]).await.binary();
    assert_eq!(bytes, [("y".to_owned(), vec![0, 4], bytes::Bytes::new())]);
}

#[tokio::test]
async fn where_the_model_fails_on_what_is_not_rows_of_one_length_the_caller_is_told_what_is_not() {
    let body = |ids: &[i64], mask: &[i64]| {
        let one = |name, data: &[i64]| input(name, "INT64", &[1, data.len()], json!(data));
        json!({"inputs": [one("input_ids", ids), one("attention_mask", mask)]})
    };
    let client = gathering();
    let message = client.infer("masked", body(&[1, 2, 3], &[1, 1])).await.refusal(400, "invalid_request");
    assert!(
        message.contains("inputs disagree on their length: `input_ids` has 3, `attention_mask` has 2"),
        "{message}"
    );
    assert!(message.contains("model `masked` fails on that"), "{message}");
    // A mask of one goes for all, as it does in the runtime.
    let answer = client.infer("masked", body(&[1, 2, 3], &[1])).await.ok();
    assert_eq!(answer.output("values"), (vec![1, 3, 2], json!([1.0, 6.0, 2.0, 6.0, 3.0, 6.0])));
}
