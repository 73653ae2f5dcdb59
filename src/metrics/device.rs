//! One model's handles on one device.

use crate::types::locked;
use prometheus::{Counter, IntGauge};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Most shapes told apart.
const MOST_SHAPES: usize = 65_536;

/// One model's metrics on one device. Clones share their values.
#[derive(Debug, Clone)]
pub struct DeviceMetrics {
    pub(super) batches_in_flight: IntGauge,
    pub(super) busy_seconds: Counter,
    pub(super) shapes: IntGauge,
    /// (rows, padded length) of what ran.
    pub(super) seen: Arc<Mutex<HashSet<(u32, u32)>>>,
    pub(super) performance: bool,
}

impl DeviceMetrics {
    /// Counts a batch that begins to run.
    pub fn batch_started(&self) {
        if self.performance {
            self.batches_in_flight.inc();
        }
    }

    /// Counts a batch that ended, after so long on the device.
    pub fn batch_ended(&self, busy: Duration) {
        if self.performance {
            self.batches_in_flight.dec();
            self.busy_seconds.inc_by(busy.as_secs_f64());
        }
    }

    /// Takes note of a shape that ran well; the first 65536 are told apart.
    pub fn shape_ran(&self, rows: u32, padded_len: u32) {
        if self.performance {
            let mut seen = locked(&self.seen);
            if seen.len() < MOST_SHAPES && seen.insert((rows, padded_len)) {
                self.shapes.inc();
            }
        }
    }
}
