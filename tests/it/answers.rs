//! Every answer is what the model gives the request alone, whoever shared its batch and however it came.

use crate::client::{Answer, Client, Raw, floats, input};
use crate::harness::{cached, together};
use crate::shared::shared;
use inferneo::bench;
use inferneo::text::{Overflow, Tokenizer};
use serde_json::{Value, json};

const REQUESTS: usize = 300;
const DIMENSIONS: usize = 384;

/// How a text is put to the server, and what comes back.
#[derive(Debug, Clone, Copy)]
enum Form {
    OpenAi,
    Text,
    Tensors,
}

impl Form {
    async fn ask(self, client: &Client, text: &str) -> Answer {
        match self {
            Self::OpenAi => client.embed("minilm", text).await.ok(),
            Self::Text => client.infer_texts("minilm", &[text]).await.ok(),
            Self::Tensors => client.infer_bytes("minilm", &tensors(&token_ids(text))).await.ok(),
        }
    }

    fn values(self, answer: &Answer) -> Vec<f32> {
        match self {
            Self::OpenAi => answer.vectors().remove(0),
            Self::Text => {
                let (shape, data) = answer.output("embedding");
                assert_eq!(shape, [1, DIMENSIONS]);
                floats(&data)
            }
            Self::Tensors => {
                let outputs = answer.binary();
                let [(name, shape, data)] = &outputs[..] else { panic!("{outputs:?}") };
                assert_eq!((&**name, shape[0], shape[2]), ("last_hidden_state", 1, DIMENSIONS));
                assert_eq!(data.len(), shape[1] * DIMENSIONS * 4);
                data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
        }
    }
}

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let json = std::fs::read(cached("models/minilm/tokenizer.json")).unwrap();
        Tokenizer::from_bytes(&json).unwrap()
    })
}

fn token_ids(text: &str) -> Vec<i64> {
    let tokens = tokenizer().encode(text, Overflow::Truncate, Some(256)).unwrap();
    tokens.ids.into_iter().map(i64::from).collect()
}

fn tensors(ids: &[i64]) -> [Raw<'static>; 3] {
    let bytes = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = || vec![1, ids.len()];
    let same = |value| vec![value; ids.len()];
    [
        ("input_ids", "INT64", shape(), bytes(ids)),
        ("attention_mask", "INT64", shape(), bytes(&same(1))),
        ("token_type_ids", "INT64", shape(), bytes(&same(0))),
    ]
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn assert_same(batched: &[f32], alone: &[f32], what: &str) {
    assert_eq!(batched.len(), alone.len(), "{what}");
    let worst = batched.iter().zip(alone).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{what}: differs by {worst}");
    assert!(cosine(batched, alone) > 0.9999, "{what}");
}

#[tokio::test]
async fn three_hundred_mixed_requests_over_both_protocols_answer_as_each_alone() {
    let server = shared();
    let texts = bench::parse_texts(bench::SHIPPED_TEXTS);
    let forms = || [Form::OpenAi, Form::Text, Form::Tensors].into_iter().cycle();
    let asked = || texts.iter().take(REQUESTS).cloned().zip(forms());
    // One protocol over HTTP/1.1, the other over HTTP/2.
    let all = async |tenant: &str| {
        let clients = [server.http1().tenant(tenant), server.http2().tenant(tenant)];
        let ask = |(text, form): (String, Form)| {
            let client = clients[usize::from(!matches!(form, Form::OpenAi))].clone();
            async move { form.ask(&client, &text).await }
        };
        together(asked().map(ask)).await
    };
    let together = all("mixed").await;
    let alone = all("alone").await;
    for (((text, form), batched), own) in asked().zip(&together).zip(&alone) {
        assert_eq!((own.batch().rows, &*batched.batch().policy), (1, "mixed"));
        assert_same(&form.values(batched), &form.values(own), &format!("{form:?} {text:?}"));
    }
    // Each request is one row: a batch of n rows shows n times.
    let batches: f64 = together.iter().map(|answer| 1.0 / answer.batch().rows as f64).sum();
    let average = REQUESTS as f64 / batches;
    assert!(average > 2.0, "the average batch has {average:.2} rows");
}

#[tokio::test]
async fn requests_of_both_protocols_share_a_batch() {
    let server = shared();
    // This policy runs exactly two rows, and nobody else is this tenant.
    let (one, two) = (server.http1().tenant("pair"), server.http2().tenant("pair"));
    let (short, long) = ("A short text.", "A text that is a little longer than the other text.");
    let (openai, v2) = tokio::join!(Form::OpenAi.ask(&one, short), Form::Text.ask(&two, long));
    let lengths = [short, long].map(|text| token_ids(text).len() as u64);
    let batch = openai.batch();
    assert_eq!(batch, v2.batch());
    assert_eq!((batch.rows, batch.tokens, batch.padded), (2, lengths[0] + lengths[1], 2 * lengths[1]));
    // The same with tensors: text and token tensors of one model share a batch as well.
    let (openai, v2) = tokio::join!(Form::OpenAi.ask(&one, short), Form::Tensors.ask(&two, long));
    assert_eq!(openai.batch(), batch);
    assert_eq!(v2.batch(), batch);
    let output = &v2.binary()[0];
    assert_eq!(output.1, [1, lengths[1] as usize, DIMENSIONS]);
}

#[tokio::test]
async fn texts_of_one_request_are_answered_in_order_whatever_batches_they_ran_in() {
    let server = shared();
    let texts: Vec<String> = bench::parse_texts(bench::SHIPPED_TEXTS).into_iter().skip(REQUESTS).take(40).collect();
    let client = server.http1();
    let whole = client.clone().tenant("mixed").embed("minilm", texts.clone()).await.ok();
    let vectors = whole.vectors();
    assert_eq!(vectors.len(), texts.len());
    let alone = client.tenant("alone");
    for (text, vector) in texts.iter().zip(&vectors) {
        assert_same(vector, &alone.embed("minilm", text.as_str()).await.ok().vectors()[0], text);
    }
    let each = alone.embed("minilm", texts[..5].to_vec()).await.ok();
    assert_eq!((each.batch().batches, each.batch().rows), (5, 1));
}

#[tokio::test]
async fn every_form_of_input_and_answer_says_the_same() {
    let client = shared().http2();
    let text = "That is a happy person";
    let plain = client.embed("minilm", text).await.ok();
    let ids = token_ids(text);
    assert_eq!(plain.json()["usage"]["total_tokens"], ids.len());
    let expected = plain.vectors().remove(0);
    for input in [json!([text]), json!(ids), json!([ids])] {
        let answer = client.embed("minilm", input.clone()).await.ok();
        assert_same(&answer.vectors()[0], &expected, &input.to_string());
    }
    let body = json!({"model": "minilm", "input": text, "encoding_format": "base64", "dimensions": 8});
    let answer = client.post("/v1/embeddings", body).await.ok().json();
    let bytes = decode_base64(answer["data"][0]["embedding"].as_str().unwrap());
    let short: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let norm = expected[..8].iter().map(|v| v * v).sum::<f32>().sqrt();
    let prefix: Vec<f32> = expected[..8].iter().map(|v| v / norm).collect();
    assert_same(&short, &prefix, "the first eight dimensions");
    let labelled = client.infer_texts("tiny_classifier", &["warm sun", "cold snow"]).await.ok();
    assert_eq!(labelled.output("logits").0, [2, 2]);
}

fn decode_base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn an_over_long_text_is_cut_over_v2_unless_told_otherwise() {
    let client = shared().http1();
    let long = "word ".repeat(400);
    let cut = "word ".repeat(254);
    let answer = client.infer_texts("minilm", &[&long]).await.ok();
    assert_eq!(answer.batch().tokens, 256);
    let whole = client.infer_texts("minilm", &[&cut]).await.ok();
    assert_same(&floats(&answer.output("embedding").1), &floats(&whole.output("embedding").1), "cut to 256 tokens");
    let strict: Value =
        json!({"inputs": [input("text", "BYTES", &[1], json!([long]))], "parameters": {"truncate": false}});
    let message = client.infer("minilm", strict).await.refusal(400, "invalid_request");
    assert!(message.contains("402 tokens, the model takes at most 256"), "{message}");
    let message = client.embed("minilm", long).await.refusal(400, "invalid_request");
    assert!(message.contains("402 tokens, the model takes at most 256"), "{message}");
}
