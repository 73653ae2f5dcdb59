//! A client of either plane, and what an answer says about itself.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// The header that says how many bytes of a v2 body are JSON.
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";
/// The longest any answer may take.
const LONGEST: Duration = Duration::from_secs(120);

/// A client with headers of its own. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    connections: legacy::Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    headers: HeaderMap,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, http2: bool) -> Self {
        let connections = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Self { connections, address, headers: HeaderMap::new() }
    }

    /// Adds a header to every request.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Sends every request as this tenant.
    pub(crate) fn tenant(self, name: &str) -> Self {
        self.with("x-inferneo-tenant", name)
    }

    /// Sends every request with this API key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.with("authorization", &format!("Bearer {key}"))
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Sends a request whose connection may be gone.
    pub(crate) async fn try_send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri).body(Full::new(body.into())).unwrap();
        request.headers_mut().extend(self.headers.clone());
        let exchange = async {
            let response = self.connections.request(request).await.map_err(|e| format!("{e:?}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(LONGEST, exchange).await.map_err(|_| "no answer within two minutes".to_owned())?
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body.to_string()).await
    }

    /// `POST /v1/embeddings`.
    pub(crate) async fn embed(&self, model: &str, input: impl Into<Value>) -> Answer {
        self.post("/v1/embeddings", json!({"model": model, "input": input.into()})).await
    }

    /// A v2 request.
    pub(crate) async fn infer(&self, model: &str, body: Value) -> Answer {
        self.post(&format!("/v2/models/{model}/infer"), body).await
    }

    /// A v2 request of texts.
    pub(crate) async fn infer_texts(&self, model: &str, texts: &[&str]) -> Answer {
        self.infer(model, json!({"inputs": [input("text", "BYTES", &[texts.len()], json!(texts))]})).await
    }

    /// A v2 request whose inputs' data comes as bytes behind the JSON, and whose answer's does too.
    pub(crate) async fn infer_bytes(&self, model: &str, inputs: &[Raw<'_>]) -> Answer {
        let heads = inputs.iter().map(|(name, datatype, shape, data)| {
            let size = json!({"binary_data_size": data.len()});
            json!({"name": name, "datatype": datatype, "shape": shape, "parameters": size})
        });
        let head = json!({"inputs": heads.collect::<Vec<_>>(), "parameters": {"binary_data_output": true}}).to_string();
        let client = self.clone().with(JSON_LENGTH, &head.len().to_string());
        let mut body = head.into_bytes();
        inputs.iter().for_each(|(.., data)| body.extend_from_slice(data));
        client.send("POST", &format!("/v2/models/{model}/infer"), body).await
    }
}

/// An input whose data is bytes: name, datatype, shape, data.
pub(crate) type Raw<'a> = (&'a str, &'a str, Vec<usize>, Vec<u8>);

/// One input of a v2 request.
pub(crate) fn input(name: &str, datatype: &str, shape: &[usize], data: Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What `x-inferneo-batch` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) rows: u64,
    pub(crate) tokens: u64,
    pub(crate) padded: u64,
    pub(crate) policy: String,
    pub(crate) generation: u64,
    pub(crate) batches: u64,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// A header, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// This answer, which must be a good one.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }

    /// The batch it was answered from.
    pub(crate) fn batch(&self) -> Batch {
        let header = self.header("x-inferneo-batch");
        let find = |key: &str| header.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| find(key).and_then(|n| n.parse().ok());
        let missing = || panic!("{header:?}: {}", self.text());
        Batch {
            rows: number("rows").unwrap_or_else(missing),
            tokens: number("tokens").unwrap_or_else(missing),
            padded: number("padded").unwrap_or_else(missing),
            policy: find("policy").unwrap_or_default().to_owned(),
            generation: number("generation").unwrap_or_else(missing),
            batches: number("batches").unwrap_or(1),
        }
    }

    /// The message of a refusal, which must have this status and reason, in the protocol's own shape.
    pub(crate) fn refusal(&self, status: u16, reason: &str) -> String {
        let text = self.text();
        assert_eq!((self.status.as_u16(), self.header("x-inferneo-reason")), (status, reason), "{text}");
        let json = self.json();
        let retry: Option<u64> = self.header("retry-after").parse().ok();
        assert_eq!(retry.is_some(), matches!(status, 429 | 503), "retry-after {retry:?} with {status}");
        let message = match &json["error"] {
            Value::String(message) => {
                assert_eq!(json["reason"], reason, "{text}");
                message
            }
            error => {
                assert_eq!(error["code"], reason, "{text}");
                assert!(error["type"].is_string(), "{text}");
                error["message"].as_str().unwrap()
            }
        };
        assert!(!message.is_empty(), "{text}");
        message.to_owned()
    }

    /// The vectors of an OpenAI answer.
    pub(crate) fn vectors(&self) -> Vec<Vec<f32>> {
        let json = self.json();
        let data = json["data"].as_array().unwrap_or_else(|| panic!("{}", self.text()));
        data.iter().map(|row| floats(&row["embedding"])).collect()
    }

    /// One output of a v2 answer: its shape and elements.
    pub(crate) fn output(&self, name: &str) -> (Vec<usize>, Value) {
        let json = self.json();
        let outputs = json["outputs"].as_array().unwrap_or_else(|| panic!("{}", self.text()));
        let output = outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("{}", self.text()));
        (shape(output), output["data"].clone())
    }

    /// The outputs of a v2 answer whose data came as bytes: name, shape and data.
    pub(crate) fn binary(&self) -> Vec<(String, Vec<usize>, Bytes)> {
        assert_eq!(self.status, 200, "{}", self.text());
        let length: usize = self.header(JSON_LENGTH).parse().unwrap_or_else(|_| panic!("{}", self.text()));
        let (head, mut rest) = (self.body.slice(..length), self.body.slice(length..));
        let head: Value = serde_json::from_slice(&head).unwrap();
        let outputs = head["outputs"].as_array().unwrap().iter().map(|output| {
            let size = output["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
            (output["name"].as_str().unwrap().to_owned(), shape(output), rest.split_to(size))
        });
        let outputs = outputs.collect();
        assert!(rest.is_empty());
        outputs
    }
}

fn shape(output: &Value) -> Vec<usize> {
    output["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
}

/// The numbers of a JSON array.
pub(crate) fn floats(array: &Value) -> Vec<f32> {
    array.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Prometheus' text form.
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The sum of a name's samples that carry all of these labels; zero where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let words: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with(['{', ' ']) && words.iter().all(|w| rest.contains(w)));
        samples.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}
