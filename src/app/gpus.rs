//! GPUs: found before the models are loaded, watched once the workers are there.
//!
//! Decides whom a change of a GPU is told to. Nothing of this runs without performance monitoring.

use super::AppError;
use crate::config::Config;
use crate::dispatch::{Handle, WorkerPlan};
use crate::gpu::{self, Change, Condition, Environment, Gpus, Monitor, Shown};
use crate::metrics::Metrics;
use crate::sched::DeviceCondition;
use crate::types::{Device, DeviceId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The devices that workers run on.
pub(super) type Sites = BTreeMap<Device, DeviceId>;

/// Looks for GPUs. Blocks.
pub(super) fn find(config: &Config) -> Result<Option<Gpus>, AppError> {
    if !config.monitoring.performance {
        return Ok(None);
    }
    let found = gpu::open(config.nvml.library.as_ref(), Environment::of_process())?;
    if let Some(gpus) = &found {
        let (listed, visible) = (gpus.list().len(), gpus.count());
        tracing::info!(listed, visible, driver = gpus.driver(), cuda = gpus.cuda(), "GPUs");
    }
    Ok(found)
}

/// The devices of these workers, by name.
pub(super) fn sites(plans: &[WorkerPlan]) -> Sites {
    plans.iter().filter_map(|plan| Some((plan.device_name.parse().ok()?, plan.device))).collect()
}

/// Has what was found watched each `period`: shown in the metrics, and told to the scheduler.
pub(super) fn watch(
    found: Option<Gpus>,
    period: Duration,
    sites: Sites,
    handle: &Handle,
    metrics: &Metrics,
) -> Result<(Option<Monitor>, Shown), AppError> {
    let Some(gpus) = found else { return Ok((None, Shown::default())) };
    let handle = handle.clone();
    let tell = move |device, change| {
        if let Some(id) = sites.get(&device) {
            pass_on(&handle, *id, change);
        }
    };
    let (monitor, shown) = gpus.watch(period, tell).map_err(AppError::system("the monitor of GPUs"))?;
    metrics.show_gpus(shown.clone()).map_err(AppError::metrics)?;
    Ok((Some(monitor), shown))
}

fn pass_on(handle: &Handle, device: DeviceId, change: Change) {
    match change {
        Change::Condition(Condition { memory_scarce, throttled }) => {
            handle.set_device_condition(device, DeviceCondition { memory_scarce, throttled });
        }
        Change::Lost(message) => handle.device_lost(device, message),
    }
}

#[cfg(test)]
mod tests;
