//! The driver between callers and workers, over fake backends whose every run a test ends by hand.

use super::*;
use crate::clock;
use crate::error::Reason;
use crate::exec::{self, Backend, Failure, Fake, FakeRun, WorkerConfig, WorkerHandle};
use crate::metrics::Metrics;
use crate::model::{Datatype, Dim, Mode, Model, ModelSpec, ModelState, Task, TensorSpec};
use crate::policy::{Source, compile};
use crate::request::{Answer, Payload, Tokens, Want};
use crate::text::Pooling;
use crate::types::{self, DeviceId, ModelId, Priority, Time};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

mod devices;
mod failing;
mod health;
mod here;
mod lost;
mod reloading;
mod serving;
mod telling;
mod unloading;

/// Every request by itself.
const ALONE: &str = "dynamic_batching = false";

/// Rows of this token fail.
const GUILTY: u32 = 13;

/// A run that waits to be ended.
#[derive(Debug)]
struct Held {
    worker: WorkerId,
    run: FakeRun,
    end: std::sync::mpsc::Sender<Result<(), Failure>>,
}

impl Held {
    /// First tokens of its rows, sorted.
    fn heads(&self) -> Vec<i64> {
        let mut heads = self.run.heads.clone();
        heads.sort_unstable();
        heads
    }

    fn end(self, result: Result<(), Failure>) {
        self.end.send(result).unwrap();
    }
}

/// A driver over fake workers of one model, and both ends of it.
struct World {
    handle: Handle,
    driver: JoinHandle<Vec<WorkerHandle>>,
    model: Arc<Model>,
    metrics: Arc<Metrics>,
    /// Runs as they begin.
    runs: mpsc::UnboundedReceiver<Held>,
}

type Begin = Arc<dyn Fn(WorkerId, &FakeRun) -> Result<(), Failure> + Send + Sync>;

impl World {
    /// Workers whose runs each wait for [`Held::end`].
    async fn held(workers: u32, policy: &str) -> Self {
        let (begun, runs) = mpsc::unbounded_channel();
        let begin = move |worker, run: &FakeRun| {
            let (end, ended) = std::sync::mpsc::channel();
            // A test that is over ends the run.
            drop(begun.send(Held { worker, run: run.clone(), end }));
            ended.recv().unwrap_or(Ok(()))
        };
        Self::start(workers, policy, Arc::new(begin), runs).await
    }

    /// Workers whose runs end as `script` says.
    async fn scripted(
        workers: u32,
        policy: &str,
        script: impl Fn(&FakeRun) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let (_, runs) = mpsc::unbounded_channel();
        Self::start(workers, policy, Arc::new(move |_, run: &FakeRun| script(run)), runs).await
    }

    async fn start(workers: u32, policy: &str, begin: Begin, runs: mpsc::UnboundedReceiver<Held>) -> Self {
        Self::with(Arc::new(Metrics::new().unwrap()), workers, policy, begin, runs).await
    }

    async fn with(
        metrics: Arc<Metrics>,
        workers: u32,
        policy: &str,
        begin: Begin,
        runs: mpsc::UnboundedReceiver<Held>,
    ) -> Self {
        let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
        let plans = (0..workers).map(|id| plan(WorkerId(id), &model, &begin)).collect();
        let (driver, handle) = Driver::start(policies(policy, 1), plans, Arc::clone(&metrics)).unwrap();
        let world = Self { handle, driver: tokio::spawn(driver.run()), model, metrics, runs };
        world.until(|world| world.model.state() == ModelState::Ready).await;
        world
    }

    fn request(&self, items: &[&[u32]]) -> InferRequest {
        let payload = |ids: &&[u32]| Payload::Tokens(Tokens { ids: ids.to_vec(), type_ids: Vec::new() });
        InferRequest {
            id: "r".into(),
            model: Arc::clone(&self.model),
            tenant: "".into(),
            priority: Priority(0),
            deadline: None,
            items: items.iter().map(payload).collect(),
            want: Want::Embedding,
        }
    }

    /// Sends a request of its own task; each item is one row.
    fn ask(&self, items: &[&[u32]]) -> JoinHandle<Result<InferReply, Error>> {
        self.send(self.request(items))
    }

    fn send(&self, request: InferRequest) -> JoinHandle<Result<InferReply, Error>> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.infer(request).await })
    }

    async fn next_run(&mut self) -> Held {
        self.runs.recv().await.unwrap()
    }

    /// Lets the driver and its workers go on until `condition` holds; fails after a minute.
    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let end = clock::now() + Duration::from_secs(60);
        while !condition(self) {
            assert!(clock::now() < end, "waited a minute");
            // Not a yield: a paused clock only moves while nothing is ready to run.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until so many rows wait or run.
    async fn rows(&self, rows: i64) {
        self.until(|world| world.metrics.inflight_rows().get() == rows).await;
    }
}

fn spec() -> ModelSpec {
    let tensor = |name: &str, datatype, dims: &[Dim]| TensorSpec::new(name, datatype, dims.to_vec());
    let dims = [Dim::Batch, Dim::Length, Dim::Fixed(1)];
    ModelSpec {
        inputs: ["input_ids", "attention_mask"].map(|name| tensor(name, Datatype::Int64, &dims[..2])).into(),
        outputs: vec![tensor("hidden", Datatype::Fp32, &dims)],
        batchable: true,
        pads: true,
        task: Task::Embedding { output: 0, pooling: Pooling::Cls, normalize: false, dimensions: 1 },
        max_length: None,
        ..ModelSpec::default()
    }
}

fn plan(id: WorkerId, model: &Arc<Model>, begin: &Begin) -> WorkerPlan {
    let (owner, begin) = (Arc::clone(model), Arc::clone(begin));
    let start = move |events| {
        let config = WorkerConfig { id, name: format!("fake/{id}"), model: Arc::clone(&owner), warm_up: None };
        let (spec, begin) = (owner.spec.clone(), Arc::clone(&begin));
        let make = move || Ok(Box::new(Fake::new(spec, move |run| begin(id, run))) as Box<dyn Backend>);
        exec::spawn(config, make, events)
    };
    let device_name = "cpu".into();
    WorkerPlan { id, model: Arc::clone(model), device: DeviceId(0), device_name, here: false, start: Box::new(start) }
}

/// One policy for everybody.
fn policies(text: &str, generation: u64) -> Arc<PolicySet> {
    Arc::new(compile(&[Source { name: "only.toml".into(), text: text.into() }], &[], generation).unwrap())
}

/// The answers' values: the first token of each row.
fn values(reply: InferReply) -> Vec<f32> {
    let value = |answer| match answer {
        Answer::Embedding(vector) => vector[0],
        other => panic!("{other:?}"),
    };
    reply.answers.into_iter().map(value).collect()
}
