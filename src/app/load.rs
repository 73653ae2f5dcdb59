//! Loads what the configuration names: the runtime, the models and their workers.

use super::learned::{self, Keeper};
use super::placement::{Gpus, Site};
use super::sessions::Chooser;
use super::{AppError, nodes};
use crate::clock;
use crate::config::{Config, ModelConfig};
use crate::dispatch::{Start, WorkerPlan};
use crate::exec::{self, ModelFile, Nodes, OnnxBackend, Runtime, SessionSettings, WarmUp, WorkerConfig};
use crate::gpu;
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Folder, Model, ModelSpec, Placed, Sessions};
use crate::offline::{self, Source};
use crate::state::{self, Machine, ModelPrint};
use crate::text::Tokenizer;
use crate::types::{CudaSettings, Device, DeviceId, ModelId, WorkerId, locked};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The models, the workers that run them, and who keeps what is learned of them.
pub(super) type Models = (Vec<Arc<Model>>, Vec<WorkerPlan>, Keeper);

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
        let start = clock::now();
        let site = gpus.place(&settings.device).map_err(|message| fault(settings, message))?;
        let (model, folder) = open(id, settings, &runtime, &site)?;
        let opened_in = clock::now().since(start);
        tell_of_fallback(&site, settings, metrics);
        let parts = site.devices.iter().filter(|device| matches!(device, Device::Cpu(_))).count();
        let source = Source { file: Arc::new(ModelFile::shared(&runtime, folder.onnx())), model: Arc::clone(&model) };
        let cores = offline::cores();
        let chooser = Chooser { state: &config.state, settings, source, opened_in, cores, parts };
        let print = print(&model.name, &folder);
        let berth = |device: &Device| {
            let on = print.clone().map(|print| machine(print, version, *device, found));
            let sessions = chooser.choose(*device, on.as_ref());
            Berth { number: numbered(&mut known, *device), sessions, on, cuda: settings.cuda.clone() }
        };
        let berths: Vec<Berth> = site.devices.iter().map(berth).collect();
        let file = Arc::new(file(&runtime, &folder, &berths));
        // A GPU is waited for.
        let here = parts > 0 && file.is_steady();
        let team = Team { model: &model, file: &file, here, metrics: metrics.model(&model.name) };
        team.open_kept(&mut keeper, config, settings, &berths);
        for berth in &berths {
            berth.tell(settings);
            plans.extend(team.plan(berth, &keeper, plans.len()));
        }
        let sessions = berths.into_iter().map(|berth| berth.sessions).collect();
        model.set_placed(Placed { devices: site.devices, fallback: site.fallback, providers: None, sessions });
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

/// Reads a model's source, and finds out how its requests may run. Blocks.
fn open(
    id: ModelId,
    settings: &ModelConfig,
    runtime: &Arc<Runtime>,
    site: &Site,
) -> Result<(Arc<Model>, Folder), AppError> {
    let fault = |error: &dyn Error| fault(settings, error.to_string());
    let folder = Folder::open(&settings.path).map_err(|e| fault(&e))?;
    let io = exec::probe(runtime, folder.onnx()).map_err(|e| fault(&e))?;
    let spec = ModelSpec::resolve(&io, &folder).map_err(|e| fault(&e))?;
    let tokenizer = folder.tokenizer().map_err(|e| fault(&e))?;
    if let Some(why) = tokenizer.as_ref().and_then(Tokenizer::fails_on) {
        tracing::warn!(model = %settings.name, path = %folder.path("tokenizer.json").display(), "{why}");
    }
    let model = Model::new(id, &settings.name, spec, tokenizer, clock::unix_seconds());
    let file = ModelFile::new(runtime, folder.onnx());
    let session = SessionSettings {
        device: site.devices.first().copied().unwrap_or(Device::Cpu(0)),
        cuda: settings.cuda.clone(),
        ..SessionSettings::cpu(offline::cores())
    };
    let make = |spec: &ModelSpec| Ok(Box::new(OnnxBackend::new(&file, spec, &session)?) as _);
    let model = exec::settle(model, folder.stacking(), &file, &make).map_err(|e| fault(&e))?;
    for finding in model.spec.describe(&folder).into_iter().filter(|f| f.warning) {
        tracing::warn!(model = %settings.name, "{}", finding.text);
    }
    Ok((Arc::new(model), folder))
}

/// What computes on a device: the processor, or the GPU's id where that is known.
fn processor(device: Device, gpus: Option<&gpu::Gpus>) -> String {
    let Device::Cuda(number) = device else { return state::processor(offline::cores()) };
    let known = gpus.and_then(|gpus| {
        let seen = *gpus.visible().seen.get(number as usize)?;
        let gpu = gpus.list().get(seen.gpu)?;
        let instance = seen.instance.and_then(|at| gpu.instances.get(at));
        Some(instance.map_or(&gpu.uuid, |instance| &instance.uuid).clone())
    });
    known.unwrap_or_else(|| "unknown".to_owned())
}

/// Where a model runs, for what is kept of it.
pub(super) fn machine(model: ModelPrint, runtime: &str, device: Device, gpus: Option<&gpu::Gpus>) -> Machine {
    Machine { model, runtime: runtime.to_owned(), device: device.to_string(), processor: processor(device, gpus) }
}

/// The sessions of a model on one device.
struct Berth {
    number: DeviceId,
    sessions: Sessions,
    /// What is kept is kept for this; `None` where nothing can be.
    on: Option<Machine>,
    cuda: CudaSettings,
}

impl Berth {
    fn session(&self) -> SessionSettings {
        let Sessions { device, threads, spin, .. } = self.sessions;
        SessionSettings { device, threads, spin, cuda: self.cuda.clone() }
    }

    fn tell(&self, settings: &ModelConfig) {
        let Sessions { device, instances, threads, chosen_by, .. } = &self.sessions;
        let (path, chosen_by) = (settings.path.display(), chosen_by.name());
        tracing::info!(model = %settings.name, %path, %device, instances, threads, chosen_by, "loading");
    }
}

/// What tells the model's file from another.
fn print(model: &str, folder: &Folder) -> Option<ModelPrint> {
    let print = state::model_print(folder.onnx());
    print.inspect_err(|error| tracing::warn!(model, "learned costs are not kept: {error}")).ok()
}

/// The model's file; where several sessions of it run on the CPU, they share its weights.
fn file(runtime: &Arc<Runtime>, folder: &Folder, berths: &[Berth]) -> ModelFile {
    let on_cpu = |berth: &&Berth| matches!(berth.sessions.device, Device::Cpu(_));
    match berths.iter().filter(on_cpu).map(|berth| berth.sessions.instances).sum() {
        0 | 1 => ModelFile::new(runtime, folder.onnx()),
        _ => ModelFile::shared(runtime, folder.onnx()),
    }
}

/// What the workers of one model share.
struct Team<'a> {
    model: &'a Arc<Model>,
    file: &'a Arc<ModelFile>,
    /// Whether what a run on a CPU takes follows from its shape, so that short ones may run where they are decided.
    here: bool,
    metrics: Arc<ModelMetrics>,
}

impl Team<'_> {
    /// Takes note of what an earlier life of the program learned of the model here.
    fn open_kept(&self, keeper: &mut Keeper, config: &Config, settings: &ModelConfig, berths: &[Berth]) {
        let on = |berth: &Berth| {
            let Sessions { instances, threads, spin, .. } = berth.sessions;
            Some((berth.number, berth.on.clone()?.with(instances, threads, spin)))
        };
        let Some(devices) = berths.iter().map(on).collect() else { return };
        let site = learned::Site { id: self.model.id, model: &self.model.name, folder: &settings.path, devices };
        keeper.open(&config.state, site);
    }

    /// Plans the workers of one device, numbered from `first` on.
    fn plan(&self, berth: &Berth, keeper: &Keeper, first: usize) -> Vec<WorkerPlan> {
        let (device, session, instances) = (berth.number, &berth.session(), berth.sessions.instances);
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
            let here = matches!(session.device, Device::Cpu(_)) && self.here;
            WorkerPlan { id, model: Arc::clone(self.model), device, device_name, here, start }
        };
        parts.into_iter().enumerate().map(plan).collect()
    }

    fn start(&self, id: WorkerId, session: &SessionSettings, part: WarmUp, tells: bool) -> Start {
        let (owner, file, metrics) = (Arc::clone(self.model), Arc::clone(self.file), Arc::clone(&self.metrics));
        let session = session.clone();
        // The sweep is for the first start; a worker that comes back joins the others at work.
        let part = Mutex::new(Some(part));
        Box::new(move |events| {
            let sweep = locked(&part).take();
            let tells = tells && sweep.is_some();
            let warm_up = sweep.or_else(|| exec::first_run(&owner.spec, session.device).pop());
            let name = format!("{}/{id}", owner.name);
            let config = WorkerConfig { id, name, model: Arc::clone(&owner), warm_up };
            let (owner, file, metrics) = (Arc::clone(&owner), Arc::clone(&file), Arc::clone(&metrics));
            let session = session.clone();
            let make = move || {
                let model = Arc::clone(&owner);
                let tell = move |nodes: &Nodes| nodes::tell(&model, &metrics, session.device, nodes);
                Ok(Box::new(match tells {
                    true => OnnxBackend::recorded(&file, &owner.spec, &session, tell)?,
                    false => OnnxBackend::new(&file, &owner.spec, &session)?,
                }) as _)
            };
            exec::spawn(config, make, events)
        })
    }
}
