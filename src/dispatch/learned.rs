//! What was learned of costs, handed out to be kept and taken back at the next start.
//!
//! Decides that the last word is spoken when the driver ends. Does not know where it is kept.

use super::driver::Driver;
use super::{Control, Handle};
use crate::clock;
use crate::sched::Unsound;
use crate::types::{DeviceId, ModelId};
use std::sync::Arc;
use tokio::sync::oneshot;

pub use crate::sched::CostState;

/// What was learned of one model on one device.
#[derive(Debug, Clone)]
pub struct LearnedCost {
    /// The model.
    pub model: ModelId,
    /// The device's name.
    pub device: Arc<str>,
    /// The cost.
    pub cost: CostState,
}

impl Driver {
    /// Goes on from what was learned in an earlier life of the program. Call before [`run`](Self::run).
    ///
    /// # Errors
    /// When no such life could have learned it; nothing changes then.
    pub fn restore(&mut self, model: ModelId, device: DeviceId, cost: &CostState) -> Result<(), Unsound> {
        self.sched.handle_learned(model, device, cost, clock::now())
    }

    /// What was learned so far, of every model on every device.
    pub(super) fn learned(&self) -> Vec<LearnedCost> {
        let mut models: Vec<ModelId> = self.models.keys().copied().collect();
        models.sort_unstable();
        let known = models.into_iter().flat_map(|model| self.sched.costs(model).map(move |cost| (model, cost)));
        let known = known.filter(|(_, (_, cost))| cost.known());
        let learned = |(model, (device, cost)): (_, (_, &crate::sched::CostModel))| LearnedCost {
            model,
            device: self.device_name(device),
            cost: cost.state(),
        };
        known.map(learned).collect()
    }
}

impl Handle {
    /// What was learned of costs so far; by the time it ended, once the driver has.
    pub async fn learned(&self) -> Vec<LearnedCost> {
        let (reply, answer) = oneshot::channel();
        self.tell(Control::Learned(reply));
        match answer.await {
            Ok(learned) => learned,
            Err(_) => self.last_learned.get().cloned().unwrap_or_default(),
        }
    }
}
