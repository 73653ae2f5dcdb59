//! The ONNX Runtime backend: one session, used by one thread at a time.
//!
//! Decides how a session is set up. Knows tensors, not rows, lengths or requests.

mod binding;
mod failure;
mod maps;
mod probe;
mod profile;
mod values;
mod weights;

use super::Failure;
use super::backend::{Backend, Input};
use super::process::return_free_memory;
use super::runtime::Runtime;
use super::session::{SessionSettings, builder};
use crate::model::{Datatype, ModelSpec, TensorSpec};
use crate::request::Tensor;
use crate::types::Device;
use binding::Binding;
use failure::classify;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{DynValue, TensorRef};
pub use probe::{Unservable, probe};
pub use profile::Nodes;
use profile::Record;
use std::fmt;
use std::path::Path;
use values::{own, tensor, value};
pub use weights::ModelFile;

/// A model in one ONNX Runtime session.
pub struct OnnxBackend {
    session: Session,
    /// The outputs, in the order of the model's description.
    outputs: Vec<Port>,
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

/// One output.
#[derive(Debug)]
struct Port {
    name: String,
    datatype: Datatype,
    /// Where the runtime answers maps, the classes that they map from.
    labels: Vec<String>,
}

impl Port {
    fn new(spec: &TensorSpec) -> Self {
        Self { name: spec.name.clone(), datatype: spec.datatype, labels: spec.labels.clone() }
    }

    /// What came out of it.
    fn tensor(&self, value: DynValue) -> Result<Tensor, Failure> {
        match self.labels.is_empty() {
            true => tensor(value, &self.name, self.datatype),
            false => maps::tensor(&value, &self.name, &self.labels),
        }
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
        let (path, turn) = (file.path(), file.turn());
        let session = options().and_then(|mut builder| builder.commit_from_file(path));
        file.made();
        if turn.is_some() {
            // The next one would come on top of what this one has left.
            return_free_memory();
        }
        drop(turn);
        let session = session.map_err(|e| at(path, &e))?;
        let outputs = spec.outputs.iter().map(Port::new).collect();
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
fn selecting(outputs: &[&Port]) -> Result<RunOptions<HasSelectedOutputs>, Failure> {
    let selected = outputs.iter().fold(OutputSelector::no_default(), |selector, output| selector.with(&output.name));
    Ok(RunOptions::new().map_err(|e| classify(&e))?.with_outputs(selected))
}

/// Runs on views of the inputs; the runtime copies what a device needs.
fn run_plain(
    session: &mut Session,
    inputs: &[Input],
    outputs: &[&Port],
    options: &RunOptions<HasSelectedOutputs>,
) -> Result<Vec<Tensor>, Failure> {
    let values = inputs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    let results = session.run_with_options(&values[..], options).map_err(|e| classify(&e))?;
    let own = |tensor| own(tensor, inputs);
    let results = results.into_iter().zip(outputs);
    results.map(|((_, value), output)| output.tensor(value).map(own)).collect()
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
