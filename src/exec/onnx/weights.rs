//! A model's file: what it says of the graph, and the weights that all of its sessions share.
//!
//! Decides which weights are worth sharing, and which of them need not stay in memory.

use crate::exec::engine::guarded;
use crate::exec::process::{Mapped, Weight};
use crate::exec::runtime::Runtime;
use crate::graph::proto::{GraphProto, ModelProto, TensorProto};
use crate::types::locked;
use bytes::Bytes;
use half::{bf16, f16};
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType};
use prost::Message;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Smaller ones are left to each session: shapes and other constants, which the runtime computes with when it reads a
/// graph.
const LEAST_BYTES: usize = 4 << 10;
/// Files of so many bytes are large. Smaller ones start sooner where their sessions are made at the same time.
const LARGE: u64 = 128 << 20;
/// `TensorProto.DataType.FLOAT`.
const FP32: i32 = 1;

/// A model's file, which sessions are made of.
pub struct ModelFile {
    runtime: Arc<Runtime>,
    path: PathBuf,
    /// Mapped when somebody first reads it; `None` where it cannot be.
    mapped: OnceLock<Option<Mapped>>,
    /// Read when the first session wants them; `None` for good where sessions do not share.
    weights: Option<OnceLock<Weights>>,
    /// Held by whoever makes a session of a large file.
    making: Mutex<()>,
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
        Self {
            runtime: Arc::clone(runtime),
            path: path.to_owned(),
            mapped: OnceLock::new(),
            weights: None,
            making: Mutex::default(),
        }
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

    /// Whether what a run takes follows from the shapes of its inputs, by all that the file says. Blocks.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.read(ModelProto::is_steady).unwrap_or(false)
    }

    /// Reads the file's graph; `None` where it cannot be read. Blocks.
    pub(in crate::exec) fn read<T>(&self, what: impl FnOnce(&ModelProto) -> T) -> Option<T> {
        let file = self.mapped()?;
        let read = || ModelProto::decode(Bytes::from_static(file.bytes())).ok().map(|model| what(&model));
        // A file is anybody's: what cannot be read must not end the process.
        let read = guarded(|| Ok(read())).ok().flatten();
        file.rest();
        read
    }

    fn open(&self) -> Option<Mapped> {
        let tell = |why: &_| tracing::debug!(path = %self.path.display(), "the file cannot be mapped: {why}");
        Mapped::open(&self.path).inspect_err(tell).ok()
    }

    fn mapped(&self) -> Option<Mapped> {
        *self.mapped.get_or_init(|| self.open())
    }

    /// The weights of the file as it is now.
    fn weights(&self) -> Weights {
        // It may have been replaced since it was mapped.
        let file = self.mapped().filter(|file| file.is_still(&self.path)).or_else(|| self.open());
        let Some(file) = file else { return Weights::default() };
        Weights::within(file).unwrap_or_else(|why| {
            tracing::debug!(path = %self.path.display(), "sessions have weights of their own: {why}");
            file.rest();
            Weights::default()
        })
    }

    /// Waits for one's turn to make a session. To make one takes several times the file's size in memory for a while, so
    /// that of a large file there is one at a time.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let is_large = self.path.metadata().is_ok_and(|file| file.len() >= LARGE);
        is_large.then(|| locked(&self.making))
    }

    /// Has a session on the CPU use what is shared.
    pub(super) fn share(&self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let Some(weights) = &self.weights else { return Ok(builder) };
        let weights = weights.get_or_init(|| self.weights());
        match weights.file {
            Some(file) if file.is_still(&self.path) => weights.put(builder),
            // Another file, or one that was written to, has weights of its own.
            _ => Ok(builder),
        }
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
    initializers: Vec<(String, Weight)>,
    packed: PrepackedWeights,
    /// Where those lie that the runtime reads once, to pack them.
    file: Option<Mapped>,
}

impl Default for Weights {
    fn default() -> Self {
        Self { initializers: Vec::new(), packed: PrepackedWeights::new(), file: None }
    }
}

impl Weights {
    /// Finds those of a file that are worth it. Blocks.
    ///
    /// What the runtime packs when it makes a session, and goes on with as it packed it, stays in the file: on the CPU,
    /// FP32 matrices that only matrix products take (MLAS packs them on every processor it has a kernel for). All others
    /// are copied into memory, so that answers do not change with the file.
    fn within(file: Mapped) -> Result<Self, Box<dyn Error>> {
        let graph = ModelProto::decode(Bytes::from_static(file.bytes()))?.graph.unwrap_or_default();
        let multipliers = graph.multipliers();
        let GraphProto { initializer, input, .. } = &graph;
        let is_constant = |tensor: &TensorProto| input.iter().all(|input| input.name != tensor.name);
        let mut initializers = Vec::new();
        for tensor in initializer.iter().filter(|tensor| tensor.raw_data.len() >= LEAST_BYTES && is_constant(tensor)) {
            let is_packed = tensor.data_type == FP32 && tensor.dims.len() == 2 && multipliers.contains(&*tensor.name);
            let weight = match is_packed {
                true => Some(file.weight(&tensor.raw_data, TensorElementType::Float32, &tensor.dims)?),
                false => tensor.copy()?.map(Weight::from),
            };
            initializers.extend(weight.map(|weight| (tensor.name.clone(), weight)));
        }
        Ok(Self { initializers, packed: PrepackedWeights::new(), file: Some(file) })
    }

    fn put(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        if self.initializers.is_empty() {
            return Ok(builder);
        }
        for (name, weight) in &self.initializers {
            builder = weight.initialize(builder, name)?;
        }
        Ok(builder.with_prepacked_weights(&self.packed)?)
    }
}

impl TensorProto {
    /// A copy that lies as its type wants it; `None` for a type that is not shared.
    fn copy(&self) -> ort::Result<Option<DynValue>> {
        Ok(Some(match self.data_type {
            FP32 => self.copied::<f32>()?,
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
