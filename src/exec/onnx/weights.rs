//! A model's file, and the weights that all of its sessions share.
//!
//! Decides which weights are worth sharing, and which of them need not stay in memory. Knows of an ONNX file only where
//! they lie and what they are multiplied by (`onnx.proto3` gives the numbers of the fields); the runtime reads the rest.

use crate::exec::Failure;
use crate::exec::process::Mapped;
use crate::exec::runtime::Runtime;
use bytes::Bytes;
use half::{bf16, f16};
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};
use prost::Message;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Smaller ones are left to each session: shapes and other constants, which the runtime computes with when it reads a
/// graph.
const LEAST_BYTES: usize = 4 << 10;

/// A model's file, which sessions are made of.
pub struct ModelFile {
    runtime: Arc<Runtime>,
    path: PathBuf,
    /// Read when the first session wants them; `None` for good where sessions do not share.
    weights: Option<OnceLock<Weights>>,
}

impl fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ModelFile {
    /// A file of which each session has weights of its own, as suits a single one.
    #[must_use]
    pub fn new(runtime: &Arc<Runtime>, path: &Path) -> Self {
        Self { runtime: Arc::clone(runtime), path: path.to_owned(), weights: None }
    }

    /// A file whose sessions on the CPU share their weights, also in the form that the runtime packs them into.
    #[must_use]
    pub fn shared(runtime: &Arc<Runtime>, path: &Path) -> Self {
        Self { weights: Some(OnceLock::new()), ..Self::new(runtime, path) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::exec) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Has a session on the CPU use what is shared.
    pub(super) fn share(&self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let Some(weights) = &self.weights else { return Ok(builder) };
        let weights = weights.get_or_init(|| {
            Weights::read(&self.path).unwrap_or_else(|why| {
                tracing::debug!(path = %self.path.display(), "sessions have weights of their own: {why}");
                Weights::none()
            })
        });
        // A file that was cut short meanwhile cannot be read where it was mapped.
        if weights.file.is_some_and(|file| !file.is_whole(&self.path)) {
            return Ok(builder);
        }
        weights.put(builder)
    }

    /// Lets go of what only making a session reads.
    pub(super) fn made(&self) {
        if let Some(file) = self.weights.as_ref().and_then(OnceLock::get).and_then(|weights| weights.file) {
            file.rest();
        }
    }
}

/// Weights that the runtime finds here rather than in the file.
struct Weights {
    initializers: Vec<(String, Arc<DynValue>)>,
    packed: PrepackedWeights,
    /// Where those lie that the runtime reads once, to pack them.
    file: Option<Mapped>,
}

impl Weights {
    fn none() -> Self {
        Self { initializers: Vec::new(), packed: PrepackedWeights::new(), file: None }
    }

    /// Finds those of a file that are worth it: what is packed stays in the file, everything else is copied into memory,
    /// so that answers do not change with the file. Blocks.
    fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn fmt::Display| Failure::Failed(error.to_string());
        let file = Mapped::open(path).map_err(|e| failed(&e))?;
        let model = ModelProto::decode(Bytes::from_static(file.bytes())).map_err(|e| failed(&e))?;
        let GraphProto { initializer, input, node } = model.graph.unwrap_or_default();
        let is_constant = |tensor: &TensorProto| input.iter().all(|input| input.name != tensor.name);
        let packed = packed(&node);
        let mut weights = Self { file: Some(file), ..Self::none() };
        for tensor in initializer.iter().filter(|tensor| tensor.raw_data.len() >= LEAST_BYTES && is_constant(tensor)) {
            let within = packed.contains(&*tensor.name).then_some(file);
            if let Some(value) = tensor.value(within).map_err(|e| failed(&e))? {
                weights.initializers.push((tensor.name.clone(), Arc::new(value)));
            }
        }
        Ok(weights)
    }

    fn put(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        if self.initializers.is_empty() {
            return Ok(builder);
        }
        for (name, value) in &self.initializers {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        Ok(builder.with_prepacked_weights(&self.packed)?)
    }
}

/// The names of what is only ever the right side of a matrix product: the runtime packs such weights when it makes a
/// session on the CPU, and goes on with what it packed. Those that it leaves as they are, it reads from the file.
fn packed(nodes: &[NodeProto]) -> HashSet<&str> {
    let is_product = |node: &NodeProto| matches!(&*node.op_type, "MatMul" | "Gemm");
    let mut packed: HashSet<&str> =
        nodes.iter().filter(|node| is_product(node)).filter_map(|node| node.input.get(1)).map(String::as_str).collect();
    for node in nodes {
        for (at, name) in node.input.iter().enumerate() {
            if at != 1 || !is_product(node) {
                packed.remove(&**name);
            }
        }
    }
    packed
}

#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
}

#[derive(Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
}

/// A weight. One that lies in another file, or in fields of its type, has no `raw_data`.
#[derive(Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "bytes", tag = "9")]
    raw_data: Bytes,
}

impl TensorProto {
    /// Its elements where they lie within the file, or a copy; `None` for a type that is not shared.
    fn value(&self, within: Option<Mapped>) -> ort::Result<Option<DynValue>> {
        Ok(Some(match self.data_type {
            1 => self.of::<f32>(within)?,
            2 => self.of::<u8>(within)?,
            3 => self.of::<i8>(within)?,
            10 => self.of::<f16>(within)?,
            11 => self.of::<f64>(within)?,
            16 => self.of::<bf16>(within)?,
            _ => return Ok(None),
        }))
    }

    fn of<T>(&self, within: Option<Mapped>) -> ort::Result<DynValue>
    where
        T: PrimitiveTensorElementType + bytemuck::Pod + fmt::Debug + 'static,
    {
        if let Some(file) = within {
            return file.tensor(&self.raw_data, T::into_tensor_element_type(), &self.dims);
        }
        // A copy lies as its type wants it.
        let mut elements = vec![T::zeroed(); self.raw_data.len() / size_of::<T>()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        bytes.copy_from_slice(&self.raw_data[..bytes.len()]);
        Ok(Tensor::from_array((self.dims.clone(), elements))?.into_dyn())
    }
}
