//! Loads what the configuration names: the runtime, the models and their workers.

use super::placement::{Gpus, Site};
use super::{AppError, nodes};
use crate::clock;
use crate::config::{Config, ModelConfig};
use crate::dispatch::{Start, WorkerPlan};
use crate::exec::{self, Nodes, OnnxBackend, Runtime, SessionSettings, WarmUp, WorkerConfig};
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Folder, Model, ModelSpec, Placed};
use crate::types::{Device, DeviceId, ModelId, WorkerId, locked};
use std::error::Error;
use std::sync::{Arc, Mutex};

/// Most sessions a model gets by default: each costs memory of its own.
const MAX_INSTANCES: usize = 4;

/// Sessions a model gets on each GPU by default.
const GPU_INSTANCES: usize = 2;

/// The models, and the workers that run them.
pub(super) type Models = (Vec<Arc<Model>>, Vec<WorkerPlan>);

/// Cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Opens every model and plans its workers; `gpus` is how many this process may see, where that is known.
/// Blocks.
pub(super) fn models(config: &Config, gpus: Option<u32>, metrics: &Metrics) -> Result<Models, AppError> {
    if config.models.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let runtime = Runtime::load(config.onnxruntime_library.as_ref())?;
    let version = runtime.version().unwrap_or("unknown");
    tracing::info!(path = %runtime.path().display(), version, "ONNX Runtime");
    let mut gpus = Gpus::new(gpus, |gpu| exec::look_for_cuda(&runtime, gpu));
    let (mut models, mut plans, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (index, settings) in config.models.iter().enumerate() {
        let id = ModelId(u32::try_from(index).unwrap_or(u32::MAX));
        let (model, folder) = open(id, settings, &runtime)?;
        let site = gpus.place(&settings.device).map_err(|message| fault(settings, message))?;
        tell_of_fallback(&site, settings, metrics);
        let team = Team { model: &model, folder: &folder, runtime: &runtime, metrics: metrics.model(&model.name) };
        let parts = site.devices.iter().filter(|device| matches!(device, Device::Cpu(_))).count();
        for device in &site.devices {
            let (instances, threads) = sizes(settings, *device, cores() / parts.max(1));
            let (path, device) = (settings.path.display(), *device);
            tracing::info!(model = %model.name, %path, %device, instances, threads, "loading");
            let number = numbered(&mut known, device);
            let session = SessionSettings { device, threads, cuda: settings.cuda.clone() };
            plans.extend(team.plan(number, &session, instances, plans.len()));
        }
        model.set_placed(Placed { devices: site.devices, fallback: site.fallback, providers: None });
        models.push(model);
    }
    Ok((models, plans))
}

fn fault(settings: &ModelConfig, message: String) -> AppError {
    AppError::Model { name: settings.name.clone(), message }
}

/// Says aloud that a model with `auto` is not where it could be, and what would bring it there.
fn tell_of_fallback(site: &Site, settings: &ModelConfig, metrics: &Metrics) {
    let Some(why) = &site.fallback else { return };
    let devices: Vec<String> = site.devices.iter().map(ToString::to_string).collect();
    let on = devices.join(", ");
    tracing::warn!(
        model = %settings.name, devices = on,
        "falls back to {on}: {why}. Where that is what you want, name it as `device`"
    );
    for device in &devices {
        metrics.model(&settings.name).fell_back("auto", device);
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
    let fault = |error: &dyn Error| fault(settings, error.to_string());
    let folder = Folder::open(&settings.path).map_err(|e| fault(&e))?;
    let io = exec::probe(runtime, folder.onnx()).map_err(|e| fault(&e))?;
    let spec = ModelSpec::resolve(&io, &folder).map_err(|e| fault(&e))?;
    for finding in spec.describe(&folder).into_iter().filter(|f| f.warning) {
        tracing::warn!(model = %settings.name, "{}", finding.text);
    }
    let tokenizer = folder.tokenizer().map_err(|e| fault(&e))?;
    let model = Model::new(id, &settings.name, spec, tokenizer, clock::unix_seconds());
    Ok((Arc::new(model), folder))
}

/// Instances and threads of a device: as set, else on the CPU one thread a session and a session a core of
/// those that are its own.
///
/// On a GPU two sessions of one thread: while one computes, the other's rows are padded, copied and split.
/// More would only share the same arithmetic, and each keeps the weights and an arena.
fn sizes(settings: &ModelConfig, device: Device, cores: usize) -> (usize, usize) {
    let cores = cores.max(1);
    let given = |n: Option<u32>| n.map(|n| n as usize);
    if matches!(device, Device::Cuda(_)) {
        return (given(settings.instances).unwrap_or(GPU_INSTANCES), given(settings.threads).unwrap_or(1));
    }
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

/// What the workers of one model share.
struct Team<'a> {
    model: &'a Arc<Model>,
    folder: &'a Folder,
    runtime: &'a Arc<Runtime>,
    metrics: Arc<ModelMetrics>,
}

impl Team<'_> {
    /// Plans the workers of one device, numbered from `first` on.
    fn plan(&self, device: DeviceId, session: &SessionSettings, instances: usize, first: usize) -> Vec<WorkerPlan> {
        let parts = exec::warm_up(&self.model.spec, session.device, instances);
        let plan = |(index, part)| {
            let id = WorkerId(u32::try_from(first + index).unwrap_or(u32::MAX));
            // What a GPU runs of the graph is the same for all: the first session tells.
            let tells = index == 0 && matches!(session.device, Device::Cuda(_));
            let start = self.start(id, session, part, tells);
            let device_name = session.device.to_string();
            WorkerPlan { id, model: Arc::clone(self.model), device, device_name, start }
        };
        parts.into_iter().enumerate().map(plan).collect()
    }

    fn start(&self, id: WorkerId, session: &SessionSettings, part: WarmUp, tells: bool) -> Start {
        let (owner, runtime, metrics) = (Arc::clone(self.model), Arc::clone(self.runtime), Arc::clone(&self.metrics));
        let (path, session) = (self.folder.onnx().to_owned(), session.clone());
        // The sweep is for the first start; a worker that comes back joins the others at work.
        let part = Mutex::new(Some(part));
        Box::new(move |events| {
            let sweep = locked(&part).take();
            let tells = tells && sweep.is_some();
            let warm_up = sweep.or_else(|| exec::first_run(&owner.spec, session.device).pop());
            let name = format!("{}/{id}", owner.name);
            let config = WorkerConfig { id, name, model: Arc::clone(&owner), warm_up };
            let (owner, runtime, metrics) = (Arc::clone(&owner), Arc::clone(&runtime), Arc::clone(&metrics));
            let (path, session) = (path.clone(), session.clone());
            let make = move || {
                let model = Arc::clone(&owner);
                let tell = move |nodes: &Nodes| nodes::tell(&model, &metrics, session.device, nodes);
                Ok(Box::new(match tells {
                    true => OnnxBackend::recorded(&runtime, &path, &owner.spec, &session, tell)?,
                    false => OnnxBackend::new(&runtime, &path, &owner.spec, &session)?,
                }) as _)
            };
            exec::spawn(config, make, events)
        })
    }
}
