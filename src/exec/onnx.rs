//! The ONNX Runtime backend: one session, owned by one thread.
//!
//! Decides how a session is set up. Knows tensors, not rows, lengths or requests.

use super::Failure;
use super::backend::{Backend, Input};
use super::runtime::Runtime;
use crate::model::{Datatype, ModelSpec, RawDim, RawIo, RawTensor};
use crate::request::{self, Tensor};
use bytes::Bytes;
use half::{bf16, f16};
use ort::ErrorCode;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};
use std::path::Path;

/// A model in one ONNX Runtime session.
#[derive(Debug)]
pub struct OnnxBackend {
    session: Session,
    /// Names and datatypes of the outputs, in the order of the model's description.
    outputs: Vec<(String, Datatype)>,
}

impl OnnxBackend {
    /// Makes a session on the CPU with `threads` threads an operator.
    ///
    /// # Errors
    /// A [`Failure`] that names the file and what the runtime says about it.
    pub fn new(runtime: &Runtime, path: &Path, spec: &ModelSpec, threads: usize) -> Result<Self, Failure> {
        let session = builder(runtime, threads, GraphOptimizationLevel::All)
            .and_then(|mut builder| builder.commit_from_file(path))
            .map_err(|e| at(path, &e))?;
        let outputs = spec.outputs.iter().map(|o| (o.name.clone(), o.datatype)).collect();
        Ok(Self { session, outputs })
    }
}

/// Reads a model's inputs and outputs, with their symbolic dimensions.
///
/// Outputs that are no tensors the protocol knows (sequences, maps) are left out, with a warning.
///
/// # Errors
/// A [`Failure`] that names the file: it is no model, an input has a type that no request can carry,
/// or no output is left.
pub fn probe(runtime: &Runtime, path: &Path) -> Result<RawIo, Failure> {
    let session = builder(runtime, 1, GraphOptimizationLevel::Disable)
        .and_then(|mut builder| builder.commit_from_file(path))
        .map_err(|e| at(path, &e))?;
    let unusable = |outlet: &Outlet, kind: &str| {
        format!("{}: {kind} `{}` is {}, which no request can carry", path.display(), outlet.name(), outlet.dtype())
    };
    let input = |outlet: &Outlet| raw_tensor(outlet).ok_or_else(|| Failure::Failed(unusable(outlet, "input")));
    let inputs = session.inputs().iter().map(input).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Vec::new();
    for outlet in session.outputs() {
        match raw_tensor(outlet) {
            Some(tensor) => outputs.push(tensor),
            None => tracing::warn!("{}; it is left out", unusable(outlet, "output")),
        }
    }
    if outputs.is_empty() {
        return Err(Failure::Failed(format!("{}: no output is a tensor", path.display())));
    }
    Ok(RawIo { inputs, outputs })
}

/// Session options: one operator at a time, threads that sleep when idle (spinning ones starve
/// everything else on a small machine), and no memory plan, which fits one shape only.
fn builder(runtime: &Runtime, threads: usize, level: GraphOptimizationLevel) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(runtime.environment())?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(level)?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(false)?)
}

impl Backend for OnnxBackend {
    fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure> {
        let outputs = wanted.iter().map(|i| self.outputs.get(*i)).collect::<Option<Vec<_>>>();
        let outputs = outputs.ok_or_else(|| Failure::Failed("an output that the model has not".into()))?;
        let values = inputs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let selected = outputs.iter().fold(OutputSelector::no_default(), |selector, (name, _)| selector.with(name));
        let options = RunOptions::new().map_err(|e| classify(&e))?.with_outputs(selected);
        let results = self.session.run_with_options(&values[..], &options).map_err(|e| classify(&e))?;
        results.into_iter().zip(outputs).map(|((_, value), (name, datatype))| tensor(value, name, *datatype)).collect()
    }
}

fn at(path: &Path, error: &ort::Error) -> Failure {
    match classify(error) {
        Failure::Failed(message) => Failure::Failed(format!("{}: {message}", path.display())),
        other => other,
    }
}

/// Sorts a runtime error by what can be done about it, from its code and its words.
fn classify(error: &ort::Error) -> Failure {
    classify_message(error.message(), error.code() == ErrorCode::DeviceReset)
}

fn classify_message(message: &str, device_reset: bool) -> Failure {
    const MEMORY: [&str; 5] =
        ["Failed to allocate memory", "bad_alloc", "out of memory", "BFCArena", "CUDA_ERROR_OUT_OF_MEMORY"];
    const DEVICE: [&str; 5] = ["CUDA failure", "CUDA error", "CUDNN failure", "CUBLAS failure", "device-side assert"];
    let mentions = |patterns: &[&str]| patterns.iter().any(|p| message.contains(p));
    if mentions(&MEMORY) {
        Failure::OutOfMemory(message.into())
    } else if device_reset || mentions(&DEVICE) {
        Failure::DeviceLost(message.into())
    } else {
        Failure::Failed(message.into())
    }
}

fn raw_tensor(outlet: &Outlet) -> Option<RawTensor> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return None;
    };
    let symbols = dimension_symbols.iter().map(String::as_str).chain(std::iter::repeat(""));
    let dims = shape.iter().zip(symbols).map(|(size, symbol)| match usize::try_from(*size) {
        Ok(size) => RawDim::Fixed(size),
        Err(_) => RawDim::Symbol(symbol.to_owned()),
    });
    Some(RawTensor { name: outlet.name().to_owned(), datatype: datatype(*ty)?, dims: dims.collect() })
}

fn datatype(ty: TensorElementType) -> Option<Datatype> {
    Some(match ty {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// An input as the runtime takes it: a view of the assembled buffer, a copy only for strings.
fn value(input: &Input) -> Result<SessionInputValue<'_>, Failure> {
    macro_rules! view {
        ($t:ty) => {
            TensorRef::<$t>::from_array_view((input.shape(), bytemuck::cast_slice::<u8, $t>(input.data())))
                .map(SessionInputValue::from)
        };
    }
    let value = match input.datatype() {
        Datatype::Bool => {
            let booleans = bytemuck::checked::try_cast_slice::<u8, bool>(input.data());
            let booleans = booleans.map_err(|_| Failure::Failed("a BOOL element is neither 0 nor 1".into()))?;
            TensorRef::<bool>::from_array_view((input.shape(), booleans)).map(SessionInputValue::from)
        }
        Datatype::Uint8 => view!(u8),
        Datatype::Uint16 => view!(u16),
        Datatype::Uint32 => view!(u32),
        Datatype::Uint64 => view!(u64),
        Datatype::Int8 => view!(i8),
        Datatype::Int16 => view!(i16),
        Datatype::Int32 => view!(i32),
        Datatype::Int64 => view!(i64),
        Datatype::Fp16 => view!(f16),
        Datatype::Bf16 => view!(bf16),
        Datatype::Fp32 => view!(f32),
        Datatype::Fp64 => view!(f64),
        Datatype::Bytes => strings(input)?,
    };
    value.map_err(|e| classify(&e))
}

fn strings(input: &Input) -> Result<ort::Result<SessionInputValue<'_>>, Failure> {
    let texts =
        input.strings().iter().map(|s| std::str::from_utf8(s).map(str::to_owned)).collect::<Result<Vec<_>, _>>();
    let texts =
        texts.map_err(|_| Failure::Failed("a BYTES element is not UTF-8, which the runtime requires".into()))?;
    Ok(ort::value::Tensor::from_string_array((input.shape(), &texts[..])).map(SessionInputValue::from))
}

/// An output as a tensor that keeps the runtime's own buffer.
fn tensor(value: DynValue, name: &str, expected: Datatype) -> Result<Tensor, Failure> {
    let unexpected = || Failure::Failed(format!("output `{name}` came back as {}", value.dtype()));
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(unexpected());
    };
    let datatype = datatype(*ty).filter(|d| *d == expected).ok_or_else(unexpected)?;
    let shape = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>().map_err(|_| unexpected())?;
    let data = match datatype {
        Datatype::Bytes => request::join_elements(&value.try_extract_strings().map_err(|e| classify(&e))?.1)?,
        _ => Bytes::from_owner(Output { value, datatype }),
    };
    Ok(Tensor { datatype, shape, data })
}

/// The runtime's own buffer of one output.
struct Output {
    value: DynValue,
    datatype: Datatype,
}

impl AsRef<[u8]> for Output {
    fn as_ref(&self) -> &[u8] {
        macro_rules! bytes {
            ($t:ty) => {
                self.value.try_extract_tensor::<$t>().map(|(_, data)| bytemuck::cast_slice(data))
            };
        }
        let bytes = match self.datatype {
            Datatype::Bool => bytes!(bool),
            Datatype::Uint8 => bytes!(u8),
            Datatype::Uint16 => bytes!(u16),
            Datatype::Uint32 => bytes!(u32),
            Datatype::Uint64 => bytes!(u64),
            Datatype::Int8 => bytes!(i8),
            Datatype::Int16 => bytes!(i16),
            Datatype::Int32 => bytes!(i32),
            Datatype::Int64 => bytes!(i64),
            Datatype::Fp16 => bytes!(f16),
            Datatype::Bf16 => bytes!(bf16),
            Datatype::Fp32 => bytes!(f32),
            Datatype::Fp64 => bytes!(f64),
            Datatype::Bytes => Ok(&[][..]),
        };
        // Too few bytes for the shape are found where the outputs are split.
        bytes.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        let sort = |message| classify_message(message, false);
        let memory = "bfc_arena.cc:359 Failed to allocate memory for requested buffer of size 4096";
        assert!(matches!(sort(memory), Failure::OutOfMemory(_)));
        assert!(matches!(sort("CUDA failure 2: out of memory"), Failure::OutOfMemory(_)));
        assert!(matches!(sort("CUDA failure 700: an illegal memory access"), Failure::DeviceLost(_)));
        assert!(matches!(classify_message("gone", true), Failure::DeviceLost(_)));
        assert!(matches!(sort("Got invalid dimensions for input: x"), Failure::Failed(_)));
    }
}
