//! Models: what a folder holds, what its tensors mean, and the live table.
//!
//! Decides which dimension is the batch and which the length, what is padded and with what, and what
//! a model can be asked for. Does not run anything.

mod datatype;
mod folder;
mod registry;
mod spec;

pub use datatype::Datatype;

pub use registry::{Model, ModelState, Registry};
pub use spec::{Dim, ModelSpec, RawDim, RawIo, RawTensor, Task, TensorSpec};
