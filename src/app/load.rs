//! Loads what the configuration names: the runtime, the models and their workers.

use super::learned::{self, Before, Costs, Keeper, Known};
use super::placement::{Gpus, Site};
use super::sessions::Chooser;
use super::{AppError, nodes};
use crate::clock;
use crate::config::{Config, ModelConfig};
use crate::dispatch::{self, Start, WorkerPlan};
use crate::exec::{self, Failure, ModelFile, Nodes, OnnxBackend, Runtime, SessionSettings, WarmUp, WorkerConfig};
use crate::gpu;
use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Folder, Model, ModelSpec, Placed, Registry, Sessions};
use crate::offline::{self, Source};
use crate::state::{self, Machine, ModelPrint};
use crate::text::Tokenizer;
use crate::types::{CudaSettings, Device, DeviceId, ModelId, WorkerId, locked};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a source is read that changes while it is read.
const READINGS: usize = 3;

/// The models, the workers that run them, and who keeps what is learned of them.
#[derive(Default)]
pub(super) struct Models {
    pub(super) registry: Arc<Registry>,
    pub(super) plans: Vec<WorkerPlan>,
    /// What earlier lives of the program learned, in the order of the models.
    pub(super) costs: Vec<Costs>,
    pub(super) keeper: Keeper,
    /// Loads them again; `None` where there are none.
    pub(super) source: Option<Arc<dyn dispatch::Source>>,
}

/// Opens every model and plans its workers. Blocks.
pub(super) fn models(config: &Config, found: Option<&gpu::Gpus>, metrics: &Arc<Metrics>) -> Result<Models, AppError> {
    let (mut all, mut models) = (Models::default(), Vec::new());
    if config.models.is_empty() {
        return Ok(all);
    }
    let runtime = Runtime::load(config.onnxruntime_library.as_ref())?;
    let version = runtime.version().unwrap_or("unknown").to_owned();
    tracing::info!(path = %runtime.path().display(), version, "ONNX Runtime");
    let mut gpus = Gpus::new(found.and_then(gpu::Gpus::count), |gpu| exec::look_for_cuda(&runtime, gpu));
    let mut loader = Loader {
        config: config.clone(),
        runtime: Arc::clone(&runtime),
        version,
        metrics: Arc::clone(metrics),
        keeper: all.keeper.clone(),
        sites: BTreeMap::new(),
        devices: Vec::new(),
        next_model: AtomicU32::new(0),
        next_worker: AtomicU32::new(0),
    };
    for settings in &config.models {
        let site = gpus.place(&settings.device).map_err(|message| fault(settings, message))?;
        tell_of_fallback(&site, settings, metrics);
        loader.know(&site.devices, found);
        let Loaded { model, plans, known, costs } = loader.load(settings, &site, None)?;
        loader.sites.insert(settings.name.clone(), site);
        all.keeper.take(model.id, known);
        all.plans.extend(plans);
        all.costs.push(costs);
        models.push(model);
    }
    all.registry = Arc::new(Registry::new(models));
    all.source = Some(Arc::new(loader));
    Ok(all)
}

/// What stays as it is from one load of a model to the next.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) config: Config,
    runtime: Arc<Runtime>,
    version: String,
    metrics: Arc<Metrics>,
    pub(super) keeper: Keeper,
    /// Where each model runs, by its name: devices are looked for once, at the start.
    pub(super) sites: BTreeMap<String, Site>,
    /// All devices, and what computes on each. The place of one is its number.
    devices: Vec<(Device, String)>,
    next_model: AtomicU32,
    next_worker: AtomicU32,
}

/// A model that was read, and how it is to run.
pub(super) struct Loaded {
    pub(super) model: Arc<Model>,
    pub(super) plans: Vec<WorkerPlan>,
    /// For the keeper; `None` where nothing of it is kept.
    pub(super) known: Option<Known>,
    pub(super) costs: Costs,
}

/// A model that another is to take the place of.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) model: &'a Model,
    pub(super) before: Before<'a>,
}

impl Loader {
    /// Takes note of devices; models that name the same one share its number.
    fn know(&mut self, devices: &[Device], gpus: Option<&gpu::Gpus>) {
        for device in devices {
            if self.devices.iter().all(|(known, _)| known != device) {
                self.devices.push((*device, processor(*device, gpus)));
            }
        }
    }

    /// The number of a device, and what computes there.
    fn device(&self, device: Device) -> (DeviceId, &str) {
        let at = self.devices.iter().position(|(known, _)| *known == device).unwrap_or_default();
        (DeviceId(u32::try_from(at).unwrap_or(u32::MAX)), self.devices.get(at).map_or("unknown", |(_, what)| what))
    }

    /// Reads a model's source and plans its workers. Blocks.
    pub(super) fn load(
        &self,
        settings: &ModelConfig,
        site: &Site,
        served: Option<Served<'_>>,
    ) -> Result<Loaded, AppError> {
        let id = ModelId(self.next_model.fetch_add(1, Ordering::Relaxed));
        let (start, runtime) = (clock::now(), &self.runtime);
        let (model, folder, print) = self.read(id, settings, site)?;
        let opened_in = clock::now().since(start);
        let parts = site.devices.iter().filter(|device| matches!(device, Device::Cpu(_))).count();
        let source = Source { file: Arc::new(ModelFile::shared(runtime, folder.onnx())), model: Arc::clone(&model) };
        let before = served.map(|served| served.model.placed().sessions.clone()).unwrap_or_default();
        let cores = offline::cores();
        let chooser = Chooser { state: &self.config.state, settings, source, opened_in, cores, before, parts };
        let berth = |device: &Device| {
            let (number, processor) = self.device(*device);
            let on = print.clone().map(|print| Machine {
                model: print,
                runtime: self.version.clone(),
                device: device.to_string(),
                processor: processor.to_owned(),
            });
            let sessions = chooser.choose(*device, on.as_ref());
            Berth { number, sessions, on, cuda: settings.cuda.clone() }
        };
        let berths: Vec<Berth> = site.devices.iter().map(berth).collect();
        let file = Arc::new(file(runtime, &folder, &berths));
        // A GPU is waited for.
        let here = parts > 0 && file.is_steady();
        let metrics = self.metrics.model(&model.name);
        let team = Team { model: &model, file: &file, print, here, metrics };
        let opened = team.site(settings, &berths);
        let opened = opened.map(|site| site.open(&self.config.state, &self.keeper, served.map(|served| served.before)));
        let (known, costs) = opened.map(|(known, costs)| (Some(known), costs)).unwrap_or_default();
        let mut plans = Vec::new();
        for berth in &berths {
            berth.tell(settings);
            plans.extend(team.plan(berth, &costs, &self.next_worker));
        }
        let sessions = berths.into_iter().map(|berth| berth.sessions).collect();
        let (devices, fallback) = (site.devices.clone(), site.fallback.clone());
        model.set_placed(Placed { devices, fallback, providers: None, sessions });
        Ok(Loaded { model, plans, known, costs })
    }

    /// Reads a model's source until the graph is the same before and after: what is told of it is then what its sessions
    /// are made of.
    fn read(&self, id: ModelId, settings: &ModelConfig, site: &Site) -> Result<Opened, AppError> {
        for _ in 0..READINGS {
            let before = Folder::open(&settings.path).ok().and_then(|folder| state::model_print(folder.onnx()).ok());
            let (model, folder) = open(id, settings, &self.runtime, site)?;
            let print = print(&model.name, &folder);
            if before == print {
                return Ok((model, folder, print));
            }
        }
        let message = format!("{}: it changes while it is read; load it once it is whole", settings.path.display());
        Err(fault(settings, message))
    }
}

/// A model, its folder, and what tells its graph from another.
type Opened = (Arc<Model>, Folder, Option<ModelPrint>);

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
    /// What tells the file from another.
    print: Option<ModelPrint>,
    /// Whether what a run on a CPU takes follows from its shape, so that short ones may run where they are decided.
    here: bool,
    metrics: Arc<ModelMetrics>,
}

impl Team<'_> {
    /// The model on its devices, as far as what is learned of it can be told apart.
    fn site<'s>(&self, settings: &'s ModelConfig, berths: &[Berth]) -> Option<learned::Site<'s>> {
        let on = |berth: &Berth| {
            let Sessions { instances, threads, spin, .. } = berth.sessions;
            Some((berth.number, berth.on.clone()?.with(instances, threads, spin)))
        };
        let devices = berths.iter().map(on).collect::<Option<_>>()?;
        Some(learned::Site { model: &settings.name, folder: &settings.path, devices })
    }

    /// Plans the workers of one device.
    fn plan(&self, berth: &Berth, costs: &Costs, next: &AtomicU32) -> Vec<WorkerPlan> {
        let (device, session, instances) = (berth.number, &berth.session(), berth.sessions.instances);
        let parts = match learned::cost(costs, device) {
            None => exec::warm_up(&self.model.spec, session.device, instances),
            Some(cost) => exec::resume(&self.model.spec, session.device, instances, |rows, len, busy| {
                let known = cost.measured(rows, len, busy);
                known.then(|| Duration::from_nanos(cost.predict(rows, len, busy) as u64))
            }),
        };
        let plan = |(index, part)| {
            let id = WorkerId(next.fetch_add(1, Ordering::Relaxed));
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
        let (session, print) = (session.clone(), self.print.clone());
        // The sweep is for the first start; a worker that comes back joins the others at work.
        let part = Mutex::new(Some(part));
        Box::new(move |events| {
            let sweep = locked(&part).take();
            let tells = tells && sweep.is_some();
            let warm_up = sweep.or_else(|| exec::first_run(&owner.spec, session.device).pop());
            let name = format!("{}/{id}", owner.name);
            let config = WorkerConfig { id, name, model: Arc::clone(&owner), warm_up };
            let (owner, file, metrics) = (Arc::clone(&owner), Arc::clone(&file), Arc::clone(&metrics));
            let (session, print) = (session.clone(), print.clone());
            let make = move || {
                let model = Arc::clone(&owner);
                let tell = move |nodes: &Nodes| nodes::tell(&model, &metrics, session.device, nodes);
                let backend = match tells {
                    true => OnnxBackend::recorded(&file, &owner.spec, &session, tell)?,
                    false => OnnxBackend::new(&file, &owner.spec, &session)?,
                };
                is_still(file.path(), print.as_ref())?;
                Ok(Box::new(backend) as _)
            };
            exec::spawn(config, make, events)
        })
    }
}

/// Refuses a session of another file than was read: what is known of its tensors is not true of that.
fn is_still(path: &Path, print: Option<&ModelPrint>) -> Result<(), Failure> {
    let Some(print) = print else { return Ok(()) };
    let path_is = |what| Failure::Failed(format!("{}: {what}", path.display()));
    match state::model_print(path) {
        Ok(now) if now == *print => Ok(()),
        Ok(_) => Err(path_is("it is not the file that was loaded: load the model again".to_owned())),
        Err(error) => Err(path_is(format!("it cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_the_file_that_was_read_or_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, "one").unwrap();
        let print = state::model_print(&path).unwrap();
        let failure = || is_still(&path, Some(&print)).unwrap_err().to_string();
        is_still(&path, Some(&print)).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert!(failure().contains("model.onnx: it is not the file that was loaded"), "{}", failure());
        std::fs::remove_file(&path).unwrap();
        assert!(failure().contains("model.onnx: it cannot be read"), "{}", failure());
        is_still(&path, None).unwrap();
    }
}
