//! An embedding answer's JSON.

use crate::error::{Error, Reason};
use crate::request::Answer;
use crate::text::normalize;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Error as _, Serializer};

/// About the bytes of a number with its comma, and of what stands around a vector.
const WIDTH: usize = 14;
const FRAME: usize = 128;

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
            return serializer.serialize_str(&STANDARD.encode(bytemuck::cast_slice::<f32, u8>(&self.values)));
        }
        if self.values.iter().all(|value| value.is_finite()) {
            return self.values.serialize(serializer);
        }
        Err(S::Error::custom("the embedding holds NaN or infinity, which JSON cannot carry"))
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
            Ok(Item { object: "embedding", index, embedding: Vector { values, base64 } })
        }
        Answer::Outputs(_) => Err(Error::new(Reason::ExecutionFailed, "the model's answer is no vector")),
    };
    let data = answers.into_iter().enumerate().map(item).collect::<Result<Vec<Item>, _>>()?;
    let numbers: usize = data.iter().map(|item| item.embedding.values.len()).sum();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    let list = List { object: "list", data, model, usage };
    let mut out = Vec::with_capacity(numbers * WIDTH + list.data.len() * FRAME + FRAME);
    serde_json::to_writer(&mut out, &list).map_err(|e| Error::new(Reason::ExecutionFailed, e))?;
    Ok(out.into())
}
