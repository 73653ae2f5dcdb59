//! What this machine has: GPUs, as NVML lists them.
//!
//! Decides which of it is a warning and which a failure.

use super::Report;
use crate::gpu::{self, Environment};
use crate::types::NamedFile;

const NO_GPU: &str = "models run on the CPU. For a GPU: install NVIDIA's driver; in a container, run it with NVIDIA's \
                      runtime, or in a pod ask for nvidia.com/gpu";

/// Looks for NVML (`library` as configured) and for the GPUs it lists, each with the number CUDA gives it here.
pub(super) fn examine(library: Option<&NamedFile>, report: &mut Report) {
    let gpus = match gpu::open(library, Environment::of_process()) {
        Ok(Some(gpus)) => gpus,
        Ok(None) => return report.ok(format!("no GPU: NVML is not here; {NO_GPU}")),
        Err(error) => return report.failure(error),
    };
    if gpus.list().is_empty() {
        return report.warning(format!("NVML is here, but lists no GPU: {NO_GPU}"));
    }
    let visible = gpus.visible();
    for (at, gpu) in gpus.list().iter().enumerate() {
        let number = visible.seen.iter().position(|seen| seen.gpu == at);
        let device = match number {
            Some(number) => format!("cuda:{number}"),
            None if visible.warning.is_some() => "device not known".to_owned(),
            None => "not visible to CUDA here".to_owned(),
        };
        let name = gpu.name.as_deref().unwrap_or("of unknown name");
        let memory =
            gpu.memory_total.map_or_else(|| "memory not known".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let instances = match gpu.mig {
            Some(true) => format!(", MIG with {} instances", gpu.instances.len()),
            _ => String::new(),
        };
        let [driver, cuda] = [gpus.driver(), gpus.cuda()].map(|version| version.unwrap_or("unknown"));
        report.ok(format!(
            "GPU {}: {name}, {}, {memory}{instances}, {device}, driver {driver}, CUDA up to {cuda}",
            gpu.index, gpu.uuid
        ));
    }
    if let Some(warning) = visible.warning {
        report.warning(warning);
    }
}
