//! What a file says of its inputs and outputs.
//!
//! Decides what of them a request can carry; what it cannot is left out and named. Interprets no dimension.

use super::ModelFile;
use super::values::datatype;
use crate::exec::runtime::Runtime;
use crate::exec::session::{SessionSettings, builder};
use crate::graph::proto::{GraphProto, ModelProto};
use crate::model::{Datatype, LeftOut, RawDim, RawIo, RawTensor};
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, ValueType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file is not one whose model can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}", path = path.display())]
pub struct Unservable {
    path: PathBuf,
    why: String,
}

/// Reads a model's inputs and outputs, with their symbolic dimensions.
///
/// Outputs that no answer can carry (sequences, maps) are left out, as are inputs that have a value in the file. The maps
/// that `ZipMap` makes of its classes' scores are one tensor, `[rows, classes]`.
///
/// # Errors
/// [`Unservable`]: it is no model, an input has a type that no request can carry, or no output is left.
pub fn probe(runtime: &Arc<Runtime>, path: &Path) -> Result<RawIo, Unservable> {
    let unservable = |why: String| Unservable { path: path.to_owned(), why };
    let session = builder(runtime, &SessionSettings::cpu(1), GraphOptimizationLevel::Disable)
        .and_then(|mut builder| builder.commit_from_file(path))
        .map_err(|e| unservable(bare(e.message(), path)))?;
    let all = || session.inputs().iter().chain(session.outputs());
    let doubtful: Vec<&str> = all().filter(|outlet| is_doubtful(outlet)).map(Outlet::name).collect();
    let told = match doubtful.is_empty() {
        true => Told::default(),
        false => ModelFile::new(runtime, path).read(|model| Told::by(model, &doubtful)).unwrap_or_default(),
    };
    let refused = |outlet: &Outlet| {
        let (name, kind) = (outlet.name(), kind(outlet.dtype()));
        unservable(format!("input `{name}` is {kind}, which no request can carry"))
    };
    let input = |outlet| told.tensor(outlet).ok_or_else(|| refused(outlet));
    let inputs = session.inputs().iter().map(input).collect::<Result<Vec<_>, _>>()?;
    let (mut outputs, mut left_out) = (Vec::new(), Vec::new());
    for outlet in session.outputs() {
        match told.tensor(outlet).or_else(|| told.scores(outlet, &inputs)) {
            Some(tensor) => outputs.push(tensor),
            None => left_out.push(LeftOut::output(outlet.name(), kind(outlet.dtype()))),
        }
    }
    if outputs.is_empty() {
        let which: Vec<String> = left_out.iter().map(|out| format!("`{}` is {}", out.name, out.datatype)).collect();
        return Err(unservable(format!("no output is a tensor ({})", which.join(", "))));
    }
    let given = session.overridable_initializers();
    left_out.extend(given.iter().map(|own| LeftOut::input(own.name(), kind(own.dtype()))));
    Ok(RawIo { inputs, outputs, left_out })
}

/// What the runtime says of a file, without the file's name, which stands before it.
fn bare(message: &str, path: &Path) -> String {
    let named = format!("Load model from {} failed:", path.display());
    message.strip_prefix(&named).unwrap_or(message).to_owned()
}

/// Whether the runtime does not say all of what it is.
fn is_doubtful(outlet: &Outlet) -> bool {
    match outlet.dtype() {
        // A scalar and a tensor without a shape are told by the same empty list.
        ValueType::Tensor { shape, .. } => shape.is_empty(),
        ValueType::Sequence(_) => true,
        ValueType::Map { .. } | ValueType::Optional(_) => false,
    }
}

/// What only the file tells.
#[derive(Debug, Default)]
struct Told {
    /// Those that are declared without a shape.
    open: Vec<String>,
    /// Of those that `ZipMap` makes, the names of their classes.
    classes: BTreeMap<String, Vec<String>>,
}

impl Told {
    fn by(model: &ModelProto, names: &[&str]) -> Self {
        let Some(graph) = &model.graph else { return Self::default() };
        let own = |name: &&&str| Some(((**name).to_owned(), classes(graph, name)?));
        Self {
            open: names.iter().filter(|name| graph.is_open(name)).map(|name| (*name).to_owned()).collect(),
            classes: names.iter().filter_map(|name| own(&name)).collect(),
        }
    }

    fn tensor(&self, outlet: &Outlet) -> Option<RawTensor> {
        let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
            return None;
        };
        let symbols = dimension_symbols.iter().map(String::as_str).chain(std::iter::repeat(""));
        let dims = shape.iter().zip(symbols).map(|(size, symbol)| match usize::try_from(*size) {
            Ok(size) => RawDim::Fixed(size),
            Err(_) => RawDim::Symbol(symbol.to_owned()),
        });
        let open = shape.is_empty() && self.open.iter().any(|own| own == outlet.name());
        let (name, labels) = (outlet.name().to_owned(), Vec::new());
        Some(RawTensor { name, datatype: datatype(*ty)?, dims: dims.collect(), open, labels })
    }

    /// The scores of classes that `ZipMap` makes maps of. Its rows are those of the first input, as far as names go.
    fn scores(&self, outlet: &Outlet, inputs: &[RawTensor]) -> Option<RawTensor> {
        let ValueType::Sequence(of) = outlet.dtype() else { return None };
        let ValueType::Map { value: TensorElementType::Float32, .. } = **of else { return None };
        let labels = self.classes.get(outlet.name())?.clone();
        let rows = inputs.first()?.dims.first()?.clone();
        let dims = vec![rows, RawDim::Fixed(labels.len())];
        Some(RawTensor { name: outlet.name().to_owned(), datatype: Datatype::Fp32, dims, open: false, labels })
    }
}

/// The names of the classes whose scores an output maps, where the file gives them.
fn classes(graph: &GraphProto, output: &str) -> Option<Vec<String>> {
    let node = graph.node.iter().find(|node| node.output.first().is_some_and(|name| name == output))?;
    if node.op_type != "ZipMap" {
        return None;
    }
    let find = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let numbers = || Some(find("classlabels_int64s")?.ints.iter().map(ToString::to_string).collect());
    let names =
        || -> Option<Vec<String>> { find("classlabels_strings")?.strings.iter().map(|name| text(name)).collect() };
    let classes = names().or_else(numbers)?;
    (!classes.is_empty()).then_some(classes)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// A type in ONNX's own words.
fn kind(of: &ValueType) -> String {
    match of {
        ValueType::Tensor { ty, .. } => format!("tensor({})", element(*ty)),
        ValueType::Sequence(inner) => format!("seq({})", kind(inner)),
        ValueType::Map { key, value } => format!("map({},tensor({}))", element(*key), element(*value)),
        ValueType::Optional(inner) => format!("optional({})", kind(inner)),
    }
}

fn element(of: TensorElementType) -> String {
    match of {
        TensorElementType::Float32 => "float".to_owned(),
        TensorElementType::Float64 => "double".to_owned(),
        TensorElementType::Float16 => "float16".to_owned(),
        TensorElementType::Bfloat16 => "bfloat16".to_owned(),
        TensorElementType::String => "string".to_owned(),
        other => match datatype(other) {
            Some(known) => known.name().to_lowercase(),
            None => other.to_string(),
        },
    }
}
