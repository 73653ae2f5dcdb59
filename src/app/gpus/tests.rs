//! From NVML to the workers: the real monitor over a stand-in library, told to a real driver over fake
//! workers on two GPUs.

use super::*;
use crate::clock;
use crate::dispatch::{Driver, WorkerDoes, WorkerPlan, WorkerReport};
use crate::error::Error;
use crate::exec::{self, Backend, Fake, WorkerConfig};
use crate::gpu::{GpuNow, Snapshot};
use crate::model::{Datatype, Dim, Model, ModelSpec, Task, TensorSpec};
use crate::policy::{Source, compile};
use crate::request::{InferReply, InferRequest, Payload, Tokens, Want};
use crate::text::Pooling;
use crate::types::{ModelId, NamedFile, Priority, WorkerId};
use standin::Standin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

#[path = "../../../tests/nvml/standin.rs"]
mod standin;

const PERIOD: Duration = Duration::from_millis(20);

fn open(standin: &Standin) -> Gpus {
    let named = NamedFile { path: standin.library(), by: "a test".to_owned() };
    gpu::open(Some(&named), Environment::default()).unwrap().unwrap()
}

/// A monitor whose every word is kept.
struct Watched {
    standin: Standin,
    monitor: Monitor,
    shown: Shown,
    told: mpsc::Receiver<(Device, Change)>,
}

impl Watched {
    fn new(standin: Standin) -> Self {
        let (tell, told) = mpsc::channel();
        let tell = move |device, change| drop(tell.send((device, change)));
        let (monitor, shown) = open(&standin).watch(PERIOD, tell).unwrap();
        Self { standin, monitor, shown, told }
    }

    /// The next that is told, of `cuda:0`.
    fn next(&self) -> Change {
        let (device, change) = self.told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(device, Device::Cuda(0));
        change
    }

    fn condition(&self, memory_scarce: bool, throttled: bool) {
        assert_eq!(self.next(), Change::Condition(Condition { memory_scarce, throttled }));
    }

    /// Waits until the snapshot is so.
    fn until(&self, holds: impl Fn(&GpuNow) -> bool) -> Arc<Snapshot> {
        let end = clock::now() + Duration::from_secs(60);
        loop {
            let now = self.shown.now();
            if now.gpus.first().is_some_and(&holds) {
                return now;
            }
            assert!(clock::now() < end, "{now:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it; nothing more was told.
    fn end(self) {
        self.monitor.stop();
        assert_eq!(self.told.try_iter().collect::<Vec<_>>(), []);
    }
}

#[test]
fn memory_and_throttling_are_told_once_when_they_come_and_once_when_they_go() {
    let mut watched = Watched::new(Standin::with_gpus(2));
    watched.until(|gpu| gpu.sampled_at.is_some());
    watched.standin.set(&[("0.memory", "25000000000 536870912 25769803776")]);
    watched.condition(true, false);
    watched.standin.set(&[("0.reasons", "0x28")]);
    watched.condition(true, true);
    // Above the one mark, below the other.
    watched.standin.set(&[("0.memory", "23500000000 536870912 25769803776")]);
    watched.until(|gpu| gpu.sample.memory.is_some_and(|memory| memory.used == 23_500_000_000));
    watched.standin.set(&[("0.memory", "1000000000 536870912 25769803776")]);
    watched.condition(false, true);
    // A power cap of software is no slowdown, nor is idleness; and how busy a GPU is steers nothing.
    watched.standin.set(&[("0.reasons", "0x5"), ("0.utilization", "100 100")]);
    watched.condition(false, false);
    watched.end();
}

#[test]
fn a_gpu_is_lost_once_and_comes_back() {
    let mut watched = Watched::new(Standin::with_gpus(1));
    watched.standin.set(&[("0.reasons", "0x40")]);
    watched.condition(false, true);
    watched.standin.set(&[("0.lost", "15")]);
    // Nothing is known of it any more, then it is lost.
    watched.condition(false, false);
    let Change::Lost(message) = watched.next() else { panic!() };
    assert!(message.starts_with("GPU 0 (GPU-0) is lost: device fell off the bus"), "{message}");
    let seen = watched.until(|gpu| !gpu.up);
    assert_eq!(seen.gpus[0].sample, gpu::Sample::default());
    assert!(seen.gpus[0].sampled_at.is_some());
    watched.standin.set(&[("0.lost", "16"), ("0.reasons", "0")]);
    watched.standin.set(&[("0.lost", "")]);
    watched.until(|gpu| gpu.up && gpu.sample.power == Some(58.2));
    watched.end();
}

#[test]
fn a_gpu_that_is_not_listed_any_more_is_lost_too() {
    let mut watched = Watched::new(Standin::with_gpus(1));
    watched.until(|gpu| gpu.sampled_at.is_some());
    watched.standin.set(&[("epoch", "2"), ("0.uuid", "")]);
    let Change::Lost(message) = watched.next() else { panic!() };
    assert!(message.contains("GPU-0"), "{message}");
    watched.standin.set(&[("0.uuid", "GPU-0")]);
    watched.until(|gpu| gpu.up);
    watched.end();
}

#[test]
fn a_gpu_that_nvml_is_refused_is_not_lost() {
    let mut watched = Watched::new(Standin::with_gpus(1));
    watched.standin.set(&[("0.reasons", "0x80")]);
    watched.condition(false, true);
    watched.standin.set(&[("0.lost", "999")]);
    watched.condition(false, false);
    // NVML is started anew in vain, which shows in the version.
    watched.standin.set(&[("driver", "581.1")]);
    let silent = watched.until(|gpu| gpu.driver.as_deref() == Some("581.1"));
    assert_eq!(silent.gpus[0].sample, gpu::Sample::default());
    watched.standin.set(&[("0.lost", ""), ("0.reasons", "0")]);
    watched.until(|gpu| gpu.up);
    // Of a loss nobody was told.
    watched.end();
}

#[test]
fn a_driver_that_goes_takes_what_was_known_and_nothing_else() {
    let mut watched = Watched::new(Standin::with_gpus(1));
    watched.standin.set(&[("0.reasons", "8")]);
    watched.condition(false, true);
    watched.standin.set(&[("epoch", "2"), ("init", "9")]);
    watched.condition(false, false);
    let away = watched.until(|gpu| !gpu.up);
    assert_eq!(away.gpus[0].sample, gpu::Sample::default());
    watched.standin.set(&[("init", ""), ("driver", "581.1"), ("0.reasons", "0")]);
    let back = watched.until(|gpu| gpu.up && gpu.sample.power.is_some());
    assert_eq!((back.gpus.len(), back.gpus[0].driver.as_deref()), (1, Some("581.1")));
    assert_eq!(back.gpus[0].device, Some(Device::Cuda(0)));
    watched.end();
}

#[test]
fn what_an_old_library_lacks_is_not_known_and_the_rest_is() {
    let mut watched = Watched::new(Standin::old());
    let seen = watched.until(|gpu| gpu.sampled_at.is_some());
    let (now, sample) = (&seen.gpus[0], &seen.gpus[0].sample);
    assert_eq!((now.device, sample.power, sample.temperature), (Some(Device::Cuda(0)), Some(58.2), Some(61)));
    assert_eq!((sample.power_limit, sample.clock_sm, sample.reasons, sample.mig), (None, None, None, None));
    watched.standin.set(&[("0.memory", "25769803776 0 25769803776")]);
    watched.condition(true, false);
    watched.end();
}

#[test]
fn a_driver_that_comes_late_is_found() {
    let mut standin = Standin::with_gpus(1);
    standin.set(&[("init", "9")]);
    let gpus = open(&standin);
    assert_eq!((gpus.list().len(), gpus.count()), (0, None));
    let mut watched = Watched::new(standin);
    assert!(watched.shown.now().gpus.is_empty());
    watched.standin.set(&[("init", "")]);
    let found = watched.until(|gpu| gpu.sampled_at.is_some());
    assert_eq!(found.gpus[0].device, Some(Device::Cuda(0)));
    watched.end();
}

fn spec() -> ModelSpec {
    let tensor = |name: &str, datatype, dims: &[Dim]| TensorSpec::new(name, datatype, dims.to_vec());
    let dims = [Dim::Batch, Dim::Length, Dim::Fixed(1)];
    ModelSpec {
        inputs: ["input_ids", "attention_mask"].map(|name| tensor(name, Datatype::Int64, &dims[..2])).into(),
        outputs: vec![tensor("hidden", Datatype::Fp32, &dims)],
        batchable: true,
        pads: true,
        task: Task::Embedding { output: 0, pooling: Pooling::Cls, normalize: false, dimensions: 1 },
        max_length: None,
        ..ModelSpec::default()
    }
}

/// A worker of its own on a GPU of its own.
fn plan(number: u32, model: &Arc<Model>) -> WorkerPlan {
    let (id, owner) = (WorkerId(number), Arc::clone(model));
    let start = move |events| {
        let config = WorkerConfig { id, name: format!("fake/{id}"), model: Arc::clone(&owner), warm_up: None };
        let spec = owner.spec.clone();
        exec::spawn(config, move || Ok(Box::new(Fake::new(spec, |_| Ok(()))) as Box<dyn Backend>), events)
    };
    let device_name = Device::Cuda(number).to_string();
    WorkerPlan {
        id,
        model: Arc::clone(model),
        device: DeviceId(number),
        device_name,
        here: false,
        start: Box::new(start),
    }
}

async fn ask(handle: &Handle, model: &Arc<Model>) -> Result<InferReply, Error> {
    let request = InferRequest {
        id: "r".into(),
        model: Arc::clone(model),
        tenant: "".into(),
        priority: Priority(0),
        deadline: None,
        items: vec![Payload::Tokens(Tokens { ids: vec![1], type_ids: Vec::new() })],
        want: Want::Embedding,
    };
    handle.infer(request).await
}

/// Waits until `what` is as wanted of each worker; fails after a minute.
async fn until<T: PartialEq>(handle: &Handle, what: impl Fn(&WorkerReport) -> T, wanted: [T; 2]) {
    let end = clock::now() + Duration::from_secs(60);
    loop {
        let workers = handle.report().await.unwrap().workers;
        if workers.iter().map(&what).collect::<Vec<_>>() == wanted {
            return;
        }
        assert!(clock::now() < end, "{workers:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until_workers(handle: &Handle, wanted: [WorkerDoes; 2]) {
    until(handle, |worker| worker.state, wanted).await;
}

async fn until_conditions(handle: &Handle, wanted: [DeviceCondition; 2]) {
    until(handle, |worker| worker.condition, wanted).await;
}

#[tokio::test]
async fn what_befalls_a_gpu_reaches_the_scheduler() {
    let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
    let metrics = Arc::new(Metrics::new().unwrap());
    let policies = compile(&[Source { name: "only.toml".into(), text: String::new() }], &[], 1).unwrap();
    let plans: Vec<_> = [0, 1].map(|number| plan(number, &model)).into();
    let sites = sites(&plans);
    assert_eq!(sites, Sites::from([(Device::Cuda(0), DeviceId(0)), (Device::Cuda(1), DeviceId(1))]));
    let (driver, handle) = Driver::start(Arc::new(policies), plans, Arc::clone(&metrics)).unwrap();
    let driver = tokio::spawn(driver.run());
    until_workers(&handle, [WorkerDoes::Waiting; 2]).await;

    let mut standin = Standin::with_gpus(2);
    let (monitor, shown) = watch(Some(open(&standin)), PERIOD, sites, &handle, &metrics).unwrap();
    standin.set(&[("0.memory", "25000000000 536870912 25769803776"), ("1.reasons", "0x28")]);
    let scarce = DeviceCondition { memory_scarce: true, throttled: false };
    let throttled = DeviceCondition { memory_scarce: false, throttled: true };
    until_conditions(&handle, [scarce, throttled]).await;
    let text = || String::from_utf8(metrics.text().unwrap()).unwrap();
    let marks = "inferneo_device_condition{condition=\"memory_scarce\",device=\"cuda:0\"} 1\n";
    assert!(text().contains(marks), "{}", text());
    standin.set(&[("0.memory", "1000000000 536870912 25769803776"), ("1.reasons", "0x0")]);
    until_conditions(&handle, [DeviceCondition::default(); 2]).await;

    standin.set(&[("1.lost", "15")]);
    until_workers(&handle, [WorkerDoes::Waiting, WorkerDoes::Lost]).await;
    ask(&handle, &model).await.unwrap();
    // The scheduler is told before the metrics are.
    let (down, end) = ("inferneo_gpu_up{gpu=\"1\",uuid=\"GPU-1\"} 0\n", clock::now() + Duration::from_secs(60));
    while !text().contains(down) {
        assert!(clock::now() < end, "{}", text());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!text().contains("inferneo_gpu_power_watts{gpu=\"1\""), "{}", text());

    standin.set(&[("1.lost", "")]);
    until_workers(&handle, [WorkerDoes::Waiting; 2]).await;
    assert!(shown.now().gpus[0].up);
    monitor.unwrap().stop();
    handle.drain();
    driver.await.unwrap();
}
