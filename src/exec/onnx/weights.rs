//! A model's file, and the weights that all of its sessions share.
//!
//! Decides which weights are worth sharing. Knows of an ONNX file only where they lie (`onnx.proto3` gives the numbers of
//! the fields); the runtime reads the rest.

use crate::exec::Failure;
use crate::exec::runtime::Runtime;
use bytes::Bytes;
use half::{bf16, f16};
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};
use prost::Message;
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
        weights.put(builder)
    }
}

/// Weights in memory of their own.
struct Weights {
    initializers: Vec<(String, Arc<DynValue>)>,
    packed: PrepackedWeights,
}

impl Weights {
    fn none() -> Self {
        Self { initializers: Vec::new(), packed: PrepackedWeights::new() }
    }

    /// Reads those of a file that are worth it. Blocks.
    fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn fmt::Display| Failure::Failed(error.to_string());
        let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
        let model = ModelProto::decode(Bytes::from(bytes)).map_err(|e| failed(&e))?;
        let GraphProto { initializer, input } = model.graph.unwrap_or_default();
        let is_constant = |tensor: &TensorProto| input.iter().all(|input| input.name != tensor.name);
        let mut weights = Self::none();
        for tensor in initializer.iter().filter(|tensor| tensor.raw_data.len() >= LEAST_BYTES && is_constant(tensor)) {
            if let Some(value) = tensor.value().map_err(|e| failed(&e))? {
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

#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
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
    /// A copy that lies as its type wants it; `None` for a type that is not shared.
    fn value(&self) -> ort::Result<Option<DynValue>> {
        Ok(Some(match self.data_type {
            1 => self.copied::<f32>()?,
            2 => self.copied::<u8>()?,
            3 => self.copied::<i8>()?,
            10 => self.copied::<f16>()?,
            11 => self.copied::<f64>()?,
            16 => self.copied::<bf16>()?,
            _ => return Ok(None),
        }))
    }

    fn copied<T>(&self) -> ort::Result<DynValue>
    where
        T: PrimitiveTensorElementType + bytemuck::Pod + fmt::Debug + 'static,
    {
        let mut elements = vec![T::zeroed(); self.raw_data.len() / size_of::<T>()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        bytes.copy_from_slice(&self.raw_data[..bytes.len()]);
        Ok(Tensor::from_array((self.dims.clone(), elements))?.into_dyn())
    }
}
