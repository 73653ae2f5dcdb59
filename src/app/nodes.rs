//! What runs a model that was meant for a GPU: told to whoever asks, and aloud where it is mostly the CPU.
//!
//! Decides from when on that is worth a warning. Does not know how it was found out.

use crate::exec::Nodes;
use crate::metrics::ModelMetrics;
use crate::model::Model;
use crate::types::Device;

/// The provider of what runs on a GPU.
const CUDA: &str = "CUDAExecutionProvider";

/// Passes on which execution providers run a model's nodes on one of its GPUs.
pub(super) fn tell(model: &Model, metrics: &ModelMetrics, device: Device, nodes: &Nodes) {
    let name = device.to_string();
    for (provider, count) in nodes {
        metrics.nodes(&name, provider, *count);
    }
    let is_gpu = |device: &&Device| matches!(device, Device::Cuda(_));
    if model.placed().devices.iter().find(is_gpu) == Some(&device) {
        model.set_providers(nodes);
    }
    match complaint(nodes) {
        Some(complaint) => tracing::warn!(model = %model.name, %device, ?nodes, "{complaint}"),
        None => tracing::info!(model = %model.name, %device, ?nodes, "nodes by execution provider"),
    }
}

/// A few nodes on the CPU are as it should be: those that compute shapes.
fn complaint(nodes: &Nodes) -> Option<String> {
    let (all, on_gpu) = (nodes.values().sum::<u64>(), nodes.get(CUDA).copied().unwrap_or_default());
    let mend = "CUDA has no kernel for the rest: export the model with other operators, or in fp32 or fp16";
    match on_gpu {
        _ if all == 0 => None,
        0 => Some(format!("runs on the CPU alone, though it was placed on a GPU: {mend}; or set device = \"cpu\"")),
        some if some * 2 < all => Some(format!("runs mostly on the CPU, {some} of {all} nodes on the GPU: {mend}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::{ModelSpec, Placed};
    use crate::types::ModelId;

    fn nodes(cuda: u64, cpu: u64) -> Nodes {
        let all = [(CUDA, cuda), ("CPUExecutionProvider", cpu)];
        all.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn a_model_that_is_silently_on_the_cpu_is_complained_of() {
        assert_eq!(complaint(&nodes(100, 20)), None);
        assert!(complaint(&nodes(0, 120)).unwrap().contains("the CPU alone"));
        assert!(complaint(&nodes(20, 100)).unwrap().contains("20 of 120"));
        assert_eq!(complaint(&nodes(0, 0)), None, "nothing was seen");
    }

    #[test]
    fn nodes_are_told_by_device_and_provider() {
        let spec = ModelSpec::default();
        let model = Model::new(ModelId(0), "m", spec, None, 0);
        let devices = vec![Device::Cpu(0), Device::Cuda(1), Device::Cuda(0)];
        model.set_placed(Placed { devices, ..Placed::default() });
        let metrics = Metrics::new().unwrap();
        tell(&model, &metrics.model("m"), Device::Cuda(1), &nodes(90, 10));
        tell(&model, &metrics.model("m"), Device::Cuda(0), &nodes(0, 10));
        assert_eq!(model.placed().providers, Some(nodes(90, 10)), "of its first GPU");
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for sample in [
            r#"inferneo_model_nodes{device="cuda:1",model="m",provider="CUDAExecutionProvider"} 90"#,
            r#"inferneo_model_nodes{device="cuda:0",model="m",provider="CPUExecutionProvider"} 10"#,
        ] {
            assert!(text.contains(sample), "{text}");
        }
    }
}
