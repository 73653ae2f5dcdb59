//! Models: what a folder holds, what its tensors mean, and the live table.
//!
//! Decides which dimension is the batch and which the length, what is padded and with what, and what
//! a model can be asked for. Does not run anything.

mod accept;
mod batching;
mod datatype;
mod describe;
mod dims;
#[cfg(test)]
mod fixtures;
mod folder;
mod hub;
mod json;
mod placed;
mod readers;
mod registry;
mod resolve;
mod settings;
mod spec;
mod task;

pub use accept::{Accepted, Given};
pub use batching::{Batching, Mode};
pub use datatype::Datatype;
pub use describe::Finding;
pub use folder::{Folder, FolderError, Stacking};
pub use placed::{ChosenBy, Placed, Sessions};
pub use readers::{Earlier, Reading};
pub use registry::{Model, ModelState, Registry};
pub use spec::{Dim, Filling, LeftOut, MadeUp, ModelSpec, RawDim, RawIo, RawTensor, Task, TensorSpec, TextInput};
