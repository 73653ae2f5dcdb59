//! Loads what the configuration names: the runtime, the models and their workers.

use super::AppError;
use crate::clock;
use crate::config::{Config, ModelConfig, Placement};
use crate::dispatch::WorkerPlan;
use crate::exec::{self, OnnxBackend, Runtime, WorkerConfig};
use crate::model::{Folder, Model, ModelSpec};
use crate::types::{Device, DeviceId, ModelId, WorkerId, locked};
use std::sync::Arc;
use std::sync::Mutex;

/// Most sessions a model gets by default: each costs memory of its own.
const MAX_INSTANCES: usize = 4;

/// The models, and the workers that run them.
pub(super) type Models = (Vec<Arc<Model>>, Vec<WorkerPlan>);

/// Cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Opens every model and plans its workers. Blocks.
pub(super) fn models(config: &Config) -> Result<Models, AppError> {
    if config.models.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let runtime = Runtime::load(config.onnxruntime_library.as_ref())?;
    let version = runtime.version().unwrap_or("unknown");
    tracing::info!(path = %runtime.path().display(), version, "ONNX Runtime");
    let (mut models, mut plans, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (index, settings) in config.models.iter().enumerate() {
        let id = ModelId(u32::try_from(index).unwrap_or(u32::MAX));
        let (model, folder) = open(id, settings, &runtime)?;
        let devices = devices(settings)?;
        let parts = devices.iter().filter(|device| matches!(device, Device::Cpu(_))).count();
        let (instances, threads) = sizes(settings, cores() / parts.max(1));
        tracing::info!(model = %model.name, path = %settings.path.display(), instances, threads, "loading");
        for device in devices {
            let site = (numbered(&mut known, device), device);
            plans.extend(workers(&model, &folder, &runtime, site, (instances, threads), plans.len()));
        }
        models.push(model);
    }
    Ok((models, plans))
}

/// Where a model runs.
fn devices(settings: &ModelConfig) -> Result<Vec<Device>, AppError> {
    let devices = match &settings.device {
        Placement::Auto => vec![Device::Cpu(0)],
        Placement::Cuda => vec![Device::Cuda(0)],
        Placement::On(devices) => devices.clone(),
    };
    match devices.iter().find(|device| matches!(device, Device::Cuda(_))) {
        None => Ok(devices),
        Some(gpu) => {
            let message = format!("this build cannot run on {gpu}");
            Err(AppError::Model { name: settings.name.clone(), message })
        }
    }
}

/// The number of a device: models that name the same one share it.
fn numbered(known: &mut Vec<Device>, device: Device) -> DeviceId {
    let at = known.iter().position(|d| *d == device).unwrap_or_else(|| {
        known.push(device);
        known.len() - 1
    });
    DeviceId(u32::try_from(at).unwrap_or(u32::MAX))
}

fn open(id: ModelId, settings: &ModelConfig, runtime: &Runtime) -> Result<(Arc<Model>, Folder), AppError> {
    let fault = |message: String| AppError::Model { name: settings.name.clone(), message };
    let folder = Folder::open(&settings.path).map_err(|e| fault(e.to_string()))?;
    let io = exec::probe(runtime, folder.onnx()).map_err(|e| fault(e.to_string()))?;
    let spec = ModelSpec::resolve(&io, &folder).map_err(|e| fault(e.to_string()))?;
    for finding in spec.describe(&folder).into_iter().filter(|f| f.warning) {
        tracing::warn!(model = %settings.name, "{}", finding.text);
    }
    let tokenizer = folder.tokenizer().map_err(|e| fault(e.to_string()))?;
    let model = Model::new(id, &settings.name, spec, tokenizer, clock::unix_seconds());
    Ok((Arc::new(model), folder))
}

/// Instances and threads of each device: as set, else one thread a session and a session a core of those
/// that are its own.
fn sizes(settings: &ModelConfig, cores: usize) -> (usize, usize) {
    let cores = cores.max(1);
    let given = |n: Option<u32>| n.map(|n| n as usize);
    match (given(settings.instances), given(settings.threads)) {
        (Some(instances), Some(threads)) => (instances, threads),
        (Some(instances), None) => (instances, (cores / instances).max(1)),
        (None, Some(threads)) => ((cores / threads).clamp(1, MAX_INSTANCES), threads),
        (None, None) => {
            let instances = cores.min(MAX_INSTANCES);
            (instances, (cores / instances).max(1))
        }
    }
}

fn workers(
    model: &Arc<Model>,
    folder: &Folder,
    runtime: &Arc<Runtime>,
    (device, name): (DeviceId, Device),
    (instances, threads): (usize, usize),
    first: usize,
) -> Vec<WorkerPlan> {
    let parts = exec::warm_up(&model.spec, instances);
    let plan = |(index, part)| {
        let id = WorkerId(u32::try_from(first + index).unwrap_or(u32::MAX));
        let (owner, runtime) = (Arc::clone(model), Arc::clone(runtime));
        let path = folder.onnx().to_owned();
        // The sweep is for the first start; a worker that comes back joins the others at work.
        let part = Mutex::new(Some(part));
        let start = move |events| {
            let sweep = locked(&part).take();
            let warm_up = sweep.or_else(|| exec::first_run(&owner.spec).pop());
            let name = format!("{}/{id}", owner.name);
            let config = WorkerConfig { id, name, model: Arc::clone(&owner), warm_up };
            let (owner, runtime, path) = (Arc::clone(&owner), Arc::clone(&runtime), path.clone());
            let make = move || Ok(Box::new(OnnxBackend::new(&runtime, &path, &owner.spec, threads)?) as _);
            exec::spawn(config, make, events)
        };
        WorkerPlan { id, model: Arc::clone(model), device, device_name: name.to_string(), start: Box::new(start) }
    };
    parts.into_iter().enumerate().map(plan).collect()
}
