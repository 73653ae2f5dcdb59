//! Whether requests of a model may share a batch: what its graph shows, and what made-up rows show.
//!
//! Decides both nets' verdict, and the sizes of made-up input. `serve`, `doctor` and `tune` ask here, so that they say the
//! same. Does not know where a model's files lie.

use super::Failure;
use super::backend::Backend;
use super::engine::Engine;
use super::onnx::ModelFile;
use super::synthetic;
use super::trial::{Moved, Tolerance, Tried, trial};
use super::warmup::Cell;
use crate::clock;
use crate::graph::proto::ModelProto;
use crate::graph::{Cause, Kind, Reading};
use crate::model::{Batching, Dim, Filling, MadeUp, Mode, Model, ModelSpec, Stacking, Task, TensorSpec};
use crate::request::Payload;
use std::sync::Arc;
use std::time::Duration;

/// How long sizes of made-up input are looked for.
const LOOKING: Duration = Duration::from_secs(3);
/// Sizes that are tried for a dimension that is open.
const SIZES: [usize; 10] = [8, 16, 32, 64, 128, 256, 4, 2, 1, 512];
/// What the made-up input is made of, the likeliest first.
const FILLINGS: [Filling; 3] = [Filling::Bytes, Filling::Flags, Filling::Ones];
/// The same where a graph may take sizes out of its input: three numbers below 256 can ask for all memory there is.
const SMALL_FIRST: [Filling; 3] = [Filling::Flags, Filling::Ones, Filling::Bytes];
/// Larger made-up input is not tried.
const MOST_BYTES: usize = 64 << 20;
/// `TensorProto.DataType` of half precision.
const HALF: [i32; 2] = [10, 16];

/// Makes a session of a model to try it in.
pub type MakeBackend<'a> = &'a dyn Fn(&ModelSpec) -> Result<Box<dyn Backend>, Failure>;

/// Finds out how a model's requests may run, and says so in its description. Makes a session and runs it; blocks for about
/// a second.
///
/// # Errors
/// When no session can be made.
pub fn settle(mut model: Model, stacking: Stacking, file: &ModelFile, make: MakeBackend<'_>) -> Result<Model, Failure> {
    let candidate = Candidate::of(&model.spec);
    let read = file.read(|graph| (candidate.read(graph), has_half(graph)));
    let (reading, half) = read.unwrap_or_else(|| (unread(&model.spec), false));
    for (input, bound) in model.spec.inputs.iter_mut().enumerate().map(|(at, i)| (i, reading.bounds.get(&at))) {
        input.bound = bound.copied();
    }
    let backend = make(&model.spec)?;
    let (found, backend) = find(model, backend, &reading);
    model = found;
    let rules = Rules { stacking, half, reading };
    Ok(match (model.spec.batchable, stacking.forbidden) {
        (_, true) => alone(model, "[batching] stack = false in model.toml forbids it".to_owned()),
        (true, false) => rules.judge(model, backend),
        (false, false) => rules.advise(model, backend, &candidate),
    })
}

/// What is asked of a graph: which inputs hold rows, and which outputs must.
struct Candidate {
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// A setting that names the batch dimension, where the names in the graph do not agree.
    mend: Option<String>,
}

impl Candidate {
    fn of(spec: &ModelSpec) -> Self {
        let names = |tensors: &[crate::model::TensorSpec]| tensors.iter().map(|t| t.name.clone()).collect();
        Self { inputs: names(&spec.inputs), outputs: names(&spec.outputs), mend: spec.batch_dim_to_name() }
    }

    fn read(&self, graph: &ModelProto) -> Reading {
        let inputs: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        graph.read(&inputs, &outputs)
    }
}

fn has_half(graph: &ModelProto) -> bool {
    graph.graph.as_ref().is_some_and(|graph| graph.initializer.iter().any(|tensor| HALF.contains(&tensor.data_type)))
}

/// Of a file that cannot be read nothing is known.
fn unread(spec: &ModelSpec) -> Reading {
    let cause = Cause {
        kind: Kind::Untraced,
        operator: "the file".to_owned(),
        node: String::new(),
        why: "cannot be read here".to_owned(),
    };
    Reading { faults: vec![Some(cause); spec.outputs.len()], ..Reading::default() }
}

/// The outputs that callers of a text model get, or all of one that takes tensors.
fn served(spec: &ModelSpec, output: usize) -> bool {
    match &spec.task {
        Task::Embedding { output: own, .. } | Task::Classifier { output: own, .. } => *own == output,
        Task::Tensors => true,
    }
}

fn alone(mut model: Model, why: String) -> Model {
    model.spec.batchable = false;
    model.spec.pads = false;
    model.spec.batching = Batching { mend: None, ..Batching::solo(why) };
    model.set_batching(model.spec.batching.clone());
    model
}

/// What is known before rows are tried.
struct Rules {
    stacking: Stacking,
    half: bool,
    reading: Reading,
}

impl Rules {
    /// Stacks a model, or not, as both nets say.
    fn judge(&self, model: Model, backend: Box<dyn Backend>) -> Model {
        if let Some(why) = self.shown(&model.spec) {
            return alone(model, why);
        }
        if let Some(MadeUp::Fails(why)) = &model.spec.made_up {
            let why = format!(
                "no made-up input runs, so it cannot be tried ({why}); give one by [inputs.NAME] sample in model.toml"
            );
            return alone(model, why);
        }
        let (mut model, tried) = self.tried(model, backend);
        match tried {
            Err(failure) => {
                let why = format!("made-up rows run alone, but not in one batch: {failure}");
                alone(model, why)
            }
            Ok(tried) => match self.moved(&model.spec, &tried.stacked) {
                Err(why) if !self.stacking.forced => alone(model, why),
                stacked => {
                    self.put(&mut model.spec, &tried, stacked.err());
                    model.set_batching(model.spec.batching.clone());
                    model
                }
            },
        }
    }

    /// What the graph shows against stacking.
    fn shown(&self, spec: &ModelSpec) -> Option<String> {
        let faults = spec.outputs.iter().zip(&self.reading.faults).enumerate();
        let mut against = faults.filter(|(at, _)| served(spec, *at)).filter_map(|(_, (output, fault))| {
            let fault = fault.as_ref().filter(|fault| fault.kind == Kind::Sizes || !self.stacking.forced)?;
            Some(format!("output `{}` is not one row for each of its own: {fault}", output.name))
        });
        against.next()
    }

    fn tried(&self, model: Model, backend: Box<dyn Backend>) -> (Model, Result<Tried, Failure>) {
        let shown = self.reading.faults.iter().all(Option::is_none);
        let model = Arc::new(model);
        let tried = trial(&model, backend, Tolerance { half: self.half, shown });
        let model = Arc::into_inner(model).expect("the trial keeps no model");
        (model, tried)
    }

    /// What the trial shows against stacking.
    fn moved(&self, spec: &ModelSpec, moved: &[Moved]) -> Result<(), String> {
        let own = spec.outputs.iter().zip(moved).enumerate().filter(|(at, _)| served(spec, *at));
        match own.map(|(_, found)| found).find(|(_, moved)| moved.differs) {
            None => Ok(()),
            Some((output, moved)) => Err(match moved.most.is_finite() {
                true => {
                    format!("in a batch, output `{}` differs by {:.1e} from the row alone", output.name, moved.most)
                }
                false => format!("in a batch, output `{}` has another shape than the row alone", output.name),
            }),
        }
    }

    /// Writes down that a model is stacked, and what is to be said of it.
    fn put(&self, spec: &mut ModelSpec, tried: &Tried, forced: Option<String>) {
        let most = |moved: &[Moved]| {
            let own = moved.iter().enumerate().filter(|(at, _)| served(spec, *at));
            own.map(|(_, moved)| moved.most).fold(0.0, f64::max)
        };
        let mut moved = most(&tried.stacked);
        let mut why = forced.map(|why| format!("{why}; [batching] variant = \"allow\" stacks it all the same"));
        if let Some(padded) = &tried.padded {
            match self.moved(spec, padded) {
                Ok(()) => moved = moved.max(most(padded)),
                Err(cause) => {
                    spec.pads = false;
                    why.get_or_insert(format!("rows are never padded: {cause}, where it is padded"));
                }
            }
        }
        let apart = self.reading.faults.iter().map(Option::is_none).zip(&tried.stacked);
        for (output, (shown, moved)) in spec.outputs.iter_mut().zip(apart) {
            output.stacks = (shown && !moved.differs) || self.stacking.forced;
        }
        spec.batching = Batching { mode: Mode::Stacked, why, mend: None, moved: Some(moved) };
    }

    /// Looks whether a model whose names do not agree could be stacked, and says with which setting.
    fn advise(&self, mut model: Model, backend: Box<dyn Backend>, candidate: &Candidate) -> Model {
        let runs = matches!(model.spec.made_up, Some(MadeUp::Runs(_)));
        let shown = self.reading.faults.iter().all(Option::is_none);
        if let Some(mend) = candidate.mend.as_ref().filter(|_| runs && shown) {
            let plain = model.spec.clone();
            for tensor in model.spec.inputs.iter_mut().chain(&mut model.spec.outputs) {
                tensor.dims[0] = Dim::Batch;
            }
            (model.spec.batchable, model.spec.pads) = (true, false);
            let (back, tried) = self.tried(model, backend);
            model = back;
            let passes = tried.is_ok_and(|tried| tried.stacked.iter().all(|moved| !moved.differs));
            model.spec = plain;
            model.spec.batching.mend = passes.then(|| mend.clone());
        }
        model.set_batching(model.spec.batching.clone());
        model
    }
}

/// Finds made-up input that the model runs on.
fn find(mut model: Model, backend: Box<dyn Backend>, reading: &Reading) -> (Model, Box<dyn Backend>) {
    let specs = sized(&model.spec, reading);
    let model_arc = Arc::new(model);
    let mut engine = Engine::new(Arc::clone(&model_arc), backend);
    let end = clock::now() + LOOKING;
    let (mut found, mut last) = (None, String::new());
    let is_shown = reading.faults.iter().all(Option::is_none);
    'looking: for spec in specs {
        for filling in if is_shown { FILLINGS } else { SMALL_FIRST } {
            match run(&mut engine, &spec, filling) {
                Ok(()) => {
                    found = Some((spec, filling));
                    break 'looking;
                }
                Err(failure) => last = failure.to_string(),
            }
            if clock::now() > end {
                break 'looking;
            }
        }
    }
    let backend = engine.into_backend();
    model = Arc::into_inner(model_arc).expect("the engine is gone");
    match found {
        Some((spec, filling)) => {
            model.spec = spec;
            model.spec.made_up = Some(MadeUp::Runs(filling));
        }
        None => model.spec.made_up = Some(MadeUp::Fails(last)),
    }
    (model, backend)
}

fn run(engine: &mut Engine, spec: &ModelSpec, filling: Filling) -> Result<(), Failure> {
    let len = spec.made_up_length();
    let cell = Cell { rows: 1, len };
    let payload = match spec.task {
        // What health checks and the warm-up make up, too.
        Task::Tensors => synthetic::tensors(spec, cell, 0, filling)?,
        _ => synthetic::payload(&engine.model, cell, 0)?,
    };
    let size = Payload::bytes(&payload);
    if size > MOST_BYTES {
        return Err(Failure::Failed(format!("made-up input of {size} bytes is not tried")));
    }
    let job = synthetic::batch(&engine.model, len, vec![payload], synthetic::everything(&engine.model));
    engine.run(&job).result.map(drop)
}

/// The description with each size in turn where its dimensions are open.
fn sized(spec: &ModelSpec, reading: &Reading) -> Vec<ModelSpec> {
    let is_open = |dim: &Dim| matches!(dim, Dim::Free(_));
    let shapeless = |spec: &ModelSpec| spec.inputs.iter().any(|input| input.open && input.sample.is_none());
    if shapeless(spec) {
        return shaped(spec);
    }
    if !spec.inputs.iter().any(|input| input.sample.is_none() && input.dims.iter().any(is_open)) {
        return vec![spec.clone()];
    }
    let with = |one_row: bool, open: usize| {
        let mut sized = spec.clone();
        for input in sized.inputs.iter_mut().filter(|input| input.sample.is_none() && input.dims.iter().any(is_open)) {
            let rank = input.dims.len();
            let size = |(axis, dim): (usize, &Dim)| match dim {
                Dim::Fixed(size) => *size,
                Dim::Batch => 1,
                Dim::Length => 8,
                Dim::Free(symbol) => {
                    let needed = reading.needs.get(symbol).and_then(|sizes| sizes.first());
                    let usual = if one_row && axis == 0 && rank > 1 { 1 } else { open };
                    needed.and_then(|size| usize::try_from(*size).ok()).unwrap_or(usual)
                }
            };
            input.sample = Some(input.dims.iter().enumerate().map(size).collect());
        }
        sized
    };
    // Where nothing stacks, an open first dimension is most often that of rows all the same.
    let opens_with_rows = |input: &TensorSpec| input.dims.len() > 1 && input.dims.first().is_some_and(is_open);
    let one_row = SIZES.into_iter().filter(|_| spec.inputs.iter().any(opens_with_rows)).map(|size| with(true, size));
    one_row.chain(SIZES.into_iter().map(|size| with(false, size))).collect()
}

/// The description with some likely shapes of inputs that are declared without one.
fn shaped(spec: &ModelSpec) -> Vec<ModelSpec> {
    let ranks = |size: usize| [vec![1, size], vec![size], vec![1, size, size], vec![1, 3, size, size], Vec::new()];
    let with = |shape: Vec<usize>| {
        let mut shaped = spec.clone();
        shaped.inputs.iter_mut().filter(|input| input.open && input.sample.is_none()).for_each(|input| {
            input.sample = Some(shape.clone());
        });
        shaped
    };
    [4, 8, 2, 1, 3, 16, 32].into_iter().flat_map(ranks).map(with).collect()
}
