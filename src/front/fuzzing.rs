//! The decoders, for fuzz targets and generated tests outside the crate.
//!
//! Decides nothing, and is no part of the crate's interface.

use super::{oip, openai};
use crate::error::Error;
use crate::model::Model;
use crate::request::Payload;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// Decodes a v2 inference request.
///
/// # Errors
/// As the route answers it.
pub fn v2(model: &Model, headers: &HeaderMap, body: Bytes) -> Result<Vec<Payload>, Error> {
    oip::rows(model, headers, body)
}

/// Decodes an OpenAI embedding request, whatever model it names.
///
/// # Errors
/// As the route answers it.
pub fn openai(model: Arc<Model>, body: &[u8]) -> Result<Vec<Payload>, Error> {
    openai::decoded(model, body)
}
