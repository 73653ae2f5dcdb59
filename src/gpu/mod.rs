//! What NVIDIA's management library (NVML) says of this machine's GPUs.
//!
//! Decides what is sampled, which GPU CUDA knows under which number, and when one counts as short of
//! memory, throttled or lost. Does not know what follows from it: whoever starts the monitor is told.

mod condition;
mod known;
mod library;
mod monitor;
mod sample;
mod shown;
mod visible;

pub use condition::Condition;
pub use known::{Change, GpuNow};
pub use library::{Gpu, Gpus, Instance, OpenError, open};
pub use monitor::Monitor;
pub use sample::{Memory, Reasons, Sample};
pub use shown::{Shown, Snapshot};
pub use visible::{Environment, Seen, Visible, visible};
