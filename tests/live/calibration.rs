//! A recorded run, simulated: the driver with workers whose runs take known times, and `inferneo simulate` beside it.
//!
//! The runs sleep, so that a machine with other work delays them but does not change what they cost.

use crate::harness::{folder, program};
use inferneo::clock;
use inferneo::dispatch::{Driver, Handle, WorkerPlan, recorded_models};
use inferneo::exec::{Backend, Fake, FakeRun, WorkerConfig, spawn};
use inferneo::metrics::Metrics;
use inferneo::model::{Datatype, Dim, Model, ModelSpec, ModelState, Task, TensorSpec};
use inferneo::policy::{Source, compile};
use inferneo::request::{InferRequest, Payload, Tokens, Want};
use inferneo::text::Pooling;
use inferneo::trace::{Load, Trace};
use inferneo::types::{DeviceId, ModelId, Priority, WorkerId};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How far a simulated latency may be off the measured one.
const OFF: f64 = 0.15;
const POLICY: &str = "batch.max_batch_size = 8";

/// Draws that are the same each time (splitmix64).
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
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

/// A worker whose runs take 6 ms and 0.3 ms a token, give or take a quarter.
fn worker(id: u32, model: &Arc<Model>) -> WorkerPlan {
    let owner = Arc::clone(model);
    let start = move |events| {
        let config =
            WorkerConfig { id: WorkerId(id), name: format!("fake/{id}"), model: Arc::clone(&owner), warm_up: None };
        let (spec, mut chance) = (owner.spec.clone(), Chance(u64::from(id)));
        let run = move |run: &FakeRun| {
            let ms = 6.0 + 0.3 * (run.rows * run.len) as f64;
            std::thread::sleep(Duration::from_secs_f64(ms / 1e3 * (0.75 + 0.5 * chance.unit())));
            Ok(())
        };
        spawn(config, move || Ok(Box::new(Fake::new(spec, run)) as Box<dyn Backend>), events)
    };
    let device_name = "cpu".to_owned();
    let (id, model, start) = (WorkerId(id), Arc::clone(model), Box::new(start));
    WorkerPlan { id, model, device: DeviceId(0), device_name, here: false, start }
}

/// Requests at times drawn beforehand, so many a second, until the recording is over.
async fn callers(handle: Handle, model: Arc<Model>, rate: f64, seconds: f64) {
    let (mut chance, mut at, mut asked) = (Chance(5), 0.0, JoinSet::new());
    let begun = clock::now();
    while at < seconds {
        at -= (1.0 - chance.unit()).ln() / rate;
        tokio::time::sleep_until(clock::deadline(begun + Duration::from_secs_f64(at))).await;
        let ids = vec![1; 4 + (chance.unit().powi(2) * 40.0) as usize];
        let request = InferRequest {
            id: "r".into(),
            model: Arc::clone(&model),
            tenant: "".into(),
            priority: Priority(0),
            deadline: None,
            items: vec![Payload::Tokens(Tokens { ids, type_ids: Vec::new() })],
            want: Want::Embedding,
        };
        let handle = handle.clone();
        asked.spawn(async move { handle.infer(request).await.unwrap() });
    }
    asked.join_all().await;
}

/// Records so many seconds of a load on two workers.
async fn record(rate: f64, seconds: u64) -> Vec<u8> {
    let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
    let policies = compile(&[Source { name: "p.toml".into(), text: POLICY.into() }], &[], 1).unwrap();
    let workers = (0..2).map(|id| worker(id, &model)).collect();
    let (driver, handle) = Driver::start(Arc::new(policies), workers, Arc::new(Metrics::new().unwrap())).unwrap();
    let driver = tokio::spawn(driver.run());
    crate::harness::until("the workers", async || model.state() == ModelState::Ready).await;
    // It learns for a second before it is recorded.
    let load = tokio::spawn(callers(handle.clone(), Arc::clone(&model), rate, seconds as f64 + 1.0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let recording = handle.recorder().start(seconds, None, clock::now(), clock::wall_now()).unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let models = recorded_models(&[Arc::clone(&model)], &handle.report().await.unwrap());
    let lines = recording.finish(models, clock::now()).flatten().collect();
    load.await.unwrap();
    handle.drain();
    driver.await.unwrap();
    lines
}

/// The figures of the policy that was recorded, by the draws of one seed.
fn simulate(folder: &Path, seed: u32) -> Value {
    let mut command = program();
    command.args(["simulate", "--json", "--trace", "trace.jsonl", "--policy", "p.toml", "--seed"]);
    command.arg(seed.to_string()).current_dir(folder);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // Another process says the same, to the byte.
    assert_eq!(command.output().unwrap().stdout, said.stdout);
    serde_json::from_slice(&said.stdout).unwrap()
}

/// Simulated ÷ measured p50 and p99 of a recording: the median of five draws, because a 99th percentile of a thousand
/// requests rests on ten of them.
fn compare(rate: f64, lines: &[u8]) -> [f64; 2] {
    let trace = Trace::read(lines).unwrap();
    let folder = folder();
    std::fs::write(folder.path().join("trace.jsonl"), lines).unwrap();
    std::fs::write(folder.path().join("p.toml"), POLICY).unwrap();
    let drawn: Vec<_> = (1..=5).map(|seed| simulate(folder.path(), seed)).collect();
    let measured = trace.footer.measured["fake"].latency_ms.unwrap();
    assert_eq!(drawn[0][0]["recorded"]["fake"]["latency_ms"]["p50"], measured.p50);
    assert_eq!((trace.footer.load, &drawn[0][0]["warnings"]), (Load::Open, &Value::Array(Vec::new())));
    [("p50", measured.p50), ("p99", measured.p99)].map(|(key, measured)| {
        let mut simulated: Vec<_> = drawn.iter().map(|f| f[0]["latency_ms"][key].as_f64().unwrap()).collect();
        simulated.sort_by(f64::total_cmp);
        println!("{rate} a second: {key} {measured} ms, simulated {simulated:?}");
        simulated[2] / measured
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulation_of_a_recorded_load_is_near_to_what_was_measured() {
    let _alone = crate::ALONE.lock().await;
    // About 30, 60 and 80 % of what two workers do with such rows one by one.
    let recorded = tokio::join!(record(50.0, 15), record(100.0, 15), record(135.0, 15));
    let ratios = [compare(50.0, &recorded.0), compare(100.0, &recorded.1), compare(135.0, &recorded.2)];
    let [p50, mut p99] = [0, 1].map(|at| ratios.map(|of_load| of_load[at]));
    assert!(p50.iter().all(|ratio| (ratio - 1.0).abs() <= OFF), "{p50:?}");
    // A stall of the machine that tests share lands in the slowest hundredth of one load: the middle one counts.
    p99.sort_by(f64::total_cmp);
    assert!((p99[1] - 1.0).abs() <= OFF, "{p99:?}");
}
