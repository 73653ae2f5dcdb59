//! Runs with bound inputs and outputs, as on a GPU, against plain ones: the same code in ordinary memory.

use crate::exec::{job, ready, run, runtime};
use crate::harness::cached;
use inferneo::exec::{
    Backend, Failure, ModelFile, OnnxBackend, SessionSettings, WorkerConfig, WorkerEvent, WorkerHandle, probe, spawn,
};
use inferneo::model::{Datatype, Dim, Folder, Model, ModelSpec, TextInput};
use inferneo::request::{Answer, Payload, Tensor, TensorItem, Want};
use inferneo::types::{ModelId, ShapeClass, WorkerId};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A session, and what it says.
type Worker = (WorkerHandle, Receiver<WorkerEvent>);

fn worker(model: &Arc<Model>, path: &Path, bound: bool) -> Worker {
    let (runtime, path, spec) = (runtime(), path.to_owned(), model.spec.clone());
    let (events, told) = channel();
    let config = WorkerConfig { id: WorkerId(0), name: "worker".into(), model: Arc::clone(model), warm_up: None };
    let make = move || {
        let backend = OnnxBackend::new(&ModelFile::new(&runtime, &path), &spec, &SessionSettings::cpu(1))?;
        Ok(Box::new(if bound { backend.bound()? } else { backend }) as Box<dyn Backend>)
    };
    let handle = spawn(config, make, move |event| events.send(event).unwrap()).unwrap();
    ready(&told);
    (handle, told)
}

/// Every input of a model, `rows` × `len` large, of small numbers that begin at `first`.
fn payload(spec: &ModelSpec, rows: u32, len: u32, first: usize) -> Payload {
    let tensors = spec.inputs.iter().map(|input| {
        let size = |dim: &Dim| match dim {
            Dim::Batch => rows as usize,
            Dim::Length => len as usize,
            Dim::Fixed(n) => *n,
            Dim::Free(_) => 3,
        };
        let shape: Vec<usize> = input.dims.iter().map(size).collect();
        let mask = input.text_input() == Some(TextInput::Mask);
        let number = |i: usize| if mask { 1 } else { ((first + i) % 2) as u8 };
        let element = |i: usize| match input.datatype {
            Datatype::Fp16 => vec![0, 0x3C * number(i)],
            Datatype::Fp32 => f32::from(number(i)).to_le_bytes().to_vec(),
            Datatype::Bytes => vec![1, 0, 0, 0, b'a' + number(i)],
            integer => [&[number(i)][..], &vec![0; integer.size().unwrap() - 1]].concat(),
        };
        let data: Vec<u8> = (0..shape.iter().product()).flat_map(element).collect();
        Tensor { datatype: input.datatype, shape, data: data.into() }
    });
    Payload::Tensors(TensorItem { rows, len, class: ShapeClass(0), irregular: None, tensors: tensors.collect() })
}

/// A batch of items of these rows, all outputs wanted.
fn answers(worker: &Worker, model: &Arc<Model>, rows: &[u32], len: u32, first: usize) -> Result<Vec<Answer>, Failure> {
    let want = || Want::Outputs((0..model.spec.outputs.len()).collect());
    let items = rows.iter().map(|rows| (payload(&model.spec, *rows, len, first), want())).collect();
    run(&worker.0, &worker.1, job(model, len, items))
}

fn open(folder: &str) -> (Arc<Model>, Folder) {
    let folder = Folder::open(cached("models").join(folder)).unwrap();
    let io = probe(&runtime(), folder.onnx()).unwrap();
    let spec = ModelSpec::resolve(&io, &folder).unwrap();
    (Arc::new(Model::new(ModelId(0), "m", spec, None, 0)), folder)
}

#[test]
fn bound_runs_answer_as_plain_ones() {
    let tests = std::fs::read_dir(cached("models/test")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = tests.filter(|path| path.is_dir()).collect();
    names.push(cached("models/minilm"));
    assert!(names.len() > 10, "{names:?}");
    let mut compared = 0;
    for name in names {
        let (model, folder) = open(name.to_str().unwrap());
        let (plain, bound) = (worker(&model, folder.onnx(), false), worker(&model, folder.onnx(), true));
        let batches: [&[u32]; 4] = if model.spec.batchable { [&[2, 1], &[1], &[4, 4, 1], &[1, 2]] } else { [&[1]; 4] };
        // Larger and smaller in turn: buffers are used again, and grow.
        for (first, (rows, len)) in batches.into_iter().zip([6, 9, 3, 8]).enumerate() {
            let expected = answers(&plain, &model, rows, len, first);
            assert_eq!(answers(&bound, &model, rows, len, first), expected, "{name:?} {rows:?} × {len}");
            compared += usize::from(expected.is_ok());
        }
    }
    assert!(compared > 30, "only {compared} batches ran at all");
}

#[test]
fn an_answer_that_is_held_is_not_written_into() {
    let (model, folder) = open("test/identity");
    let bound = worker(&model, folder.onnx(), true);
    let held: Vec<_> = (0..4).map(|first| answers(&bound, &model, &[3], 4, first).unwrap()).collect();
    for (first, held) in held.iter().enumerate() {
        let Payload::Tensors(item) = payload(&model.spec, 3, 4, first) else { panic!() };
        assert_eq!(held, &[Answer::Outputs(item.tensors)], "answer {first}");
    }
}

#[test]
fn a_bound_run_that_fails_leaves_nothing_behind() {
    let (model, folder) = open("test/identity");
    let bound = worker(&model, folder.onnx(), true);
    let three = Tensor { datatype: Datatype::Fp32, shape: vec![1, 3], data: vec![0; 12].into() };
    let item = TensorItem { rows: 1, len: 1, class: ShapeClass(0), irregular: None, tensors: vec![three] };
    let bad = job(&model, 1, vec![(Payload::Tensors(item), Want::Outputs(vec![0]))]);
    let failure = run(&bound.0, &bound.1, bad);
    assert!(matches!(&failure, Err(Failure::Failed(message)) if message.contains("dimension")), "{failure:?}");
    answers(&bound, &model, &[2], 4, 0).unwrap();
}

#[test]
fn a_recorded_run_tells_which_provider_ran_each_node() {
    let (model, folder) = open("minilm");
    let (tell, told) = channel();
    let tell = move |nodes: &inferneo::exec::Nodes| tell.send(nodes.clone()).unwrap();
    let settings = SessionSettings::cpu(1);
    let (runtime, path, spec) = (runtime(), folder.onnx().to_owned(), model.spec.clone());
    let make = move || {
        Ok(Box::new(OnnxBackend::recorded(&ModelFile::new(&runtime, &path), &spec, &settings, tell)?)
            as Box<dyn Backend>)
    };
    let (events, heard) = channel();
    let config = WorkerConfig { id: WorkerId(0), name: "worker".into(), model: Arc::clone(&model), warm_up: None };
    let worker = (spawn(config, make, move |event| events.send(event).unwrap()).unwrap(), heard);
    ready(&worker.1);
    assert!(told.try_recv().is_err(), "nothing has run yet");
    let recorded = answers(&worker, &model, &[2], 8, 0).unwrap();
    let nodes = told.try_recv().unwrap();
    let [(provider, count)] = &Vec::from_iter(&nodes)[..] else { panic!("{nodes:?}") };
    assert!(*provider == "CPUExecutionProvider" && **count > 20, "{nodes:?}");
    assert_eq!(answers(&worker, &model, &[2], 8, 0).unwrap(), recorded);
    let own = format!("inferneo-{}-", std::process::id());
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with(&own)).count(), 0, "a record is left behind");
}
