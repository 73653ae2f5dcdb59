//! A backend that answers by echo, and models to ask it for.

use super::{Backend, Front, Held, InferFuture, Limits, Pool, Upstream};
use crate::error::{Error, Reason};
use crate::metrics::Metrics;
use crate::model::{Datatype, Dim, Model, ModelSpec, ModelState, Registry, Task, TensorSpec};
use crate::readiness::Readiness;
use crate::request::{Answer, BatchSummary, InferReply, InferRequest, Payload, Tensor, Timing, Want};
use crate::text::{Pooling, Tokenizer};
use crate::types::{ModelId, Priority, Time};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tower::ServiceExt;

/// What the backend was last asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) tenant: String,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Time>,
    /// Tokens of each text item.
    pub(super) lens: Vec<usize>,
}

/// Answers tensors with themselves, and texts with `[tokens, first id, 1, 0]`.
#[derive(Debug, Default)]
pub(super) struct Echo {
    pub(super) refuse: Mutex<Option<Error>>,
    pub(super) refuse_room: Mutex<Option<Error>>,
    pub(super) max_rows: Mutex<Option<u32>>,
    pub(super) asked: Mutex<Option<Asked>>,
    /// Replaces a tensor's data on its way back.
    pub(super) instead: Mutex<Option<Bytes>>,
    pub(super) hang: Mutex<bool>,
    pub(super) arrived: Notify,
    pub(super) cancelled: Arc<Notify>,
    pub(super) held: Arc<AtomicUsize>,
}

struct Room(Arc<AtomicUsize>, usize);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Backend for Echo {
    fn infer(&self, request: InferRequest) -> InferFuture<'_> {
        Box::pin(async move {
            if *self.hang.lock().unwrap() {
                let _dropped = NotifyOnDrop(Arc::clone(&self.cancelled));
                self.arrived.notify_one();
                return std::future::pending().await;
            }
            if let Some(error) = self.refuse.lock().unwrap().clone() {
                return Err(error);
            }
            let lens =
                request.items.iter().filter_map(|i| if let Payload::Tokens(t) = i { Some(t.ids.len()) } else { None });
            *self.asked.lock().unwrap() = Some(Asked {
                tenant: request.tenant.to_string(),
                priority: request.priority,
                deadline: request.deadline,
                lens: lens.collect(),
            });
            Ok(self.answer(&request))
        })
    }

    fn reserve(&self, bytes: usize) -> Result<Held, Error> {
        if let Some(error) = self.refuse_room.lock().unwrap().clone() {
            return Err(error);
        }
        self.held.fetch_add(bytes, Ordering::SeqCst);
        Ok(Box::new(Room(Arc::clone(&self.held), bytes)))
    }

    fn max_rows(&self) -> u32 {
        self.max_rows.lock().unwrap().unwrap_or(u32::MAX)
    }
}

impl Echo {
    fn answer(&self, request: &InferRequest) -> InferReply {
        let ms = Duration::from_millis;
        InferReply {
            answers: request.items.iter().map(|item| self.one(item, &request.want)).collect(),
            timing: Timing { queue: ms(1), assemble: Duration::from_micros(20), compute: ms(3) },
            batch: BatchSummary {
                rows: 12,
                tokens: 410,
                padded: 480,
                policy: "default".into(),
                generation: 3,
                batches: u32::try_from(request.items.len()).unwrap(),
            },
        }
    }

    fn one(&self, item: &Payload, want: &Want) -> Answer {
        match (item, want) {
            (Payload::Tokens(tokens), Want::Embedding) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                Answer::Embedding(vec![tokens.ids.len() as f32, tokens.ids[0] as f32, 1.0, 0.0])
            }
            (Payload::Tokens(tokens), Want::Outputs(_)) => {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let data = [tokens.ids.len() as f32, 0.5].map(f32::to_le_bytes).concat();
                Answer::Outputs(vec![Tensor { datatype: Datatype::Fp32, shape: vec![1, 2], data: data.into() }])
            }
            (Payload::Tensors(item), Want::Outputs(indices)) => {
                let mut tensors: Vec<Tensor> = indices.iter().map(|&i| item.tensors[i].clone()).collect();
                if let Some(data) = self.instead.lock().unwrap().clone() {
                    tensors[0].data = data;
                }
                Answer::Outputs(tensors)
            }
            (Payload::Tensors(_), Want::Embedding) => panic!("tensors are never embedded"),
        }
    }
}

fn tensor(name: &str, datatype: Datatype) -> TensorSpec {
    let dims = vec![Dim::Batch, Dim::Free("n".into())];
    TensorSpec { name: name.into(), datatype, dims, pad: 0.0 }
}

fn model(name: &str, tensors: &[(&str, Datatype)], task: Task, tokenizer: Option<Tokenizer>) -> Arc<Model> {
    let spec = ModelSpec {
        inputs: tensors.iter().map(|(name, datatype)| tensor(name, *datatype)).collect(),
        outputs: tensors.iter().map(|(name, datatype)| tensor(&format!("{name}_out"), *datatype)).collect(),
        batchable: true,
        pads: false,
        task,
        max_length: Some(8),
    };
    let model = Model::new(ModelId(0), name, spec, tokenizer, 1_700_000_000);
    model.set_state(ModelState::Ready);
    Arc::new(model)
}

/// Words `w0` to `w9`, with their ids; anything else is 10.
pub(super) fn tokenizer() -> Tokenizer {
    let words: Vec<String> = (0..10).map(|i| format!("\"w{i}\":{i}")).collect();
    let json = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"WhitespaceSplit"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{},"unknown":10}},"unk_token":"unknown"}}}}"#,
        words.join(",")
    );
    Tokenizer::from_bytes(json.as_bytes()).unwrap()
}

/// `embed` and `classify` take text; `echo-FP32` and its like take tensors `x`; `two` takes `a` and `b`.
pub(super) fn models() -> Vec<Arc<Model>> {
    let ids = [("input_ids", Datatype::Int64)];
    let embedding = Task::Embedding { output: 0, pooling: Pooling::Mean, normalize: true, dimensions: 4 };
    let classifier = Task::Classifier { output: 0, labels: vec!["no".into(), "yes".into()] };
    let mut models = vec![
        model("embed", &ids, embedding, Some(tokenizer())),
        model("classify", &ids, classifier, Some(tokenizer())),
        model("two", &[("a", Datatype::Fp32), ("b", Datatype::Int32)], Task::Tensors, None),
    ];
    let echo = |d: Datatype| model(&format!("echo-{}", d.name()), &[("x", d)], Task::Tensors, None);
    models.extend(Datatype::ALL.map(echo));
    models
}

/// A front over an [`Echo`], and both ends of it.
pub(super) struct World {
    pub(super) echo: Arc<Echo>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) registry: Arc<Registry>,
    pub(super) limits: Limits,
    pub(super) upstream: Option<Upstream>,
}

impl World {
    pub(super) fn new() -> Self {
        let registry = Arc::new(Registry::new(models()));
        Self {
            echo: Arc::default(),
            metrics: Arc::new(Metrics::new().unwrap()),
            readiness: Arc::new(Readiness::new(Arc::clone(&registry))),
            registry,
            limits: Limits {
                max_body_bytes: 64 << 10,
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
            },
            upstream: None,
        }
    }

    pub(super) fn front(&self) -> Front {
        Front {
            registry: Arc::clone(&self.registry),
            backend: Arc::clone(&self.echo) as Arc<dyn Backend>,
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            limits: self.limits.clone(),
            pool: Pool::new(2),
            upstream: self.upstream.clone(),
        }
    }

    pub(super) fn router(&self) -> Router {
        self.front().router()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Answered {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(super) fn refuse(&self, reason: Reason) {
        *self.echo.refuse.lock().unwrap() = Some(Error::new(reason, "because"));
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message of a refusal, which must have this status and reason.
    pub(super) fn refusal(&self, status: u16, reason: &str) -> String {
        let text = self.text();
        assert_eq!((self.status.as_u16(), self.header("x-inferneo-reason")), (status, reason), "{text}");
        let json = self.json();
        match &json["error"] {
            serde_json::Value::String(message) => {
                assert_eq!(json["reason"], reason);
                message.clone()
            }
            error => {
                assert_eq!(error["code"], reason);
                error["message"].as_str().unwrap().to_owned()
            }
        }
    }
}
