//! What is sent: texts, encoded before the clock starts.
//!
//! Decides the paths and bodies of each protocol. Knows no connection and no answer.

use super::{Error, Options, Protocol};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::json;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The texts sent where none are named; see the README beside them.
pub const SHIPPED_TEXTS: &str = include_str!("texts/mixed.txt");

/// Splits a file of texts: one a line, blank lines dropped.
#[must_use]
pub fn parse_texts(file: &str) -> Vec<String> {
    file.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A server's address: `http://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    prefix: String,
}

impl Target {
    /// Where to connect.
    pub(super) fn address(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err("the URL must begin with http://".to_owned());
        }
        if uri.query().is_some() {
            return Err("the URL must end before any query".to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the URL names no host")?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), prefix })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
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
        let prefix = &options.target.prefix;
        let path = match options.protocol {
            Protocol::OpenAi => format!("{prefix}/v1/embeddings"),
            Protocol::V2 => format!("{prefix}/v2/models/{}/infer", options.model),
        };
        let uri = path.parse().map_err(|_| Error::Usage(format!("not a model name: {:?}", options.model)))?;
        let mut headers = options.headers.clone();
        let host = HeaderValue::from_str(&options.target.to_string());
        headers.insert(HOST, host.map_err(|_| Error::Usage(format!("not a host: {:?}", options.target.host)))?);
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
