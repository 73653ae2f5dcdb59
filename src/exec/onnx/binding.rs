//! Runs that copy between host and device through memory the device reaches by itself.
//!
//! Decides which memory that is. Knows no device: on the CPU the same code runs in ordinary memory.

use super::Port;
use super::classify;
use super::values::copy;
use crate::exec::Failure;
use crate::exec::backend::Input;
use crate::model::Datatype;
use crate::request::Tensor;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, TensorElementType, ValueType};

/// A session's inputs and outputs, bound anew for each run.
///
/// Inputs are copied to the device when they are bound, from buffers that are kept: views of what was
/// assembled cannot be bound, because the binding's library clones them under a lock that it holds already.
/// Outputs are made by the runtime, on the host, for each run: nobody writes into an answer that is still held.
#[derive(Debug)]
pub(super) struct Binding {
    binding: IoBinding,
    host: Allocator,
    inputs: Vec<BoundInput>,
}

#[derive(Debug)]
struct BoundInput {
    name: String,
    ty: TensorElementType,
    /// Of the last run's shape. Those given back are used again by the allocator, which keeps an arena.
    buffer: Option<DynTensor>,
}

impl Binding {
    /// Binds through memory that GPU number `gpu` reads and writes by itself (page-locked), in the CUDA
    /// session `session`.
    pub(super) fn pinned(session: &Session, gpu: u32) -> ort::Result<Self> {
        let place = |gpu| MemoryInfo::new(AllocationDevice::CUDA_PINNED, gpu, AllocatorType::Device, MemoryType::CPU);
        let host = Allocator::new(session, place(i32::try_from(gpu).unwrap_or(i32::MAX))?)?;
        // Told apart now from memory that only looks like it.
        DynTensor::new(&host, TensorElementType::Uint8, [1_usize])?.try_extract_tensor::<u8>()?;
        Self::new(session, host)
    }

    /// Binds through ordinary memory.
    pub(super) fn plain(session: &Session) -> ort::Result<Self> {
        Self::new(session, Allocator::default())
    }

    fn new(session: &Session, host: Allocator) -> ort::Result<Self> {
        let inputs = session.inputs().iter().filter_map(|input| match input.dtype() {
            ValueType::Tensor { ty, .. } => Some(BoundInput { name: input.name().to_owned(), ty: *ty, buffer: None }),
            _ => None,
        });
        Ok(Self { inputs: inputs.collect(), binding: session.create_binding()?, host })
    }

    /// Whether these can be bound: strings are objects, which no device copies.
    pub(super) fn takes(&self, inputs: &[Input], outputs: &[&Port]) -> bool {
        let mut types = inputs.iter().map(Input::datatype).chain(outputs.iter().map(|output| output.datatype));
        let is_tensor = |output: &&Port| output.labels.is_empty();
        inputs.len() == self.inputs.len()
            && outputs.iter().all(is_tensor)
            && types.all(|datatype| datatype != Datatype::Bytes)
    }

    /// Runs the session this was made for; answers `outputs` in their order.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        inputs: &[Input],
        outputs: &[&Port],
    ) -> Result<Vec<Tensor>, Failure> {
        for (bound, input) in self.inputs.iter_mut().zip(inputs) {
            copy(input, bound.buffer(&self.host, input.shape()).map_err(|e| classify(&e))?)?;
        }
        let answer = self.run_bound(session, outputs);
        // What stays bound would be written into by the next run.
        self.binding.clear();
        answer
    }

    fn run_bound(&mut self, session: &mut Session, outputs: &[&Port]) -> Result<Vec<Tensor>, Failure> {
        for bound in &self.inputs {
            if let Some(buffer) = &bound.buffer {
                self.binding.bind_input(&bound.name, buffer).map_err(|e| classify(&e))?;
            }
        }
        for output in outputs {
            self.binding.bind_output_to_device(&output.name, self.host.memory_info()).map_err(|e| classify(&e))?;
        }
        let results = session.run_binding(&self.binding).map_err(|e| classify(&e))?;
        self.binding.synchronize_outputs().map_err(|e| classify(&e))?;
        results.into_iter().zip(outputs).map(|((_, value), output)| output.tensor(value)).collect()
    }
}

impl BoundInput {
    /// The buffer of the last run if it has this shape, else a new one in its place.
    fn buffer(&mut self, host: &Allocator, shape: &[usize]) -> ort::Result<&mut DynTensor> {
        let fits = |buffer: &DynTensor| {
            buffer.shape().iter().copied().eq(shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)))
        };
        let buffer = match self.buffer.take().filter(fits) {
            Some(buffer) => buffer,
            None => DynTensor::new(host, self.ty, shape.to_vec())?,
        };
        Ok(self.buffer.insert(buffer))
    }
}
