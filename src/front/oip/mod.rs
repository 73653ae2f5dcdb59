//! The Open Inference Protocol, version 2, over REST, with the binary tensor data extension.
//!
//! Decides what each part of a request means. Protocol text: the KServe "Open Inference Protocol" and
//! Triton's `extension_binary_data.md`.

mod answer;
mod binary;
mod decode;
mod elements;
mod encode;
mod infer;
mod metadata;
mod params;
mod repository;
mod rest;
mod text;

use crate::error::Error;
use crate::model::Model;
use crate::request::Payload;
use bytes::Bytes;
use http::HeaderMap;

pub(super) use rest::{check_state, health_routes, inference_routes, plain_routes, unknown};

/// Where in a body tensor data begins, if the headers say so.
pub(super) fn data_at(headers: &HeaderMap) -> Option<usize> {
    binary::json_length(headers)?.ok()
}

/// The rows of a request, its answer's form left aside.
pub(super) fn rows(model: &Model, headers: &HeaderMap, body: Bytes) -> Result<Vec<Payload>, Error> {
    infer::prepare(model, headers, body, u32::MAX).map(|prepared| prepared.items)
}

/// The only version a model has.
const VERSION: &str = "1";
/// Name of the input that takes texts.
const TEXT: &str = "text";
/// Name of the output that answers texts with vectors.
const EMBEDDING: &str = "embedding";
/// Name of the output that answers texts with scores.
const LOGITS: &str = "logits";

#[cfg(test)]
mod tests;
