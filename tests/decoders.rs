//! No body breaks a decoder, and what a decoder accepts fits its model. The fuzz targets `openai_body`,
//! `v2_body` and `v2_binary` do the same with libFuzzer's bytes.
#![cfg(feature = "server")]

#[path = "decoders/fits.rs"]
mod fits;

use fits::{openai, v2};
use proptest::prelude::{Just, prop_oneof};
use proptest::strategy::Strategy;
use proptest::{collection, prop_assert, proptest, sample};
use serde_json::{Value, json};

/// JSON values that are often near to what a request holds.
fn value() -> impl Strategy<Value = Value> {
    let words = ["", "a", "b c", "a a a a a a a a a", "é\u{0}", "FP32", "INT64", "BYTES", "text", "ids", "base64"];
    let leaf = prop_oneof![
        sample::select(words.to_vec()).prop_map(Value::from),
        (-2_i64..6).prop_map(Value::from),
        sample::select(vec![i64::MIN, i64::MAX, 1 << 32]).prop_map(Value::from),
        Just(json!(0.5)),
        Just(json!(1e300)),
        Just(json!(null)),
        Just(json!(true)),
        Just(json!({})),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| collection::vec(inner, 0..6).prop_map(Value::from))
}

/// One of the good values most of the time, else anything.
fn mostly(good: Vec<Value>) -> impl Strategy<Value = Value> {
    prop_oneof![6 => sample::select(good), 1 => value()]
}

fn v2_input() -> impl Strategy<Value = Value> {
    let name = mostly(vec![json!("ids"), json!("raw"), json!("text")]);
    let datatype = mostly(vec![json!("INT64"), json!("BYTES")]);
    let shape = mostly(vec![json!([1, 2]), json!([2, 1]), json!([1]), json!([2])]);
    let data = mostly(vec![json!([1, 2]), json!([[3], [4]]), json!(["a", "b"]), json!(["c"]), json!([["a"], ["é"]])]);
    let size = mostly(vec![json!(8), json!(16), json!(0)]);
    (name, datatype, shape, prop_oneof![3 => data.prop_map(Ok), 1 => size.prop_map(Err)]).prop_map(
        |(name, datatype, shape, data)| match data {
            Ok(data) => json!({"name": name, "datatype": datatype, "shape": shape, "data": data}),
            Err(size) => {
                json!({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}})
            }
        },
    )
}

fn v2_body() -> impl Strategy<Value = Value> {
    let good = |name, datatype, shape, data| json!({"name": name, "datatype": datatype, "shape": shape, "data": data});
    let ids = || Just(good("ids", "INT64", json!([2, 1]), json!([[3], [4]])));
    let raw = || Just(good("raw", "BYTES", json!([2, 1]), json!(["a", "é"])));
    let text = || Just(good("text", "BYTES", json!([2]), json!(["a b", "c"])));
    let inputs = prop_oneof![
        2 => [ids(), raw()].prop_map(Vec::from),
        1 => text().prop_map(|text| vec![text]),
        1 => (ids(), v2_input()).prop_map(|(ids, other)| vec![other, ids]),
        2 => collection::vec(v2_input(), 0..4),
    ];
    let outputs = mostly(vec![json!(null), json!([{"name": "out"}]), json!([{"name": "embedding"}])]);
    let parameters = mostly(vec![json!(null), json!({}), json!({"timeout": 5, "priority": 1, "truncate": false})]);
    let body = |(inputs, outputs, parameters)| json!({"inputs": inputs, "outputs": outputs, "parameters": parameters});
    (inputs, outputs, parameters).prop_map(body)
}

fn openai_body() -> impl Strategy<Value = Value> {
    let input = mostly(vec![json!("a b"), json!(["a", "b"]), json!([1, 2]), json!([[1], [2, 3]])]);
    let format = mostly(vec![json!(null), json!("float"), json!("base64")]);
    let dimensions = mostly(vec![json!(null), json!(2)]);
    (input, format, dimensions).prop_map(|(input, format, dimensions)| {
        json!({"model": "m", "input": input, "encoding_format": format, "dimensions": dimensions})
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_a_refusal(bytes: Vec<u8>, length in proptest::option::of(0_usize..64)) {
        openai(&bytes);
        v2(bytes, length);
    }

    #[test]
    fn any_v2_request_fits_the_model_or_is_refused(body in v2_body()) {
        v2(body.to_string(), None);
    }

    #[test]
    fn any_binary_v2_request_fits_the_model_or_is_refused(body in v2_body(), data in collection::vec(0_u8..4, 0..40)) {
        let json = body.to_string();
        let whole = [json.as_bytes(), &data].concat();
        v2(whole, Some(json.len()));
    }

    #[test]
    fn any_openai_request_fits_the_model_or_is_refused(body in openai_body()) {
        openai(body.to_string().as_bytes());
    }

    #[test]
    fn a_damaged_request_is_a_request_or_a_refusal(
        body in prop_oneof![v2_body(), openai_body()], at in 0_usize..400, cut in 0_usize..6, patch: Vec<u8>
    ) {
        let mut bytes = body.to_string().into_bytes();
        let at = at.min(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, patch.into_iter().take(4));
        openai(&bytes);
        v2(bytes, None);
        prop_assert!(at <= end);
    }
}

#[test]
fn what_is_generated_is_often_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = (0, 0);
    for _ in 0..500 {
        let body = openai_body().new_tree(&mut runner).unwrap().current().to_string();
        accepted.0 += u32::from(openai(body.as_bytes()));
        let body = v2_body().new_tree(&mut runner).unwrap().current().to_string();
        accepted.1 += u32::from(v2(body, None));
    }
    assert!(accepted.0 > 100 && accepted.1 > 100, "{accepted:?} of 500");
}
