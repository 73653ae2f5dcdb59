//! What is sent: texts, encoded before the clock starts.
//!
//! Decides the paths and bodies of each protocol. Knows no connection and no answer.

use super::{Error, Options, Protocol};
use crate::remote::Target;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The texts sent where none are named; see the README beside them.
pub const SHIPPED_TEXTS: &str = include_str!("texts/mixed.txt");

/// Splits a file of texts: one a line, blank lines dropped.
#[must_use]
pub fn parse_texts(file: &str) -> Vec<String> {
    file.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Requests, ready to send, in the order of their texts.
#[derive(Debug)]
pub struct Workload {
    target: Target,
    uri: Uri,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
    next: AtomicUsize,
}

impl Workload {
    /// Encodes every text once.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no text, or the model's name does not fit into a path.
    pub fn new(options: &Options) -> Result<Self, Error> {
        if options.texts.is_empty() {
            return Err(Error::Usage("there is no text to send".to_owned()));
        }
        let path = match options.protocol {
            Protocol::OpenAi => "/v1/embeddings".to_owned(),
            Protocol::V2 => format!("/v2/models/{}/infer", options.model),
        };
        let uri =
            options.target.uri(&path).map_err(|_| Error::Usage(format!("not a model name: {:?}", options.model)))?;
        let mut headers = options.headers.clone();
        headers.insert(HOST, options.target.host().clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let bodies = options.texts.iter().map(|text| body(options.protocol, &options.model, text)).collect();
        Ok(Self { target: options.target.clone(), uri, headers, bodies, next: AtomicUsize::new(0) })
    }

    /// The server this is for.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The request for the next text; after the last comes the first.
    pub fn next_request(&self) -> Request<Full<Bytes>> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.bodies.len();
        let mut request = Request::new(Full::new(self.bodies[index].clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn body(protocol: Protocol, model: &str, text: &str) -> Bytes {
    let value = match protocol {
        Protocol::OpenAi => json!({ "model": model, "input": text }),
        Protocol::V2 => {
            json!({ "inputs": [{ "name": "text", "shape": [1], "datatype": "BYTES", "data": [text] }] })
        }
    };
    Bytes::from(value.to_string())
}
