//! The GPUs in `/stats`.
//!
//! Decides the form. What is not known is `null`.

use super::date;
use crate::gpu::{GpuNow, Snapshot};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct GpuStats<'a> {
    index: u32,
    uuid: &'a str,
    name: Option<&'a str>,
    up: bool,
    device: Option<String>,
    utilization: Option<f64>,
    memory_utilization: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    process_memory_bytes: Option<u64>,
    temperature_c: Option<u32>,
    power_w: Option<f64>,
    power_limit_w: Option<f64>,
    clock_sm_mhz: Option<u32>,
    clock_memory_mhz: Option<u32>,
    throttle_reasons: Option<Vec<&'static str>>,
    ecc_corrected: Option<u64>,
    ecc_uncorrected: Option<u64>,
    mig: Option<bool>,
    driver: Option<&'a str>,
    sampled_at: Option<String>,
}

impl<'a> GpuStats<'a> {
    pub(super) fn of(now: &'a GpuNow) -> Self {
        let (gpu, sample) = (&*now.gpu, &now.sample);
        Self {
            index: gpu.index,
            uuid: &gpu.uuid,
            name: gpu.name.as_deref(),
            up: now.up,
            device: now.device.map(|device| device.to_string()),
            utilization: sample.utilization,
            memory_utilization: sample.memory_utilization,
            memory_used_bytes: sample.memory.map(|memory| memory.used),
            memory_total_bytes: sample.memory.map(|memory| memory.total),
            process_memory_bytes: sample.process_memory,
            temperature_c: sample.temperature,
            power_w: sample.power,
            power_limit_w: sample.power_limit,
            clock_sm_mhz: sample.clock_sm,
            clock_memory_mhz: sample.clock_memory,
            throttle_reasons: sample.reasons.map(|reasons| reasons.names().collect()),
            ecc_corrected: sample.ecc_corrected,
            ecc_uncorrected: sample.ecc_uncorrected,
            mig: sample.mig,
            driver: now.driver.as_deref(),
            sampled_at: now.sampled_at.map(date),
        }
    }
}

/// The GPU behind a device, such as `cuda:0`.
pub(super) fn uuid_of<'a>(gpus: &'a Snapshot, device: &str) -> Option<&'a str> {
    let is_behind = |gpu: &&GpuNow| gpu.device.is_some_and(|own| own.to_string() == device);
    gpus.gpus.iter().find(is_behind).map(|gpu| &*gpu.gpu.uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Condition, Gpu, Sample};
    use crate::types::Device;
    use std::sync::Arc;

    #[test]
    fn a_device_leads_to_its_gpu() {
        let (name, memory_total, mig, instances) = Default::default();
        let gpu = Arc::new(Gpu { index: 0, uuid: "GPU-a".to_owned(), name, memory_total, mig, instances });
        let (device, up, driver, sampled_at) = (Some(Device::Cuda(1)), true, None, None);
        let (sample, condition) = (Sample::default(), Condition::default());
        let gpus = vec![GpuNow { gpu, device, up, sample, condition, driver, sampled_at }];
        let snapshot = Snapshot { gpus, ..Snapshot::default() };
        let found = ["cuda:1", "cuda:0", "cpu"].map(|device| uuid_of(&snapshot, device));
        assert_eq!(found, [Some("GPU-a"), None, None]);
    }
}
