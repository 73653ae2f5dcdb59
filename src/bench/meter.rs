//! What the generator itself costs: its processor time within the measured time.

use super::Run;
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Processor time, and the time it was spent in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) spent: Duration,
    pub(super) time: Duration,
}

impl Cost {
    /// Cores kept busy on average; zero where nothing was measured.
    pub(super) fn cores(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.spent.as_secs_f64() / self.time.as_secs_f64() }
    }
}

/// Reads the processor time at both ends of the measured time.
pub(super) fn start(run: &Arc<Run>) -> JoinHandle<Cost> {
    let measured = run.measured;
    tokio::spawn(async move {
        tokio::time::sleep_until(clock::deadline(measured.from)).await;
        let (from, spent) = (clock::now(), clock::processor_time());
        tokio::time::sleep_until(clock::deadline(measured.until)).await;
        Cost { spent: clock::processor_time().saturating_sub(spent), time: clock::now().since(from) }
    })
}
