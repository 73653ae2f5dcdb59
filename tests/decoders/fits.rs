//! A model, and what must hold of every request decoded for it. Shared with the fuzz targets.

use bytes::Bytes;
use http::HeaderMap;
use inferneo::error::{Error, Reason};
use inferneo::front::fuzzing;
use inferneo::model::{Datatype, Dim, Model, ModelSpec, ModelState, Task, TensorSpec};
use inferneo::request::Payload;
use inferneo::text::{Pooling, Tokenizer};
use inferneo::types::ModelId;
use serde_json::json;
use std::sync::{Arc, LazyLock};

const MAX_LENGTH: u32 = 8;
const VOCABULARY: u32 = 5;

/// Takes text, and tensors of two inputs.
static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let tensor = |name: &str, datatype, dims: &[Dim]| TensorSpec::new(name, datatype, dims.to_vec());
    let spec = ModelSpec {
        inputs: vec![
            tensor("ids", Datatype::Int64, &[Dim::Batch, Dim::Length]),
            tensor("raw", Datatype::Bytes, &[Dim::Batch, Dim::Free("n".into())]),
        ],
        outputs: vec![tensor("out", Datatype::Fp32, &[Dim::Batch, Dim::Length, Dim::Fixed(4)])],
        batchable: true,
        pads: true,
        task: Task::Embedding { output: 0, pooling: Pooling::Mean, normalize: true, dimensions: 4 },
        max_length: Some(MAX_LENGTH),
        ..ModelSpec::default()
    };
    let words = json!({"a": 0, "b": 1, "c": 2, "é": 3, "unknown": 4});
    let words = json!({"type": "WordLevel", "vocab": words, "unk_token": "unknown"});
    let tokenizer =
        json!({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": words});
    let tokenizer = Tokenizer::from_bytes(tokenizer.to_string().as_bytes()).expect("the tokenizer above");
    let model = Model::new(ModelId(0), "m", spec, Some(tokenizer), 0);
    model.set_state(ModelState::Ready);
    Arc::new(model)
});

/// Whatever was decoded fits the model; whatever was refused is the caller's fault and says why.
/// Answers whether it was decoded.
fn check(decoded: Result<Vec<Payload>, Error>) -> bool {
    let items = match decoded {
        Ok(items) => items,
        Err(error) => {
            assert!(matches!(error.reason, Reason::InvalidRequest | Reason::Unsupported), "{error:?}");
            assert!(!error.message.is_empty());
            return false;
        }
    };
    assert!(!items.is_empty());
    for item in items {
        match item {
            Payload::Tokens(tokens) => {
                assert!((1..=MAX_LENGTH as usize).contains(&tokens.ids.len()));
                assert!(tokens.ids.iter().all(|id| *id < VOCABULARY));
            }
            Payload::Tensors(item) => {
                let [ids, raw] = &item.tensors[..] else { panic!("{item:?}") };
                assert_eq!(ids.shape, [item.rows as usize, item.len as usize]);
                assert_eq!(ids.data.len(), ids.shape.iter().product::<usize>() * 8);
                assert_eq!(raw.shape[0], item.rows as usize);
                assert!((1..=MAX_LENGTH).contains(&item.len) && item.rows >= 1);
                assert!(raw.data.len() >= raw.shape.iter().product::<usize>() * 4);
            }
        }
    }
    true
}

/// Decodes a v2 body, of which `json_length` bytes are JSON where that is given.
pub(crate) fn v2(body: impl Into<Bytes>, json_length: Option<usize>) -> bool {
    let mut headers = HeaderMap::new();
    if let Some(length) = json_length {
        headers.insert("inference-header-content-length", length.into());
    }
    check(fuzzing::v2(&MODEL, &headers, body.into()))
}

/// Decodes an OpenAI body.
pub(crate) fn openai(body: &[u8]) -> bool {
    check(fuzzing::openai(Arc::clone(&MODEL), body))
}
