//! What the server and its models say about themselves.

use super::{TEXT, VERSION, text};
use crate::front::tokens;
use crate::model::{Dim, Filling, LeftOut, MadeUp, Model, Task, TensorSpec};
use serde::Serialize;

/// The answer to `GET /v2`.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

/// What this server says.
pub(super) const SERVER: Server =
    Server { name: "inferneo", version: env!("CARGO_PKG_VERSION"), extensions: ["binary_tensor_data"] };

/// The answer to `GET /v2/models/M`.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    name: &'a str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: Vec<Described<'a>>,
    outputs: Vec<Described<'a>>,
    /// The other way in: not among `inputs`, because a request holds one or the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    /// Why nothing can be made up for this model, where that is so: a health check had better not try.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_sample: Option<&'a str>,
    /// What of the graph is not offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<Missing<'a>>,
}

#[derive(Debug, Serialize)]
struct Missing<'a> {
    name: &'a str,
    /// In ONNX's words.
    datatype: &'a str,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    inputs: [Described<'a>; 1],
    outputs: [Described<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Described<'a> {
    name: &'a str,
    datatype: &'static str,
    /// −1 where any size goes.
    shape: Vec<i64>,
    /// Of an input: what can be made up for it, so that the model runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
    /// What its columns stand for.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: &'a [String],
}

/// Made-up input of one row that is known to run.
#[derive(Debug, Serialize)]
struct Sample {
    shape: Vec<usize>,
    /// The largest whole number in it.
    most: i64,
}

/// Describes `model`.
pub(super) fn describe(model: &Model) -> Metadata<'_> {
    Metadata {
        name: &model.name,
        versions: [VERSION],
        platform: "onnxruntime_onnx",
        inputs: model
            .spec
            .inputs
            .iter()
            .map(|input| Described { sample: sample(model, input), ..tensor(input) })
            .collect(),
        outputs: model.spec.outputs.iter().map(tensor).collect(),
        text: describe_text(model),
        no_sample: match &model.spec.made_up {
            Some(MadeUp::Fails(why)) => Some(why),
            _ => None,
        },
        left_out: model.spec.left_out.iter().map(missing).collect(),
    }
}

fn missing(LeftOut { name, datatype, why }: &LeftOut) -> Missing<'_> {
    Missing { name, datatype, why }
}

fn tensor(spec: &TensorSpec) -> Described<'_> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Batch | Dim::Length | Dim::Free(_) => -1,
    };
    // An input without a shape takes any; Triton would say as much.
    let shape = if spec.open { vec![-1] } else { spec.dims.iter().map(size).collect() };
    Described { name: &spec.name, datatype: spec.datatype.name(), shape, sample: None, labels: &spec.labels }
}

fn sample(model: &Model, input: &TensorSpec) -> Option<Sample> {
    let Some(MadeUp::Runs(filling)) = &model.spec.made_up else { return None };
    let own = |axis: usize| input.sample.as_ref().and_then(|sample| sample.get(axis)).copied();
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => *size,
        Dim::Batch => 1,
        Dim::Length => own(axis).unwrap_or_else(|| model.spec.made_up_length() as usize),
        Dim::Free(_) => own(axis).unwrap_or(1),
    };
    let most = match filling {
        Filling::Bytes => input.bound.map_or(255, |bound| bound - 1),
        _ => 1,
    };
    let shape = match &input.sample {
        Some(shape) if input.open => shape.clone(),
        _ => input.dims.iter().enumerate().map(size).collect(),
    };
    Some(Sample { shape, most })
}

fn describe_text(model: &Model) -> Option<Text<'_>> {
    let (name, _) = text::output(&model.spec.task).filter(|_| tokens::is_text_model(model))?;
    let size = |size: usize| i64::try_from(size).unwrap_or(-1);
    let (width, labels) = match &model.spec.task {
        Task::Embedding { dimensions, .. } => (size(*dimensions), &[][..]),
        Task::Classifier { labels, .. } if !labels.is_empty() => (size(labels.len()), &labels[..]),
        Task::Classifier { .. } | Task::Tensors => (-1, &[][..]),
    };
    Some(Text {
        inputs: [Described { name: TEXT, datatype: "BYTES", shape: vec![-1], sample: None, labels: &[] }],
        outputs: [Described { name, datatype: "FP32", shape: vec![-1, width], sample: None, labels }],
    })
}
