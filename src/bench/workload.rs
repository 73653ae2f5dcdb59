//! What is sent: requests, encoded to the last byte before the clock starts.
//!
//! Decides the paths and bodies of each protocol. Knows no connection and no answer.

use super::plan::Random;
use super::tensor::Tensor;
use super::{Error, Options, Payload, Protocol};
use crate::remote::Target;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use std::path::Path;
use std::{fmt, fs};

/// The texts sent where none are named; see the README beside them.
pub const SHIPPED_TEXTS: &str = include_str!("texts/mixed.txt");

/// Splits a file of texts: one a line, blank lines dropped.
#[must_use]
pub fn parse_texts(file: &str) -> Vec<String> {
    file.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Reads a file of texts. Blocks.
///
/// # Errors
/// [`Error::Usage`] where it cannot be read or holds none.
pub fn read_texts(path: &Path) -> Result<Vec<String>, Error> {
    let wrong = |what: &str| Error::Usage(format!("--texts {}: {what}", path.display()));
    let file = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let texts = parse_texts(&file);
    if texts.is_empty() { Err(wrong("the file holds no text")) } else { Ok(texts) }
}

/// Requests, ready to send, in the order of their texts.
pub(super) struct Workload {
    target: Target,
    /// Head and body of each, as they are written to a connection.
    requests: Vec<Vec<u8>>,
}

impl Workload {
    /// Encodes every request once.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is nothing to send, the protocol cannot send it, or the model's name does not fit
    /// into a path.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let path = match options.protocol {
            Protocol::OpenAi => "/v1/embeddings".to_owned(),
            Protocol::V2 | Protocol::V2Binary => format!("/v2/models/{}/infer", options.model),
        };
        let uri =
            options.target.uri(&path).map_err(|_| Error::Usage(format!("not a model name: {:?}", options.model)))?;
        let requests = bodies(options)?.iter().map(|body| request(options, &uri, body)).collect();
        Ok(Self { target: options.target.clone(), requests })
    }

    /// The server this is for.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The bytes of request `number`; after the last text comes the first.
    pub(super) fn request(&self, number: usize) -> &[u8] {
        &self.requests[number % self.requests.len()]
    }
}

/// Without the requests: their heads hold the caller's key.
impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The bodies of the requests, at least one.
fn bodies(options: &Options) -> Result<Vec<Body>, Error> {
    let bodies: Vec<_> = match &options.payload {
        Payload::Texts(texts) => texts.iter().map(|text| Body::text(options.protocol, &options.model, text)).collect(),
        Payload::Tensors(_) if options.protocol != Protocol::V2Binary => {
            return Err(Error::Usage("tensors are sent over the protocol v2-binary only".to_owned()));
        }
        Payload::Tensors(tensors) if tensors.is_empty() => Vec::new(),
        Payload::Tensors(tensors) => vec![Body::tensors(tensors, options.seed)],
    };
    if bodies.is_empty() {
        return Err(Error::Usage("there is no text to send".to_owned()));
    }
    Ok(bodies)
}

/// A request's body: JSON, and tensor data behind it where the protocol has that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) json: String,
    /// `None`: the protocol sends JSON alone.
    pub(super) data: Option<Vec<u8>>,
}

impl Body {
    pub(super) fn text(protocol: Protocol, model: &str, text: &str) -> Self {
        match protocol {
            Protocol::OpenAi => Self::json(&json!({ "model": model, "input": text })),
            Protocol::V2 => Self::json(
                &json!({ "inputs": [{ "name": "text", "shape": [1], "datatype": "BYTES", "data": [text] }] }),
            ),
            Protocol::V2Binary => {
                // An element of BYTES is its length as four bytes, little-endian, and then itself.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                let data = [&length.to_le_bytes(), text.as_bytes()].concat();
                let size = json!({ "binary_data_size": data.len() });
                let input = json!({ "name": "text", "shape": [1], "datatype": "BYTES", "parameters": size });
                Self::binary(&[input], data)
            }
        }
    }

    fn tensors(tensors: &[Tensor], seed: u64) -> Self {
        let inputs: Vec<_> = tensors.iter().map(Tensor::describe).collect();
        let (mut random, mut data) = (Random::new(seed), Vec::new());
        tensors.iter().for_each(|tensor| tensor.write(&mut random, &mut data));
        Self::binary(&inputs, data)
    }

    fn json(value: &Value) -> Self {
        Self { json: value.to_string(), data: None }
    }

    /// With the answer asked for as bytes, too.
    fn binary(inputs: &[Value], data: Vec<u8>) -> Self {
        let json = json!({ "inputs": inputs, "parameters": { "binary_data_output": true } });
        Self { json: json.to_string(), data: Some(data) }
    }
}

/// Head and body as they are written to a connection.
fn request(options: &Options, uri: &Uri, body: &Body) -> Vec<u8> {
    let data = body.data.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(512 + body.json.len() + data.len());
    bytes.extend_from_slice(format!("POST {uri} HTTP/1.1\r\nhost: ").as_bytes());
    bytes.extend_from_slice(options.target.host().as_bytes());
    let length = body.json.len() + data.len();
    let kind = match body.data {
        None => "content-type: application/json".to_owned(),
        Some(_) => {
            let json = body.json.len();
            format!("content-type: application/octet-stream\r\ninference-header-content-length: {json}")
        }
    };
    bytes.extend_from_slice(format!("\r\n{kind}\r\ncontent-length: {length}\r\n").as_bytes());
    write_headers(&options.headers, &mut bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.json.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn write_headers(headers: &HeaderMap, bytes: &mut Vec<u8>) {
    /// What the generator says itself.
    const OWN: [&str; 6] = [
        "host",
        "content-type",
        "content-length",
        "transfer-encoding",
        "inference-header-content-length",
        "connection",
    ];
    for (name, value) in headers.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}
