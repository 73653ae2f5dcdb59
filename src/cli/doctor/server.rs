//! What a running server answers: whether it lives, is ready, and really infers.
//!
//! Decides what is asked, in which order, and which answers are failures. Knows the server through its
//! data plane alone, by the Open Inference Protocol.

use super::{Report, sample};
use crate::clock;
use crate::remote::{Connection, Target};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// How much of a refusal that is not this program's is shown, in characters.
const SHOWN: usize = 200;
/// The pause between two looks at a server that is not ready.
const LOOK: Duration = Duration::from_millis(200);

const NOT_LIVE: &str = "start `inferneo serve`, or give the URL of its data plane";
const NO_KEY: &str = "the server asks for an API key, and what it serves was not looked at: --api-key gives one";
const NOT_READY: &str = "GET /readyz of the admin plane names what stands in the way; --wait 1m waits for it";

/// Whom to ask for what.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) target: Target,
    /// The models to ask; every ready one where this is empty.
    pub(super) models: Vec<String>,
    /// The longest wait for one answer.
    pub(super) timeout: Duration,
    /// The longest wait for readiness.
    pub(super) wait: Option<Duration>,
    /// What to say in `authorization`.
    pub(super) key: Option<HeaderValue>,
}

/// Asks the server, on a runtime of its own.
pub(super) fn examine(question: &Question, report: &mut Report) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(ask_all(question, report)),
        Err(error) => report.failure(format!("cannot start: {error}")),
    }
}

async fn ask_all(question: &Question, report: &mut Report) {
    let mut server = Server::new(question);
    if let Some(wait) = question.wait {
        server.wait_ready(wait).await;
    }
    if let Err(error) = server.get("/v2/health/live").await {
        return report.failure(format!("{error}: {NOT_LIVE}"));
    }
    report.ok(format!("live at {}", question.target));
    match server.get("/v2/health/ready").await {
        Ok(_) => report.ok("ready"),
        Err(refusal) => report.failure(format!("not ready: {refusal}: {NOT_READY}")),
    }
    match server.metadata().await {
        Ok(about) => report.ok(about),
        // Probes of a server that asks for keys have none.
        Err(fault) if fault.asks_for_key() && question.key.is_none() => return report.warning(NO_KEY),
        Err(fault) if fault.asks_for_key() => return report.failure(fault),
        Err(fault) => report.failure(fault),
    }
    let index = match server.index().await {
        Ok(index) => index,
        Err(fault) => return report.failure(fault),
    };
    for name in chosen(&index, &question.models, report) {
        server.infer(name, report).await;
    }
}

/// The models to infer with: of those that are `wanted`, or of all, the ones that are ready.
fn chosen<'a>(index: &'a [Entry], wanted: &[String], report: &mut Report) -> Vec<&'a str> {
    for name in wanted.iter().filter(|name| index.iter().all(|entry| entry.name != **name)) {
        let known: Vec<&str> = index.iter().map(|entry| &*entry.name).collect();
        report.failure(format!("model {name} is not known; known: {}", known.join(", ")));
    }
    if index.is_empty() && wanted.is_empty() {
        report.warning("no model is served here: nothing to infer with");
    }
    let asked = index.iter().filter(|entry| wanted.is_empty() || wanted.contains(&entry.name));
    let mut ready = Vec::new();
    for Entry { name, state, reason } in asked {
        match (&**state, &**reason) {
            ("READY", _) => ready.push(&**name),
            (_, "unloaded") if wanted.is_empty() => report.warning(format!(
                "model {name} is unloaded, and was not asked: POST /v2/repository/models/{name}/load loads it"
            )),
            (state, "") => report.failure(format!("model {name} is {state}: the server's log says why")),
            (state, reason) => report.failure(format!("model {name} is {state}, {reason}: the server's log says why")),
        }
    }
    ready
}

/// One model of the repository index.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    reason: String,
}

/// Why a question has no good answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot reach {0}: {1}")]
    Unreachable(Target, std::io::Error),
    #[error("no answer to {0} within {1:?}")]
    Silent(String, Duration),
    #[error("{path} is answered {status}{}: {message}", .reason.as_ref().map(|r| format!(" {r}")).unwrap_or_default())]
    Refused { path: String, status: u16, reason: Option<String>, message: String },
    #[error("the answer to {0} is not one of the protocol: {1}")]
    Nonsense(String, String),
}

impl Fault {
    fn asks_for_key(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }

    /// Whether the server is too busy for one more, and may well be in order.
    fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { reason: Some(reason), .. } if reason == "overloaded")
            || matches!(self, Self::Refused { status: 429, .. })
    }
}

/// A server, and how long it may take to answer.
#[derive(Debug)]
struct Server {
    target: Target,
    connection: Connection,
    timeout: Duration,
    key: Option<HeaderValue>,
}

impl Server {
    fn new(question: &Question) -> Self {
        let target = question.target.clone();
        Self {
            connection: Connection::new(target.clone()),
            target,
            timeout: question.timeout,
            key: question.key.clone(),
        }
    }

    /// Waits until the server says that it is ready, for `wait` at most.
    async fn wait_ready(&mut self, wait: Duration) {
        let until = clock::now() + wait;
        while self.get("/v2/health/ready").await.is_err() && clock::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the server says it is.
    async fn metadata(&mut self) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct About {
            name: String,
            version: String,
        }
        let answer = self.get("/v2").await?;
        let About { name, version } = read("/v2", &answer)?;
        Ok(format!("{name} {version}"))
    }

    async fn index(&mut self) -> Result<Vec<Entry>, Fault> {
        let path = "/v2/repository/index";
        let answer = self.exchange(Method::POST, path, Some(&json!({}))).await?;
        read(path, &answer)
    }

    /// Infers once with a model, on made-up input.
    async fn infer(&mut self, name: &str, report: &mut Report) {
        match self.try_infer(name).await {
            Ok(Ok(answered)) => report.ok(format!("model {name} infers: {answered}")),
            Ok(Err(why)) => {
                report.warning(format!("model {name} was not asked, because no made-up input of it runs: {why}"));
            }
            Err(fault) if fault.is_busy() => {
                report.warning(format!("model {name} is busy, and whether it infers is not known: {fault}"));
            }
            Err(fault) => report.failure(format!(
                "model {name} does not infer on made-up input: {fault}: try real input, and see the server's log"
            )),
        }
    }

    /// What it answered, or why it was not asked.
    async fn try_infer(&mut self, name: &str) -> Result<Result<String, String>, Fault> {
        let path = format!("/v2/models/{name}");
        let answer = self.get(&path).await?;
        let metadata = read::<sample::Metadata>(&path, &answer)?;
        if let Some(why) = metadata.no_sample {
            return Ok(Err(why));
        }
        let path = format!("{path}/infer");
        let request = metadata.request().map_err(|fault| Fault::Nonsense(path.clone(), fault))?;
        let sent = clock::now();
        let answer = self.exchange(Method::POST, &path, Some(&request)).await?;
        let took = clock::now().since(sent);
        let outputs = metadata.judge(&read::<Value>(&path, &answer)?).map_err(|fault| Fault::Nonsense(path, fault))?;
        Ok(Ok(format!("{outputs} in {:.1} ms", took.as_secs_f64() * 1e3)))
    }

    async fn get(&mut self, path: &str) -> Result<Bytes, Fault> {
        self.exchange(Method::GET, path, None).await
    }

    /// Sends a request and reads the whole answer, which must be 200.
    async fn exchange(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Fault> {
        let uri = self.target.uri(path).map_err(|error| Fault::Nonsense(path.to_owned(), error.to_string()))?;
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.target.host().clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        let answer = tokio::time::timeout(self.timeout, self.whole(path, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::Silent(path.to_owned(), self.timeout)));
        if answer.is_err() {
            // It may be in the middle of an answer.
            self.connection.close();
        }
        answer
    }

    async fn whole(&mut self, path: &str, request: Request<Full<Bytes>>) -> Result<Bytes, Fault> {
        let unreachable = |error| Fault::Unreachable(self.target.clone(), error);
        let (head, body) = self.connection.send(request).await.map_err(unreachable)?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| Fault::Nonsense(path.to_owned(), error.to_string()))?.to_bytes();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let reason = head.headers.get("x-inferneo-reason").and_then(|reason| reason.to_str().ok()).map(str::to_owned);
        Err(Fault::Refused { path: path.to_owned(), status: head.status.as_u16(), reason, message: message(&body) })
    }
}

fn read<T: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(answer).map_err(|error| Fault::Nonsense(path.to_owned(), error.to_string()))
}

/// The server's own words of a refusal.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice(body) {
        Ok(Refusal { error }) => error,
        Err(_) => String::from_utf8_lossy(body).chars().take(SHOWN).collect(),
    }
}
