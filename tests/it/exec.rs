//! The execution room against the real ONNX Runtime, on the real model and on tiny ones made here.
//!
//! Needs what `make setup` fetches into `.cache/`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use inferneo::exec::{
    Backend, Failure, Job, JobItem, ModelFile, OnnxBackend, Runtime, Sample, SessionSettings, WorkerConfig,
    WorkerEvent, WorkerHandle, probe, spawn, warm_up,
};
use inferneo::model::{Datatype, Dim, Model, ModelSpec, RawDim, RawIo, Task, TensorSpec};
use inferneo::request::{Answer, InferRequest, Payload, Tensor, TensorItem, Tokens, Want};
use inferneo::text::Pooling;
use inferneo::types::{BatchId, Device, ModelId, NamedFile, Priority, ShapeClass, WorkerId};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

fn cached(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(path);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

fn named(path: PathBuf) -> NamedFile {
    NamedFile { path, by: "a test".into() }
}

pub(crate) fn runtime() -> Arc<Runtime> {
    Runtime::load(Some(&named(cached("onnxruntime/libonnxruntime.so")))).unwrap()
}

fn minilm() -> PathBuf {
    cached("models/minilm/model.onnx")
}

fn minilm_spec(task: Task) -> ModelSpec {
    let dims = [Dim::Batch, Dim::Length, Dim::Fixed(384)];
    let spec = |name: &str, datatype, dims: &[Dim]| TensorSpec::new(name, datatype, dims.to_vec());
    let input = |name| spec(name, Datatype::Int64, &dims[..2]);
    ModelSpec {
        inputs: ["input_ids", "attention_mask", "token_type_ids"].map(input).to_vec(),
        outputs: vec![spec("last_hidden_state", Datatype::Fp32, &dims)],
        batchable: true,
        pads: true,
        task,
        max_length: Some(256),
        ..ModelSpec::default()
    }
}

fn embedder() -> Arc<Model> {
    let task = Task::Embedding { output: 0, pooling: Pooling::Mean, normalize: true, dimensions: 384 };
    Arc::new(Model::new(ModelId(0), "minilm", minilm_spec(task), None, 0))
}

/// Workers of one model that share their events.
fn workers(
    model: &Arc<Model>,
    path: &Path,
    instances: usize,
    warm: bool,
) -> (Vec<WorkerHandle>, Receiver<WorkerEvent>) {
    let (events, told) = channel();
    let mut parts = if warm { warm_up(&model.spec, Device::Cpu(0), instances) } else { Vec::new() }.into_iter();
    let start = |id: usize| {
        let (runtime, path, spec, events) = (runtime(), path.to_owned(), model.spec.clone(), events.clone());
        let config = WorkerConfig {
            id: WorkerId(id as u32),
            name: format!("worker-{id}"),
            model: model.clone(),
            warm_up: parts.next(),
        };
        let make = move || {
            Ok(Box::new(OnnxBackend::new(&ModelFile::new(&runtime, &path), &spec, &SessionSettings::cpu(1))?)
                as Box<dyn Backend>)
        };
        spawn(config, make, move |event| events.send(event).unwrap()).unwrap()
    };
    ((0..instances).map(start).collect(), told)
}

pub(crate) fn ready(told: &Receiver<WorkerEvent>) -> Vec<Sample> {
    match told.recv().unwrap() {
        WorkerEvent::Ready { samples, .. } => samples,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn job(model: &Arc<Model>, padded_len: u32, items: Vec<(Payload, Want)>) -> Job {
    let item = |(payload, want)| {
        let request = InferRequest {
            id: "r".into(),
            model: model.clone(),
            tenant: "".into(),
            priority: Priority(0),
            deadline: None,
            items: vec![payload],
            want,
        };
        JobItem { request: Arc::new(request), index: 0 }
    };
    Job { batch: BatchId(1), padded_len, reuse: false, items: items.into_iter().map(item).collect() }
}

pub(crate) fn run(handle: &WorkerHandle, told: &Receiver<WorkerEvent>, job: Job) -> Result<Vec<Answer>, Failure> {
    handle.submit(job).unwrap();
    match told.recv().unwrap() {
        WorkerEvent::Done(done) => done.result,
        other => panic!("{other:?}"),
    }
}

/// Distinct texts of token ids the vocabulary has.
fn ids(seed: u32, len: u32) -> Vec<u32> {
    let inner = (0..len - 2).map(|i| 2000 + (seed * 7919 + i * 104_729) % 20_000);
    [101].into_iter().chain(inner).chain([102]).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "differs by {worst}");
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    assert!(cosine > 0.9999, "cosine {cosine}");
}

#[test]
fn the_models_inputs_are_read_with_their_symbols() {
    let io = probe(&runtime(), &minilm()).unwrap();
    let names: Vec<_> = io.inputs.iter().map(|i| &*i.name).collect();
    assert_eq!(names, ["input_ids", "attention_mask", "token_type_ids"]);
    assert!(io.inputs.iter().all(|i| i.datatype == Datatype::Int64 && i.dims == io.inputs[0].dims));
    let [RawDim::Symbol(batch), RawDim::Symbol(length)] = &io.inputs[0].dims[..] else { panic!("{io:?}") };
    assert_ne!(batch, length);
    assert_eq!(io.outputs[0].dims.last(), Some(&RawDim::Fixed(384)));
}

#[test]
fn a_batch_of_mixed_lengths_answers_as_each_alone() {
    let model = embedder();
    let (handles, told) = workers(&model, &minilm(), 1, false);
    ready(&told);
    let rows: Vec<_> = [8, 3, 40, 17, 5, 40].iter().zip(1..).map(|(len, seed)| ids(seed, *len)).collect();
    let text = |ids: &[u32]| Payload::Tokens(Tokens { ids: ids.to_vec(), type_ids: Vec::new() });
    let item = |ids: &Vec<u32>| [(text(ids), Want::Embedding), (text(ids), Want::Outputs(vec![0]))];
    let together = run(&handles[0], &told, job(&model, 48, rows.iter().flat_map(item).collect())).unwrap();
    for (pair, row) in together.chunks_exact(2).zip(&rows) {
        let alone = run(&handles[0], &told, job(&model, row.len() as u32, item(row).into())).unwrap();
        let [Answer::Embedding(vector), Answer::Outputs(tensors)] = pair else { panic!() };
        let [Answer::Embedding(own), Answer::Outputs(own_tensors)] = &alone[..] else { panic!() };
        close(vector, own);
        assert_eq!(tensors[0].shape, [1, row.len(), 384]);
        close(&floats(&tensors[0]), &floats(&own_tensors[0]));
    }
}

#[test]
fn the_sweep_measures_both_instances_at_once() {
    let (_handles, told) = workers(&embedder(), &minilm(), 2, true);
    let samples = [ready(&told), ready(&told)].concat();
    // How far it gets in its time is the machine's affair; the first cell is always run.
    assert!(samples.iter().filter(|s| (s.rows, s.len, s.busy) == (1, 8, 2)).count() >= 2, "{samples:?}");
}

#[test]
fn every_datatype_goes_through_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    for datatype in Datatype::ALL {
        let path = dir.path().join(format!("{}.onnx", datatype.name()));
        std::fs::write(&path, identity_model(datatype)).unwrap();
        let RawIo { inputs, outputs, .. } = probe(&runtime(), &path).unwrap();
        assert_eq!((inputs[0].datatype, outputs[0].datatype), (datatype, datatype));
        assert_eq!(inputs[0].dims, [RawDim::Symbol("n".into()), RawDim::Fixed(2)]);
        let (model, told, handles) = identity(&path, datatype);
        let element = |v: u8| match datatype.size() {
            Some(size) => [&[v][..], &vec![0; size - 1]].concat(),
            None => [&[1, 0, 0, 0][..], &[b'a' + v]].concat(),
        };
        let tensor = |rows: usize| {
            let data = (0..rows * 2).flat_map(|i| element((i % 2) as u8)).collect::<Vec<_>>().into();
            Tensor { datatype, shape: vec![rows, 2], data }
        };
        let item = |rows| {
            let item = TensorItem {
                rows,
                len: 1,
                class: ShapeClass(0),
                irregular: None,
                tensors: vec![tensor(rows as usize)],
            };
            (Payload::Tensors(item), Want::Outputs(vec![0]))
        };
        let answers = run(&handles, &told, job(&model, 1, vec![item(2), item(1)])).unwrap();
        assert_eq!(answers, [2, 1].map(|rows| Answer::Outputs(vec![tensor(rows)])), "{datatype:?}");
        let alone = run(&handles, &told, job(&model, 1, vec![item(3)])).unwrap();
        assert_eq!(alone, [Answer::Outputs(vec![tensor(3)])], "{datatype:?}");
    }
}

#[test]
fn the_runtimes_refusal_is_a_failure_of_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, identity_model(Datatype::Fp32)).unwrap();
    let (model, told, handle) = identity(&path, Datatype::Fp32);
    let three = Tensor { datatype: Datatype::Fp32, shape: vec![1, 3], data: vec![0; 12].into() };
    let item = TensorItem { rows: 1, len: 1, class: ShapeClass(0), irregular: None, tensors: vec![three] };
    let failure = run(&handle, &told, job(&model, 1, vec![(Payload::Tensors(item), Want::Outputs(vec![0]))]));
    assert!(matches!(failure, Err(Failure::Failed(message)) if message.contains("dimension")));
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    for content in [None, Some("not a model")] {
        if let Some(text) = content {
            std::fs::write(&path, text).unwrap();
        }
        let error = probe(&runtime(), &path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_runtime_says_where_it_is_and_what() {
    let runtime = runtime();
    assert!(runtime.path().is_file());
    assert!(runtime.version().is_some_and(|v| v.starts_with("1.")), "{:?}", runtime.version());
    assert!(runtime.providers().iter().any(|p| p == "CPUExecutionProvider"));
    let other = Runtime::load(Some(&named("/dev/null/libonnxruntime.so".into()))).unwrap_err();
    assert!(other.to_string().contains("/dev/null"), "{other}");
}

#[test]
fn the_runtime_records_no_usage() {
    let home = tempfile::tempdir().unwrap();
    let doctor = Command::new(env!("CARGO_BIN_EXE_inferneo"))
        .arg("doctor")
        .env("INFERNEO_ONNXRUNTIME_LIBRARY", cached("onnxruntime/libonnxruntime.so"))
        .envs([("HOME", home.path()), ("XDG_CACHE_HOME", home.path())])
        .env_remove("ORT_DISABLE_TELEMETRY")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success() && said.contains("ONNX Runtime 1."), "{doctor:?}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a file was left behind");
}

fn identity(path: &Path, datatype: Datatype) -> (Arc<Model>, Receiver<WorkerEvent>, WorkerHandle) {
    let spec = |name: &str| TensorSpec::new(name, datatype, vec![Dim::Batch, Dim::Fixed(2)]);
    let spec = ModelSpec {
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        batchable: true,
        pads: false,
        task: Task::Tensors,
        max_length: None,
        ..ModelSpec::default()
    };
    let model = Arc::new(Model::new(ModelId(0), "identity", spec, None, 0));
    let (mut handles, told) = workers(&model, path, 1, true);
    ready(&told);
    (model, told, handles.remove(0))
}

/// `y = Identity(x)` on `[n, 2]`, in ONNX's protobuf form.
fn identity_model(datatype: Datatype) -> Vec<u8> {
    // TensorProto.DataType, in the order of `Datatype::ALL`.
    const CODES: [u8; 14] = [9, 2, 4, 12, 13, 3, 5, 6, 7, 10, 16, 1, 11, 8];
    let code = CODES[Datatype::ALL.iter().position(|d| *d == datatype).unwrap()];
    let field = |number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8], content].concat();
    let number = |number: u8, value: u8| vec![number << 3, value];
    let shape = [field(1, &field(2, b"n")), field(1, &number(1, 2))].concat();
    let tensor_type = [number(1, code), field(2, &shape)].concat();
    let value = |name: &[u8]| [field(1, name), field(2, &field(1, &tensor_type))].concat();
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Identity")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &value(b"x")), field(12, &value(b"y"))].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}
