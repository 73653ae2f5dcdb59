//! The ONNX Runtime backend: one session, used by one thread at a time.
//!
//! Decides how a session is set up. Knows tensors, not rows, lengths or requests.

mod binding;
mod failure;
mod profile;
mod values;
mod weights;

use super::Failure;
use super::backend::{Backend, Input};
use super::runtime::Runtime;
use super::session::{SessionSettings, builder};
use crate::graph::proto::ModelProto;
use crate::model::{Datatype, ModelSpec, RawDim, RawIo, RawTensor};
use crate::request::Tensor;
use crate::types::Device;
use binding::Binding;
use failure::classify;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{Outlet, TensorRef, ValueType};
pub use profile::Nodes;
use profile::Record;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use values::{datatype, own, tensor, value};
pub use weights::ModelFile;

/// A model in one ONNX Runtime session.
pub struct OnnxBackend {
    session: Session,
    /// Names and datatypes of the outputs, in the order of the model's description.
    outputs: Vec<(String, Datatype)>,
    /// The outputs that the last run wanted, and its options: the next is likely to want the same.
    options: Option<(Vec<usize>, RunOptions<HasSelectedOutputs>)>,
    /// How inputs and outputs are copied, where the device has memory of its own.
    binding: Option<Binding>,
    /// Of the first run, until it has ended.
    record: Option<(Record, TellNodes)>,
}

impl fmt::Debug for OnnxBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxBackend").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Who is told of a graph's nodes.
type TellNodes = Box<dyn FnOnce(&Nodes) + Send>;

impl OnnxBackend {
    /// Makes a session as `settings` say.
    ///
    /// # Errors
    /// A [`Failure`] that names the file and what the runtime says about it.
    pub fn new(file: &ModelFile, spec: &ModelSpec, settings: &SessionSettings) -> Result<Self, Failure> {
        Self::make(file, spec, settings, None)
    }

    /// The same, with the first run that ends well recorded: `tell` hears which execution provider ran how many
    /// nodes. Where nothing can be written, nobody is told.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn recorded(
        file: &ModelFile,
        spec: &ModelSpec,
        settings: &SessionSettings,
        tell: impl FnOnce(&Nodes) + Send + 'static,
    ) -> Result<Self, Failure> {
        let record = Record::new().inspect_err(|error| {
            tracing::warn!(path = %file.path().display(), "which provider runs its nodes is not known: no temporary file: {error}");
        });
        Self::make(file, spec, settings, record.ok().map(|record| (record, Box::new(tell) as TellNodes)))
    }

    fn make(
        file: &ModelFile,
        spec: &ModelSpec,
        settings: &SessionSettings,
        record: Option<(Record, TellNodes)>,
    ) -> Result<Self, Failure> {
        let options = || {
            let builder = builder(file.runtime(), settings, GraphOptimizationLevel::All)?;
            let builder = match settings.device {
                Device::Cpu(_) => file.share(builder)?,
                Device::Cuda(_) => builder,
            };
            Ok(match &record {
                Some((record, _)) => builder.with_profiling(record.prefix())?,
                None => builder,
            })
        };
        let path = file.path();
        let session = options().and_then(|mut builder| builder.commit_from_file(path));
        file.made();
        let session = session.map_err(|e| at(path, &e))?;
        let outputs = spec.outputs.iter().map(|o| (o.name.clone(), o.datatype)).collect();
        let binding = match settings.device {
            Device::Cpu(_) => None,
            // Without page-locked memory runs are slower, not wrong.
            Device::Cuda(gpu) => Binding::pinned(&session, gpu)
                .inspect_err(|error| tracing::warn!(%gpu, "copies to the GPU are slow: no pinned memory: {error}"))
                .ok(),
        };
        Ok(Self { session, outputs, options: None, binding, record })
    }

    /// Ends a record and tells of it.
    fn tell_nodes(&mut self) {
        let Some((record, tell)) = self.record.take() else { return };
        let file = self.session.end_profiling().map_err(|e| e.message().to_owned());
        match file.and_then(|file| profile::count(Path::new(&file)).map_err(|e| e.to_string())) {
            Ok(nodes) => tell(&nodes),
            Err(error) => tracing::warn!("which provider runs a model's nodes is not known: {error}"),
        }
        drop(record);
    }

    /// Has inputs and outputs bound and copied as they are on a GPU, in ordinary memory. Answers are the same.
    ///
    /// # Errors
    /// What the runtime says about it.
    pub fn bound(mut self) -> Result<Self, Failure> {
        self.binding = Some(Binding::plain(&self.session).map_err(|e| classify(&e))?);
        Ok(self)
    }
}

/// Reads a model's inputs and outputs, with their symbolic dimensions.
///
/// Outputs that are no tensors the protocol knows (sequences, maps) are left out, with a warning.
///
/// # Errors
/// A [`Failure`] that names the file: it is no model, an input has a type that no request can carry,
/// or no output is left.
pub fn probe(runtime: &Arc<Runtime>, path: &Path) -> Result<RawIo, Failure> {
    let session = builder(runtime, &SessionSettings::cpu(1), GraphOptimizationLevel::Disable)
        .and_then(|mut builder| builder.commit_from_file(path))
        .map_err(|e| at(path, &e))?;
    let unusable = |outlet: &Outlet, kind: &str| {
        format!("{}: {kind} `{}` is {}, which no request can carry", path.display(), outlet.name(), outlet.dtype())
    };
    let all = || session.inputs().iter().chain(session.outputs());
    let shapeless = |outlet: &&Outlet| matches!(outlet.dtype(), ValueType::Tensor { shape, .. } if shape.is_empty());
    let doubtful: Vec<&str> = all().filter(shapeless).map(Outlet::name).collect();
    let open = match doubtful.is_empty() {
        true => Vec::new(),
        false => ModelFile::new(runtime, path).read(|model| open(model, &doubtful)).unwrap_or_default(),
    };
    let is_open = |name: &str| open.iter().any(|own| own == name);
    let input = |outlet: &Outlet| raw_tensor(outlet, is_open).ok_or_else(|| Failure::Failed(unusable(outlet, "input")));
    let inputs = session.inputs().iter().map(input).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Vec::new();
    for outlet in session.outputs() {
        match raw_tensor(outlet, is_open) {
            Some(tensor) => outputs.push(tensor),
            None => tracing::warn!("{}; it is left out", unusable(outlet, "output")),
        }
    }
    if outputs.is_empty() {
        return Err(Failure::Failed(format!("{}: no output is a tensor", path.display())));
    }
    Ok(RawIo { inputs, outputs })
}

/// Those of some tensors that a file declares without a shape.
fn open(model: &ModelProto, names: &[&str]) -> Vec<String> {
    let Some(graph) = &model.graph else { return Vec::new() };
    names.iter().filter(|name| graph.is_open(name)).map(|name| (*name).to_owned()).collect()
}

impl Backend for OnnxBackend {
    fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure> {
        let outputs = wanted.iter().map(|i| self.outputs.get(*i)).collect::<Option<Vec<_>>>();
        let outputs = outputs.ok_or_else(|| Failure::Failed("an output that the model has not".into()))?;
        let answer = match self.binding.as_mut().filter(|binding| binding.takes(inputs, &outputs)) {
            Some(binding) => binding.run(&mut self.session, inputs, &outputs),
            None => {
                let kept = match self.options.take().filter(|(of, _)| of == wanted) {
                    Some(kept) => kept,
                    None => (wanted.to_vec(), selecting(&outputs)?),
                };
                let (_, options) = self.options.insert(kept);
                run_plain(&mut self.session, inputs, &outputs, options)
            }
        };
        if answer.is_ok() {
            self.tell_nodes();
        }
        answer
    }
}

/// The options of runs that want these outputs.
fn selecting(outputs: &[&(String, Datatype)]) -> Result<RunOptions<HasSelectedOutputs>, Failure> {
    let selected = outputs.iter().fold(OutputSelector::no_default(), |selector, (name, _)| selector.with(name));
    Ok(RunOptions::new().map_err(|e| classify(&e))?.with_outputs(selected))
}

/// Runs on views of the inputs; the runtime copies what a device needs.
fn run_plain(
    session: &mut Session,
    inputs: &[Input],
    outputs: &[&(String, Datatype)],
    options: &RunOptions<HasSelectedOutputs>,
) -> Result<Vec<Tensor>, Failure> {
    let values = inputs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    let results = session.run_with_options(&values[..], options).map_err(|e| classify(&e))?;
    let own = |tensor| own(tensor, inputs);
    let results = results.into_iter().zip(outputs);
    results.map(|((_, value), (name, datatype))| tensor(value, name, *datatype).map(own)).collect()
}

/// Makes a session of a model of one number, and runs it.
///
/// # Errors
/// What the runtime says about it.
pub(super) fn try_out(runtime: &Runtime, model: &[u8], settings: &SessionSettings) -> Result<(), String> {
    let run = || {
        let mut session = builder(runtime, settings, GraphOptimizationLevel::Disable)?.commit_from_memory(model)?;
        let one = TensorRef::<f32>::from_array_view(([1_usize], &[1.0_f32][..]))?;
        session.run(ort::inputs![one])?;
        Ok(())
    };
    run().map_err(|e: ort::Error| e.message().to_owned())
}

fn at(path: &Path, error: &ort::Error) -> Failure {
    match classify(error) {
        Failure::Failed(message) => Failure::Failed(format!("{}: {message}", path.display())),
        other => other,
    }
}

/// The runtime tells a scalar and a tensor without a shape by the same empty list; the file tells them apart.
fn raw_tensor(outlet: &Outlet, is_open: impl Fn(&str) -> bool) -> Option<RawTensor> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return None;
    };
    let symbols = dimension_symbols.iter().map(String::as_str).chain(std::iter::repeat(""));
    let dims = shape.iter().zip(symbols).map(|(size, symbol)| match usize::try_from(*size) {
        Ok(size) => RawDim::Fixed(size),
        Err(_) => RawDim::Symbol(symbol.to_owned()),
    });
    let open = shape.is_empty() && is_open(outlet.name());
    Some(RawTensor { name: outlet.name().to_owned(), datatype: datatype(*ty)?, dims: dims.collect(), open })
}
