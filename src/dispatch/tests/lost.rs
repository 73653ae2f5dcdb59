//! Devices that do not come back: when a model is beyond the help of this process.

use super::*;
use crate::model::Registry;
use crate::readiness::Readiness;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Workers of a device each, which CUDA keeps failing while it is broken.
struct Fragile {
    world: World,
    broken: Vec<Arc<AtomicBool>>,
    /// Sessions that were made, or tried.
    tries: Arc<AtomicU32>,
    readiness: Readiness,
}

impl Fragile {
    async fn on(devices: &[&str], checked: bool) -> Self {
        let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
        let broken: Vec<Arc<AtomicBool>> = devices.iter().map(|_| Arc::default()).collect();
        let tries = Arc::default();
        let plans = (0..).zip(devices).zip(&broken).map(|((id, device), broken)| WorkerPlan {
            device: DeviceId(id),
            device_name: (*device).to_owned(),
            start: fragile(WorkerId(id), &model, broken, &tries),
            ..plan(WorkerId(id), &model, &(Arc::new(|_, _: &FakeRun| Ok(())) as Begin))
        });
        let metrics = Arc::new(Metrics::new().unwrap());
        let (mut driver, handle) = Driver::start(policies(ALONE, 1), plans.collect(), Arc::clone(&metrics)).unwrap();
        if checked {
            driver.check_health();
        }
        let readiness = Readiness::new(Arc::new(Registry::new(vec![Arc::clone(&model)])));
        let (_, runs) = mpsc::unbounded_channel();
        let world = World { handle, driver: tokio::spawn(driver.run()), model, metrics, runs };
        world.until(|world| world.model.state() == ModelState::Ready).await;
        Self { world, broken, tries, readiness }
    }

    /// Loses the devices, and waits until each was tried so many times again.
    async fn lose(&self, devices: std::ops::Range<u32>, tries: u32) {
        let before = self.tries.load(Ordering::Relaxed);
        for device in devices.clone() {
            self.broken[device as usize].store(true, Ordering::Relaxed);
            self.world.handle.device_lost(DeviceId(device), "an illegal memory access".into());
        }
        let wanted = before + tries * devices.len() as u32;
        // On a clock that jumps: by more than the world's own wait, because minutes pass.
        while self.tries.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The last try is heard of.
        let starting = |report: &Report| report.workers.iter().any(|w| w.state == WorkerDoes::Starting);
        while starting(&self.world.handle.report().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_alive(&self) -> bool {
        self.readiness.beyond_help().is_empty()
    }
}

fn fragile(id: WorkerId, model: &Arc<Model>, broken: &Arc<AtomicBool>, tries: &Arc<AtomicU32>) -> Start {
    let (owner, broken, tries) = (Arc::clone(model), Arc::clone(broken), Arc::clone(tries));
    Box::new(move |events| {
        let config = WorkerConfig { id, name: format!("fake/{id}"), model: Arc::clone(&owner), warm_up: None };
        let (spec, broken, tries) = (owner.spec.clone(), Arc::clone(&broken), Arc::clone(&tries));
        let make = move || {
            tries.fetch_add(1, Ordering::Relaxed);
            match broken.load(Ordering::Relaxed) {
                true => Err(Failure::DeviceLost("CUDA failure 700: an illegal memory access".into())),
                false => Ok(Box::new(Fake::new(spec, |_| Ok(()))) as Box<dyn Backend>),
            }
        };
        exec::spawn(config, make, events)
    })
}

#[tokio::test(start_paused = true)]
async fn gpus_that_fail_again_and_again_are_beyond_help_until_they_answer() {
    let fragile = Fragile::on(&["cuda:0", "cuda:1"], true).await;
    fragile.lose(0..2, 4).await;
    assert_eq!((fragile.world.model.state(), fragile.is_alive()), (ModelState::Failed, true), "it may come back");
    fragile.world.until(|_| !fragile.is_alive()).await;
    assert!(fragile.world.model.is_beyond_help());
    fragile.broken[1].store(false, Ordering::Relaxed);
    fragile.world.until(|_| fragile.is_alive()).await;
    assert_eq!(fragile.world.model.state(), ModelState::Ready);
    // One of two goes on serving.
    fragile.lose(0..1, 6).await;
    assert!(fragile.is_alive() && fragile.world.ask(&[&[1]]).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_a_cpu_nor_without_health_checks_nor_of_what_was_unloaded() {
    for (devices, checked) in [(&["cpu", "cpu:1"][..], true), (&["cuda:0", "cpu"], true), (&["cuda:0"], false)] {
        let fragile = Fragile::on(devices, checked).await;
        fragile.lose(0..devices.len() as u32, 6).await;
        assert_eq!((fragile.world.model.state(), fragile.is_alive()), (ModelState::Failed, true), "{devices:?}");
    }
    let fragile = Fragile::on(&["cuda:0"], true).await;
    fragile.lose(0..1, 6).await;
    assert!(!fragile.is_alive());
    fragile.world.handle.unload(Arc::clone(&fragile.world.model)).await.unwrap();
    assert!(fragile.is_alive());
    let fragile = Fragile::on(&["cuda:0"], true).await;
    fragile.lose(0..1, 6).await;
    assert!(!fragile.is_alive());
    fragile.readiness.drain();
    assert!(fragile.is_alive(), "it ends anyway");
}
