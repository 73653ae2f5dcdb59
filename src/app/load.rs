//! Loads what the configuration names: the runtime, the models and their workers.

use super::learned::{self, Keeper};
use super::placement::{Gpus, Site};
use super::{AppError, nodes};
use crate::clock;
use crate::config::{Config, ModelConfig};
use crate::dispatch::{Start, WorkerPlan};
use crate::exec::{self, Nodes, OnnxBackend, Runtime, SessionSettings, WarmUp, WorkerConfig};
use crate::gpu;
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Folder, Model, ModelSpec, Placed};
use crate::state::{self, Fingerprint};
use crate::types::{Device, DeviceId, ModelId, WorkerId, locked};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Most sessions a model gets by default: each costs memory of its own.
const MAX_INSTANCES: usize = 4;

/// Sessions a model gets on each GPU by default.
const GPU_INSTANCES: usize = 2;

/// The models, the workers that run them, and who keeps what is learned of them.
pub(super) type Models = (Vec<Arc<Model>>, Vec<WorkerPlan>, Keeper);

/// Cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Opens every model and plans its workers. Blocks.
pub(super) fn models(config: &Config, found: Option<&gpu::Gpus>, metrics: &Metrics) -> Result<Models, AppError> {
    let mut keeper = Keeper::default();
    if config.models.is_empty() {
        return Ok((Vec::new(), Vec::new(), keeper));
    }
    let runtime = Runtime::load(config.onnxruntime_library.as_ref())?;
    let version = runtime.version().unwrap_or("unknown");
    tracing::info!(path = %runtime.path().display(), version, "ONNX Runtime");
    let mut gpus = Gpus::new(found.and_then(gpu::Gpus::count), |gpu| exec::look_for_cuda(&runtime, gpu));
    let (mut models, mut plans, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (index, settings) in config.models.iter().enumerate() {
        let id = ModelId(u32::try_from(index).unwrap_or(u32::MAX));
        let (model, folder) = open(id, settings, &runtime)?;
        let site = gpus.place(&settings.device).map_err(|message| fault(settings, message))?;
        tell_of_fallback(&site, settings, metrics);
        let team = Team { model: &model, folder: &folder, runtime: &runtime, metrics: metrics.model(&model.name) };
        let parts = site.devices.iter().filter(|device| matches!(device, Device::Cpu(_))).count();
        let berth = |device: &Device| {
            let (instances, threads) = sizes(settings, *device, cores() / parts.max(1));
            let session = SessionSettings { device: *device, threads, cuda: settings.cuda.clone() };
            Berth { number: numbered(&mut known, *device), session, instances }
        };
        let berths: Vec<Berth> = site.devices.iter().map(berth).collect();
        team.open_kept(&mut keeper, config, settings, &berths, found);
        for berth in &berths {
            let (device, instances, threads) = (berth.session.device, berth.instances, berth.session.threads);
            tracing::info!(model = %model.name, path = %settings.path.display(), %device, instances, threads, "loading");
            plans.extend(team.plan(berth, &keeper, plans.len()));
        }
        model.set_placed(Placed { devices: site.devices, fallback: site.fallback, providers: None });
        models.push(model);
    }
    Ok((models, plans, keeper))
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

/// What computes on a device: the processor, or the GPU's id where that is known.
fn processor(device: Device, gpus: Option<&gpu::Gpus>) -> String {
    let Device::Cuda(number) = device else { return state::processor(cores()) };
    let known = gpus.and_then(|gpus| {
        let seen = *gpus.visible().seen.get(number as usize)?;
        let gpu = gpus.list().get(seen.gpu)?;
        let instance = seen.instance.and_then(|at| gpu.instances.get(at));
        Some(instance.map_or(&gpu.uuid, |instance| &instance.uuid).clone())
    });
    known.unwrap_or_else(|| "unknown".to_owned())
}

/// The sessions of a model on one device.
struct Berth {
    number: DeviceId,
    session: SessionSettings,
    instances: usize,
}

/// What the workers of one model share.
struct Team<'a> {
    model: &'a Arc<Model>,
    folder: &'a Folder,
    runtime: &'a Arc<Runtime>,
    metrics: Arc<ModelMetrics>,
}

impl Team<'_> {
    /// Takes note of what an earlier life of the program learned of the model here.
    fn open_kept(
        &self,
        keeper: &mut Keeper,
        config: &Config,
        settings: &ModelConfig,
        berths: &[Berth],
        gpus: Option<&gpu::Gpus>,
    ) {
        let model = match state::model_print(self.folder.onnx()) {
            Ok(print) => print,
            Err(error) => return tracing::warn!(model = %self.model.name, "learned costs are not kept: {error}"),
        };
        let runtime = self.runtime.version().unwrap_or("unknown");
        let on = |berth: &Berth| {
            let device = berth.session.device;
            let on = Fingerprint {
                model: model.clone(),
                runtime: runtime.to_owned(),
                device: device.to_string(),
                processor: processor(device, gpus),
                instances: berth.instances,
                threads: berth.session.threads,
            };
            (berth.number, on)
        };
        let devices = berths.iter().map(on).collect();
        let site = learned::Site { id: self.model.id, model: &self.model.name, folder: &settings.path, devices };
        keeper.open(&config.state, site);
    }

    /// Plans the workers of one device, numbered from `first` on.
    fn plan(&self, berth: &Berth, keeper: &Keeper, first: usize) -> Vec<WorkerPlan> {
        let Berth { number: device, ref session, instances } = *berth;
        let parts = match keeper.cost(self.model.id, device) {
            None => exec::warm_up(&self.model.spec, session.device, instances),
            Some(cost) => exec::resume(&self.model.spec, session.device, instances, |rows, len, busy| {
                let known = cost.measured(rows, len, busy);
                known.then(|| Duration::from_nanos(cost.predict(rows, len, busy) as u64))
            }),
        };
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
