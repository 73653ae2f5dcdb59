//! Malformed requests: each names the field, none panics.

use super::*;
use crate::front::oip::{binary, decode, elements};
use crate::model::Datatype;
use http::HeaderMap;
use proptest::prelude::*;

async fn refused(world: &World, model: &str, body: Value) -> String {
    infer(world, model, body).await.refusal(400, "invalid_request")
}

#[tokio::test]
async fn tensors_that_do_not_fit_name_their_input() {
    let world = World::new();
    for (datatype, shape, data, word) in [
        ("FP32", json!([1, 2]), json!([1]), "data has 1 elements, shape [1, 2] needs 2"),
        ("FP32", json!([1, 2]), json!([1, 2, 3]), "data has 3 elements, shape [1, 2] needs 2"),
        ("FP32", json!([1, -2]), json!([1]), "shape holds -2"),
        ("FP32", json!([1, 1.5]), json!([1]), "shape: invalid type"),
        ("FP32", json!([i64::MAX, i64::MAX]), json!([1]), "too many elements"),
        ("FP32", json!([1_000_000_000_000_i64, 1]), json!([1]), "needs 1000000000000"),
        ("FP32", json!([2, 2]), json!([[1, 2], [3]]), "data has 1 elements at nesting level 1"),
        ("FP32", json!([2, 3]), json!([[1, 2], [3, 4], [5, 6]]), "at nesting level"),
        ("FP32", json!([2, 2]), json!([1, [2, 3, 4]]), "nested as shape [2, 2] says"),
        ("FP32", json!([1, 1]), json!([[[1]]]), "nested deeper"),
        ("FP32", json!([1, 1]), json!(1), "data must be an array"),
        ("FP32", json!([1, 1]), json!([{}]), "no objects"),
        ("FP32", json!([1, 1]), json!([null]), "element 0, null, is not a value of FP32"),
        ("FP32", json!([1, 1]), json!(["1"]), "is not a value of FP32"),
        ("FP32", json!([1, 1]), json!([1e39]), "element 0, 1e+39, is not a value of FP32"),
        ("FP16", json!([1, 1]), json!([65520]), "is not a value of FP16"),
        ("INT8", json!([1, 2]), json!([-128, 128]), "element 1, 128, is not a value of INT8"),
        ("UINT8", json!([1, 1]), json!([-1]), "is not a value of UINT8"),
        ("INT64", json!([1, 1]), json!([1.5]), "is not a value of INT64"),
        ("INT64", json!([1, 1]), json!([9_223_372_036_854_775_808_u64]), "is not a value of INT64"),
        ("BOOL", json!([1, 1]), json!([2]), "is not a value of BOOL"),
        ("BYTES", json!([1, 1]), json!([5]), "is not a value of BYTES"),
        ("FP31", json!([1, 1]), json!([5]), "datatype \"FP31\" is not known"),
        ("FP32", json!([1]), json!([5]), "has shape [1], the model takes"),
    ] {
        let model = if datatype == "FP31" { "echo-FP32".to_owned() } else { format!("echo-{datatype}") };
        let message = refused(&world, &model, x(datatype, shape.clone(), data.clone())).await;
        assert!(message.contains(word) && message.contains("input `x`"), "{datatype} {shape} {data}: {message}");
    }
    let message = refused(&world, "echo-FP32", x("INT32", json!([1, 1]), json!([1]))).await;
    assert!(message.contains("input `x`") && message.contains("has datatype INT32, the model takes FP32"), "{message}");
}

#[tokio::test]
async fn numbers_beyond_json_name_their_input() {
    let world = World::new();
    for number in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let body = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP64","shape":[1,1],"data":[{number}]}}]}}"#);
        let message = world.post("/v2/models/echo-FP64/infer", body).await.refusal(400, "invalid_request");
        assert!(message.contains("input `x`"), "{message}");
        assert!(number == "1e999" || message.contains("NaN and infinity are not JSON"), "{message}");
    }
}

#[tokio::test]
async fn requests_that_are_none_say_why() {
    let world = World::new();
    let one = json!({"name": "a", "datatype": "FP32", "shape": [1, 1], "data": [1]});
    let two = json!({"name": "b", "datatype": "INT32", "shape": [1, 1], "data": [1]});
    for (body, word) in [
        (json!({}), "missing field `inputs`"),
        (json!({"inputs": null}), "a list of inputs"),
        (json!({"inputs": [5]}), "inputs[0]"),
        (json!({"inputs": [one, {"shape": [1]}]}), "inputs[1]: missing field `name`"),
        (json!({"inputs": [{"name": "a", "shape": [1]}]}), "input `a`: datatype is missing"),
        (json!({"inputs": [{"name": "a", "shape": [1], "datatype": "FP32"}]}), "input `a`: data is missing"),
        (json!({"inputs": [one, one]}), "input `a` is given twice"),
        (json!({"inputs": [one]}), "input `b` is missing"),
        (
            json!({"inputs": [one, {"name": "c", "datatype": "FP32", "shape": [1], "data": [1]}]}),
            "input `c` is unknown",
        ),
        (json!({"inputs": [one, two], "outputs": [{"name": "c"}]}), "output `c` is not known"),
        (json!({"inputs": [one, two], "outputs": [{"name": "a_out"}, {"name": "a_out"}]}), "asked for twice"),
        (json!({"inputs": [one, two], "outputs": 5}), "outputs: "),
        (json!({"inputs": [one, two], "id": 5}), "id: "),
        (json!({"inputs": [one, two], "parameters": {"timeout": -1}}), "parameters.timeout"),
        (json!({"inputs": [one, two], "parameters": {"priority": 1.5}}), "parameters.priority"),
        (json!({"inputs": [one, two], "parameters": {"binary_data_output": 1}}), "parameters.binary_data_output"),
    ] {
        let message = refused(&world, "two", body.clone()).await;
        assert!(message.contains(word), "{body}: {message}");
    }
    for body in ["", "{", "[]", "{\"inputs\":[{\"name\":\"a\",\"name\":\"b\"}]}"] {
        world.post("/v2/models/two/infer", body).await.refusal(400, "invalid_request");
    }
    let shared = json!({"inputs": [one, two], "outputs": [{"name": "a_out", "parameters": {"classification": 3}}]});
    infer(&world, "two", shared).await.refusal(400, "unsupported");
}

#[tokio::test]
async fn texts_that_cannot_be_used_name_the_element() {
    let world = World::new();
    let text = |shape: Value, data: Value| json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": shape, "data": data}]});
    for (body, word) in [
        (text(json!([1]), json!(["  "])), "element 0: text has no tokens"),
        (text(json!([1, 2]), json!(["a", "b"])), "it takes [n] or [n,1]"),
        (text(json!([0]), json!([])), "n at least 1"),
        (json!({"inputs": [{"name": "text", "datatype": "INT32", "shape": [1], "data": [1]}]}), "it takes BYTES"),
    ] {
        let message = refused(&world, "embed", body.clone()).await;
        assert!(message.contains(word), "{body}: {message}");
    }
    let mut long = text(json!([2]), json!(["w1", "w1 w1 w1 w1 w1 w1 w1 w1 w1"]));
    long["parameters"] = json!({"truncate": false});
    let message = refused(&world, "embed", long).await;
    assert!(message.contains("element 1: text has 9 tokens, the model takes at most 8"), "{message}");
    let message = refused(&world, "two", text(json!([1]), json!(["a"]))).await;
    assert!(message.contains("input `text` is unknown"), "{message}");
}

#[tokio::test]
async fn more_texts_than_any_queue_takes_are_refused_untokenised() {
    let world = World::new();
    *world.echo.max_rows.lock().unwrap() = Some(2);
    // The empty text has no tokens, which only tokenising would tell.
    let texts =
        |n: usize| json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [n], "data": vec![""; n]}]});
    infer(&world, "embed", texts(2)).await.refusal(400, "invalid_request");
    let message = infer(&world, "embed", texts(3)).await.refusal(413, "too_large");
    assert_eq!(message, "the request has 3 rows; a queue takes at most 2 (queue.max_rows)");
}

#[tokio::test]
async fn answers_that_json_cannot_carry_are_never_200() {
    let world = World::new();
    *world.echo.instead.lock().unwrap() = Some(f32::NAN.to_le_bytes().to_vec().into());
    let answer = infer(&world, "echo-FP32", x("FP32", json!([1, 1]), json!([1]))).await;
    let message = answer.refusal(500, "execution_failed");
    assert!(message.contains("x_out") && message.contains("binary_data"), "{message}");
}

#[test]
fn bombs_are_cheap() {
    let deep = "[".repeat(1 << 20);
    let body = format!(r#"{{"inputs":[{{"name":"x","data":{deep}"#);
    assert!(decode::parse(body.as_bytes()).is_err());
    let closed = format!("{deep}{}", "]".repeat(1 << 20));
    assert!(elements::read(&closed, Datatype::Fp32, &[1], 1).is_err());
    let body = format!(r#"{{"inputs":[],"parameters":{{"a":{closed}}}}}"#);
    assert!(decode::parse(body.as_bytes()).is_ok(), "what is ignored is skipped without recursion");
}

fn datatypes() -> impl Strategy<Value = Datatype> {
    prop::sample::select(&Datatype::ALL[..])
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        drop(decode::parse(&bytes));
    }

    #[test]
    fn no_json_makes_the_reader_panic(
        data in r#"\[[\[\]",:0-9eE.a-z\\ é-]{0,64}"#,
        datatype in datatypes(),
        shape in prop::collection::vec(0_usize..4, 0..4),
    ) {
        let count = shape.iter().product();
        drop(elements::read(&data, datatype, &shape, count));
    }

    #[test]
    fn no_binary_body_panics(bytes: Vec<u8>, length in 0_usize..64, size: u64, datatype in datatypes(), count: usize) {
        let mut headers = HeaderMap::new();
        headers.insert(binary::HEADER_LENGTH, length.into());
        if let Ok((_, mut blobs)) = binary::split(&headers, bytes.clone().into()) {
            drop(blobs.take(size));
        }
        drop(binary::check(&bytes, datatype, &[count], count));
    }
}
