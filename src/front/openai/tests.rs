//! Embedding requests in every form, good and bad.

use crate::front::testing::{Answered, World};
use crate::model::ModelState;
use base64::Engine;
use serde_json::{Value, json};

async fn embed(world: &World, body: Value) -> Answered {
    world.post("/v1/embeddings", body.to_string()).await
}

async fn refused(world: &World, body: Value) -> String {
    embed(world, body).await.refusal(400, "invalid_request")
}

#[tokio::test]
async fn all_four_forms_of_input_are_answered_in_order() {
    let world = World::new();
    for (input, rows, tokens) in [
        (json!("w3 w4"), vec![[2.0, 3.0]], 2),
        (json!(["w3 w4", "w5"]), vec![[2.0, 3.0], [1.0, 5.0]], 3),
        (json!([7, 8, 9]), vec![[3.0, 7.0]], 3),
        (json!([[7, 8], [9]]), vec![[2.0, 7.0], [1.0, 9.0]], 3),
    ] {
        let answer = embed(&world, json!({"model": "embed", "input": input, "user": "u", "what": [1]})).await;
        let body = answer.json();
        let data: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(i, [a, b])| json!({"object": "embedding", "index": i, "embedding": [a, b, 1.0, 0.0]}))
            .collect();
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        assert_eq!(body, json!({"object": "list", "data": data, "model": "embed", "usage": usage}));
        assert_eq!(answer.header("server-timing"), "queue;dur=1.000, assemble;dur=0.020, compute;dur=3.000");
    }
}

#[tokio::test]
async fn x_inferneo_batch_counts_batches_when_there_were_several() {
    let world = World::new();
    let one = embed(&world, json!({"model": "embed", "input": "w1"})).await;
    assert_eq!(one.header("x-inferneo-batch"), "rows=12;tokens=410;padded=480;policy=default;generation=3");
    let two = embed(&world, json!({"model": "embed", "input": ["w1", "w2"]})).await;
    assert!(two.header("x-inferneo-batch").ends_with(";generation=3;batches=2"));
}

#[tokio::test]
async fn base64_is_little_endian_and_dimensions_renormalise() {
    let world = World::new();
    let body = json!({"model": "embed", "input": [3, 4, 5], "encoding_format": "base64", "dimensions": 2});
    let answer = embed(&world, body).await.json();
    let text = answer["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    // The echo's prefix is (3, 3).
    assert_eq!(values.len(), 2);
    assert!(values.iter().all(|v| (v - 0.5_f32.sqrt()).abs() < 1e-6), "{values:?}");
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let world = World::new();
    for (body, word) in [
        (json!({"model": "embed"}), "input is missing"),
        (json!({"model": "embed", "input": ""}), "input is an empty string"),
        (json!({"model": "embed", "input": []}), "input is empty"),
        (json!({"model": "embed", "input": ["w1", ""]}), "input[1] is an empty string"),
        (json!({"model": "embed", "input": [[]]}), "input[0] is empty"),
        (json!({"model": "embed", "input": ["w1", 2]}), "input[1] is of another kind"),
        (json!({"model": "embed", "input": [[1], [[2]]]}), "input[1]"),
        (json!({"model": "embed", "input": {"a": 1}}), "input: "),
        (json!({"model": "embed", "input": [-1]}), "input[0]"),
        (json!({"model": "embed", "input": [1, 11]}), "token id 11, the vocabulary has ids below 11"),
        (json!({"model": "embed", "input": [4_294_967_296_u64]}), "is no token id"),
        (json!({"model": "embed", "input": "w1 w1 w1 w1 w1 w1 w1 w1 w1"}), "9 tokens, the model takes at most 8"),
        (json!({"model": "embed", "input": [1, 1, 1, 1, 1, 1, 1, 1, 1]}), "9 tokens, the model takes at most 8"),
        (json!({"model": "embed", "input": vec!["w1"; 2049]}), "2049 elements: at most 2048"),
        (json!({"model": "embed", "input": "w1", "dimensions": 5}), "dimensions is 5: allowed are 1 to 4"),
        (json!({"model": "embed", "input": "w1", "dimensions": 0}), "dimensions is 0"),
        (json!({"model": "embed", "input": "w1", "dimensions": "x"}), "dimensions: "),
        (json!({"model": "embed", "input": "w1", "encoding_format": "hex"}), "encoding_format"),
        (json!({"model": 5, "input": "w1"}), "model: "),
        (json!({"input": "w1"}), "[\"embed\", \"classify\"]"),
        (json!([1]), "embedding request"),
    ] {
        let message = refused(&world, body.clone()).await;
        assert!(message.contains(word), "{body}: {message}");
    }
    for body in ["", "{", "\u{0}"] {
        world.post("/v1/embeddings", body).await.refusal(400, "invalid_request");
    }
    world.post("/v1/embeddings", vec![b'"', 0xff]).await.refusal(400, "invalid_request");
}

#[tokio::test]
async fn more_inputs_than_any_queue_takes_are_refused_untokenised() {
    let world = World::new();
    *world.echo.max_rows.lock().unwrap() = Some(1);
    let inputs = |n: usize| json!({"model": "embed", "input": vec![""; n]});
    embed(&world, inputs(1)).await.refusal(400, "invalid_request");
    embed(&world, inputs(2)).await.refusal(413, "too_large");
}

#[tokio::test]
async fn models_that_cannot_are_refused_by_reason() {
    let world = World::new();
    for (model, status, reason) in
        [("nobody", 404, "unknown_model"), ("classify", 400, "unsupported"), ("echo-FP32", 400, "unsupported")]
    {
        embed(&world, json!({"model": model, "input": "w1"})).await.refusal(status, reason);
    }
    for state in [ModelState::Loading, ModelState::Failed] {
        world.registry.get("embed").unwrap().set_state(state);
        embed(&world, json!({"model": "embed", "input": "w1"})).await.refusal(503, "not_ready");
    }
}

#[tokio::test]
async fn nulls_stand_for_not_given_and_long_bodies_go_to_the_pool() {
    let world = World::new();
    let body = json!({"model": "embed", "input": vec!["w1 w2"; 500], "dimensions": null, "encoding_format": null});
    let answer = embed(&world, body).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 500);
    assert_eq!(answer["usage"]["total_tokens"], 1000);
}

#[tokio::test]
async fn models_are_listed_and_described() {
    let world = World::new();
    let list = world.get("/v1/models").await.json();
    let embed = json!({"id": "embed", "object": "model", "created": 1_700_000_000, "owned_by": "inferneo"});
    assert_eq!(list["data"][0], embed);
    assert_eq!(world.get("/v1/models/embed").await.json(), embed);
    world.get("/v1/models/nobody").await.refusal(404, "unknown_model");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        drop(super::decode::parse(&bytes));
    }

    #[test]
    fn no_json_makes_the_decoder_panic(text in r#"[\[\]{}",:0-9eE.a-z\\ -]{0,64}"#) {
        drop(super::decode::parse(format!(r#"{{"input":{text}}}"#).as_bytes()));
    }
}

#[test]
fn a_nesting_bomb_is_refused() {
    let bomb = format!(r#"{{"input":{}"#, "[".repeat(1 << 20));
    assert!(super::decode::parse(bomb.as_bytes()).is_err());
}
