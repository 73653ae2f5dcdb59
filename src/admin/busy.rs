//! How busy each device was of late: the share of their time that its workers spent on batches.
//!
//! Decides how far back that goes. Is told what the workers did, and when.

use super::history::STEP;
use crate::dispatch::WorkerReport;
use crate::types::{Time, locked};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Looks kept, one a step: the oldest is ten to twelve seconds back.
const LOOKS: usize = 6;

/// The last looks, oldest first.
#[derive(Debug, Default)]
pub(super) struct Busy {
    looks: Mutex<VecDeque<Look>>,
}

/// The time that the workers of each device had spent on batches at one moment.
#[derive(Debug)]
pub(super) struct Look {
    at: Time,
    devices: BTreeMap<Arc<str>, Duration>,
}

impl Look {
    /// Adds up what the workers say at a moment.
    pub(super) fn at(workers: &[WorkerReport], at: Time) -> Self {
        let mut devices: BTreeMap<_, Duration> = BTreeMap::new();
        for worker in workers {
            *devices.entry(Arc::clone(&worker.device)).or_default() += worker.busy;
        }
        Self { at, devices }
    }
}

impl Busy {
    /// Takes in a look, at the cost of the oldest.
    pub(super) fn push(&self, look: Look) {
        let mut looks = locked(&self.looks);
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    /// The share of its time that each of a device's workers spent on batches before `now`, on average;
    /// `None` without an earlier look that is far enough back.
    pub(super) fn ratio(&self, now: &Look, device: &str, workers: usize) -> Option<f64> {
        let looks = locked(&self.looks);
        let earlier = looks.front().filter(|look| now.at.since(look.at) >= STEP / 2)?;
        let busy = now.devices.get(device)?.saturating_sub(*earlier.devices.get(device)?);
        let time = now.at.since(earlier.at).as_secs_f64() * workers as f64;
        Some((busy.as_secs_f64() / time).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{DeviceCondition, WorkerDoes};
    use crate::types::{ModelId, WorkerId};

    fn look(seconds: u64, busy: [u64; 2]) -> Look {
        let worker = |device: &str, busy| WorkerReport {
            id: WorkerId(0),
            model: ModelId(0),
            device: device.into(),
            state: WorkerDoes::Waiting,
            busy: Duration::from_secs(busy),
            condition: DeviceCondition::default(),
        };
        let workers = [worker("cpu", busy[0]), worker("cpu", busy[1]), worker("gpu", 7)];
        Look::at(&workers, Time::from_millis(1_000 * seconds))
    }

    #[test]
    fn a_device_is_as_busy_as_its_workers_were_of_late() {
        let busy = Busy::default();
        assert_eq!(busy.ratio(&look(9, [1, 1]), "cpu", 2), None);
        (1..=10).for_each(|step| busy.push(look(2 * step, [step, 0])));
        // The oldest kept is at 10 s: since then one worker was busy for 6 s of 12, the other for 3.
        let now = look(22, [11, 3]);
        assert_eq!(busy.ratio(&now, "cpu", 2), Some(9.0 / 24.0));
        assert_eq!((busy.ratio(&now, "gpu", 1), busy.ratio(&now, "tpu", 1)), (Some(0.0), None));
        assert_eq!(busy.ratio(&look(22, [200, 0]), "cpu", 2), Some(1.0));
        assert_eq!(busy.ratio(&look(10, [200, 0]), "cpu", 2), None, "too near to tell");
    }
}
