//! Every datatype there and back, as JSON and as bytes.

use super::*;
use crate::front::oip::{binary, elements};
use crate::model::Datatype;
use bytes::Bytes;
use half::{bf16, f16};
use proptest::prelude::*;

/// Finite, distinct values of each datatype, as a tensor's bytes.
fn samples(datatype: Datatype) -> Vec<u8> {
    match datatype {
        Datatype::Bool => vec![0, 1],
        Datatype::Uint8 => vec![0, u8::MAX],
        Datatype::Int8 => [i8::MIN, i8::MAX].map(i8::to_le_bytes).concat(),
        Datatype::Uint16 => [0, u16::MAX].map(u16::to_le_bytes).concat(),
        Datatype::Int16 => [i16::MIN, i16::MAX].map(i16::to_le_bytes).concat(),
        Datatype::Uint32 => [0, u32::MAX].map(u32::to_le_bytes).concat(),
        Datatype::Int32 => [i32::MIN, i32::MAX].map(i32::to_le_bytes).concat(),
        Datatype::Uint64 => [0, u64::MAX].map(u64::to_le_bytes).concat(),
        Datatype::Int64 => [i64::MIN, i64::MAX].map(i64::to_le_bytes).concat(),
        Datatype::Fp16 => [f16::MAX, f16::MIN_POSITIVE_SUBNORMAL].map(f16::to_le_bytes).concat(),
        Datatype::Bf16 => [bf16::MAX, bf16::MIN_POSITIVE_SUBNORMAL].map(bf16::to_le_bytes).concat(),
        Datatype::Fp32 => [f32::MAX, -f32::MIN_POSITIVE].map(f32::to_le_bytes).concat(),
        Datatype::Fp64 => [f64::MAX, 0.1].map(f64::to_le_bytes).concat(),
        Datatype::Bytes => b"\x00\x00\x00\x00\x06\x00\x00\x00\"\\\xc3\xa9\n\x01".to_vec(),
    }
}

fn binary_request(datatype: Datatype, data: &[u8], output: Value) -> Request<Body> {
    let size = data.len();
    let head = json!({
        "inputs": [{"name": "x", "datatype": datatype.name(), "shape": [1, 2], "parameters": {"binary_data_size": size}}],
        "outputs": [output],
    });
    let head = head.to_string();
    let length = head.len();
    let body = [head.as_bytes(), data].concat();
    let path = format!("/v2/models/echo-{}/infer", datatype.name());
    Request::post(path).header(binary::HEADER_LENGTH, length).body(Body::from(body)).unwrap()
}

fn blob(answer: &Answered) -> (Value, Bytes) {
    let length: usize = answer.header(binary::HEADER_LENGTH.as_str()).parse().unwrap();
    (serde_json::from_slice(&answer.body[..length]).unwrap(), answer.body.slice(length..))
}

#[tokio::test]
async fn every_datatype_round_trips_as_bytes_and_as_json() {
    let world = World::new();
    for datatype in Datatype::ALL {
        let data = samples(datatype);
        let output = json!({"name": "x_out", "parameters": {"binary_data": true}});
        let answer = world.send(binary_request(datatype, &data, output)).await;
        assert_eq!(answer.header("content-type"), "application/octet-stream", "{}", answer.text());
        let (head, tail) = blob(&answer);
        assert_eq!(tail, data, "{}", datatype.name());
        assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], data.len());
        // Bytes in, JSON out; then that JSON in, bytes out.
        let text = world.send(binary_request(datatype, &data, json!({"name": "x_out"}))).await.text();
        let at = text.find(r#""data":"#).unwrap() + 7;
        let raw = text.get(at..text.len() - 3).unwrap();
        let body = format!(
            r#"{{"parameters":{{"binary_data_output":true}},
                "inputs":[{{"data":{raw},"name":"x","shape":[1,2],"datatype":"{}"}}]}}"#,
            datatype.name()
        );
        let answer = world.post(&format!("/v2/models/echo-{}/infer", datatype.name()), body).await;
        assert_eq!(blob(&answer).1, data, "{} as {raw}", datatype.name());
    }
}

#[tokio::test]
async fn texts_go_in_as_bytes_and_vectors_come_out_as_bytes() {
    let world = World::new();
    let head = json!({
        "parameters": {"binary_data_output": true},
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}],
    });
    let head = head.to_string();
    let request = |tail: &[u8]| {
        let body = [head.as_bytes(), tail].concat();
        let request = Request::post("/v2/models/embed/infer").header(binary::HEADER_LENGTH, head.len());
        request.body(Body::from(body)).unwrap()
    };
    let answer = world.send(request(b"\x05\x00\x00\x00w1 w2")).await;
    assert_eq!(blob(&answer).1, [2.0_f32, 1.0, 1.0, 0.0].map(f32::to_le_bytes).concat());
    let message = world.send(request(b"\x05\x00\x00\x00\xff\xff w2")).await.refusal(400, "invalid_request");
    assert!(message.contains("not UTF-8"), "{message}");
    let message = world.send(request(b"\x06\x00\x00\x00w1 w2")).await.refusal(400, "invalid_request");
    assert!(message.contains("ends inside an element"), "{message}");
}

#[tokio::test]
async fn binary_bodies_that_do_not_add_up_are_refused() {
    let world = World::new();
    let data = samples(Datatype::Int32);
    let output = json!({"name": "x_out"});
    let with = |data: &[u8], length: Option<&str>| {
        let mut request = binary_request(Datatype::Int32, data, output.clone());
        if let Some(length) = length {
            request.headers_mut().insert(binary::HEADER_LENGTH, length.parse().unwrap());
        }
        request
    };
    for (request, word) in [
        (with(&data[..7], None), "INT32 of shape [1, 2] needs 8"),
        (with(&data, Some("9999")), "the body has"),
        (with(&data, Some("many")), "must be a whole number"),
        (with(&data, Some("0")), "holds no JSON"),
    ] {
        let message = world.send(request).await.refusal(400, "invalid_request");
        assert!(message.contains(word), "{message}");
    }
    let both = json!({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1, 1], "data": [1], "parameters": {"binary_data_size": 4}}]});
    let message = infer(&world, "echo-INT32", both).await.refusal(400, "invalid_request");
    assert!(message.contains("both data and binary_data_size"), "{message}");
    let none =
        json!({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1, 1], "parameters": {"binary_data_size": 4}}]});
    let message = infer(&world, "echo-INT32", none).await.refusal(400, "invalid_request");
    assert!(message.contains("0 bytes of tensor data left"), "{message}");
}

/// JSON of a flat and of a nested list.
fn both_forms(values: &[String]) -> [String; 2] {
    let rows: Vec<String> = values.iter().map(|value| format!("[ {value} ]")).collect();
    [format!("[{}]", values.join(", ")), format!("[{}]", rows.join(","))]
}

proptest! {
    #[test]
    fn floats_round_trip(values: Vec<f32>, doubles: Vec<f64>) {
        let finite: Vec<f32> = values.into_iter().filter(|v| v.is_finite()).collect();
        let bytes: Vec<u8> = finite.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = [finite.len(), 1];
        for json in both_forms(&finite.iter().map(|v| serde_json::to_string(v).unwrap()).collect::<Vec<_>>()) {
            prop_assert_eq!(&elements::read(&json, Datatype::Fp32, &shape, finite.len()).unwrap(), &bytes);
        }
        let finite: Vec<f64> = doubles.into_iter().filter(|v| v.is_finite()).collect();
        let bytes: Vec<u8> = finite.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = [finite.len(), 1];
        for json in both_forms(&finite.iter().map(|v| serde_json::to_string(v).unwrap()).collect::<Vec<_>>()) {
            prop_assert_eq!(&elements::read(&json, Datatype::Fp64, &shape, finite.len()).unwrap(), &bytes);
        }
    }

    #[test]
    fn integers_round_trip(values: Vec<i64>) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = [values.len(), 1];
        for json in both_forms(&values.iter().map(i64::to_string).collect::<Vec<_>>()) {
            prop_assert_eq!(&elements::read(&json, Datatype::Int64, &shape, values.len()).unwrap(), &bytes);
        }
    }

    #[test]
    fn texts_round_trip(values: Vec<String>) {
        let json = serde_json::to_string(&values).unwrap();
        let data = elements::read(&json, Datatype::Bytes, &[values.len()], values.len()).unwrap();
        let back: Vec<&[u8]> = crate::request::elements(&data).map(Result::unwrap).collect();
        prop_assert_eq!(back, values.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}
