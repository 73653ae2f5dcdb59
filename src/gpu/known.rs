//! One GPU from look to look: what is known of it, and what changed.
//!
//! Decides when it is lost and when it is back. Does not know what runs on it: it tells CUDA's device of
//! every change.

use super::condition::{Condition, Judge};
use super::library::{Gpu, Session};
use super::sample::{Reader, Sample, Trouble, need};
use crate::clock;
use crate::types::Device;
use nvml_wrapper::error::NvmlError;
use std::sync::Arc;
use std::time::SystemTime;

/// One GPU as it was last seen.
#[derive(Debug, Clone)]
pub struct GpuNow {
    /// Which.
    pub gpu: Arc<Gpu>,
    /// What CUDA calls it; `None` where CUDA does not see it, or that is not known.
    pub device: Option<Device>,
    /// Whether it can be reached.
    pub up: bool,
    /// What was sampled; nothing of one that cannot be reached.
    pub sample: Sample,
    /// What that comes to.
    pub condition: Condition,
    /// The driver's version.
    pub driver: Option<Arc<str>>,
    /// When it was last reached.
    pub sampled_at: Option<SystemTime>,
}

impl GpuNow {
    /// The same, with nothing known of how it is.
    pub(super) fn out_of_reach(&self) -> Self {
        Self { up: false, sample: Sample::default(), condition: Condition::default(), ..self.clone() }
    }
}

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is like this from now on.
    Condition(Condition),
    /// It cannot be reached any more, for this reason.
    Lost(String),
}

/// Hears of changes.
pub(super) type Tell = Box<dyn FnMut(Device, Change) + Send>;

/// A GPU that was listed.
pub(super) struct Known {
    pub(super) now: GpuNow,
    /// The MIG instance that CUDA sees of it.
    pub(super) instance: Option<u32>,
    /// NVML's number in the present session.
    pub(super) place: Option<u32>,
    state: State,
    judge: Judge,
}

/// How the last look went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Seen,
    Silent,
    Lost,
}

impl Known {
    pub(super) fn new(gpu: &Gpu, driver: Option<Arc<str>>) -> Self {
        let place = Some(gpu.index);
        let now = GpuNow {
            gpu: Arc::new(gpu.clone()),
            device: None,
            up: true,
            sample: Sample::default(),
            condition: Condition::default(),
            driver,
            sampled_at: None,
        };
        Self { now, instance: None, place, state: State::Seen, judge: Judge::default() }
    }

    /// Looks at it; tells what changed.
    pub(super) fn look(&mut self, session: &Session, reader: &mut Reader, tell: &mut Tell) -> Result<(), NvmlError> {
        match self.sample(session, reader) {
            Ok(sample) => {
                self.seen(sample, tell);
                Ok(())
            }
            Err(Trouble::Lost(error)) => {
                self.lost(&error, tell);
                Ok(())
            }
            Err(Trouble::Silent(error)) => {
                self.silent(&error, tell);
                Ok(())
            }
            Err(Trouble::Driver(error)) => Err(error),
        }
    }

    /// Whether it was not there at the last look.
    pub(super) fn is_missing(&self) -> bool {
        self.state != State::Seen
    }

    fn sample(&self, session: &Session, reader: &mut Reader) -> Result<Sample, Trouble> {
        let Some(place) = self.place else {
            // It may be one of those that do not say who they are.
            let trouble = if session.refuses_some { Trouble::Silent } else { Trouble::Lost };
            return Err(trouble(NvmlError::NotFound));
        };
        let device = session.device(place)?;
        match self.instance {
            None => reader.sample(self.now.gpu.index, &device, &device),
            Some(instance) => {
                let instance = need(device.mig_device_by_index(instance))?;
                reader.sample(self.now.gpu.index, &device, &instance)
            }
        }
    }

    fn seen(&mut self, sample: Sample, tell: &mut Tell) {
        let GpuNow { gpu, .. } = &self.now;
        if std::mem::replace(&mut self.state, State::Seen) != State::Seen {
            tracing::info!(gpu = gpu.index, uuid = gpu.uuid, "GPU is back");
        }
        (self.now.up, self.now.sample, self.now.sampled_at) = (true, sample, Some(clock::wall_now()));
        self.judge.look(&sample);
        self.set_condition(self.judge.condition(), tell);
    }

    fn lost(&mut self, error: &NvmlError, tell: &mut Tell) {
        if std::mem::replace(&mut self.state, State::Lost) == State::Lost {
            return;
        }
        let (gpu, device) = (&self.now.gpu, self.now.device);
        let named = device.map(tracing::field::display);
        tracing::error!(gpu = gpu.index, uuid = gpu.uuid, device = named, "GPU lost: {error}");
        let message = format!("GPU {} ({}) is lost: {error}", gpu.index, gpu.uuid);
        self.forget(tell);
        if let Some(device) = device {
            tell(device, Change::Lost(message));
        }
    }

    /// Nothing is known of it. What runs on it is left alone: NVML may be refused what CUDA holds already, as
    /// where a container's devices were set anew.
    fn silent(&mut self, error: &NvmlError, tell: &mut Tell) {
        if self.state != State::Seen {
            return;
        }
        self.state = State::Silent;
        let gpu = &self.now.gpu;
        tracing::warn!(gpu = gpu.index, uuid = gpu.uuid, "NVML does not answer for a GPU: {error}");
        self.forget(tell);
    }

    /// Keeps nothing of what was sampled.
    pub(super) fn forget(&mut self, tell: &mut Tell) {
        (self.now.up, self.now.sample, self.judge) = (false, Sample::default(), Judge::default());
        self.set_condition(Condition::default(), tell);
    }

    fn set_condition(&mut self, condition: Condition, tell: &mut Tell) {
        let was = std::mem::replace(&mut self.now.condition, condition);
        if was == condition {
            return;
        }
        self.log_condition(was);
        if let Some(device) = self.now.device {
            tell(device, Change::Condition(condition));
        }
    }

    /// Says what of the condition is new; that nothing is known any more was said otherwise.
    fn log_condition(&self, was: Condition) {
        let GpuNow { gpu, sample, condition, up: true, .. } = &self.now else { return };
        let (index, uuid) = (gpu.index, &gpu.uuid);
        if condition.memory_scarce != was.memory_scarce {
            let (free, total) = sample.memory.map(|memory| (memory.free, memory.total)).unzip();
            match condition.memory_scarce {
                true => tracing::warn!(gpu = index, uuid, free, total, "GPU is short of memory"),
                false => tracing::info!(gpu = index, uuid, free, total, "GPU has memory again"),
            }
        }
        if condition.throttled != was.throttled {
            let reasons: Vec<_> = sample.reasons.into_iter().flat_map(|reasons| reasons.names()).collect();
            match condition.throttled {
                true => tracing::warn!(gpu = index, uuid, reasons = reasons.join(","), "GPU is throttled"),
                false => tracing::info!(gpu = index, uuid, "GPU is throttled no longer"),
            }
        }
    }
}
