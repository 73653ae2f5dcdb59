//! An embedding answer's JSON.

use crate::error::{Error, Reason};
use crate::request::Answer;
use crate::text::normalize;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Error as _, Serializer};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

struct Vector {
    values: Vec<f32>,
    base64: bool,
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.base64 {
            let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            return serializer.serialize_str(&STANDARD.encode(bytes));
        }
        if self.values.iter().all(|value| value.is_finite()) {
            return self.values.serialize(serializer);
        }
        Err(S::Error::custom(
            "the embedding holds NaN or infinity, which JSON cannot carry",
        ))
    }
}

/// Encodes one vector an answer, cut to `dimensions` and scaled to length one again where asked for.
///
/// # Errors
/// `execution_failed` when an answer is no vector, or holds what JSON cannot carry.
pub(super) fn encode(
    model: &str,
    answers: Vec<Answer>,
    tokens: usize,
    dimensions: Option<usize>,
    base64: bool,
) -> Result<Bytes, Error> {
    let item = |(index, answer)| match answer {
        Answer::Embedding(mut values) => {
            if let Some(dimensions) = dimensions {
                values.truncate(dimensions);
                normalize(&mut values);
            }
            Ok(Item {
                object: "embedding",
                index,
                embedding: Vector { values, base64 },
            })
        }
        Answer::Outputs(_) => Err(Error::new(Reason::ExecutionFailed, "the model's answer is no vector")),
    };
    let data = answers.into_iter().enumerate().map(item).collect::<Result<_, _>>()?;
    let usage = Usage {
        prompt_tokens: tokens,
        total_tokens: tokens,
    };
    let list = List {
        object: "list",
        data,
        model,
        usage,
    };
    serde_json::to_vec(&list)
        .map(Bytes::from)
        .map_err(|e| Error::new(Reason::ExecutionFailed, e))
}
