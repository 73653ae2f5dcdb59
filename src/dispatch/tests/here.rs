//! Batches so short that the driver runs them itself.

use super::*;
use std::sync::Mutex;

/// A worker whose batches the driver may run, and the names of the threads that ran them.
async fn near(script: impl Fn(&FakeRun) + Send + Sync + 'static) -> (World, Arc<Mutex<Vec<String>>>) {
    let threads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let begin: Begin = Arc::new(move |_, run: &FakeRun| {
        script(run);
        types::locked(&seen).push(std::thread::current().name().unwrap_or_default().to_owned());
        Ok(())
    });
    let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
    let plans = vec![WorkerPlan { here: true, ..plan(WorkerId(0), &model, &begin) }];
    let metrics = Arc::new(Metrics::new().unwrap());
    let (driver, handle) = Driver::start(policies("", 1), plans, Arc::clone(&metrics)).unwrap();
    let (_, runs) = mpsc::unbounded_channel();
    let world = World { handle, driver: tokio::spawn(driver.run()), model, metrics, runs };
    world.until(|world| world.model.state() == ModelState::Ready).await;
    (world, threads)
}

/// The thread of the last run, when `count` requests were answered one after another.
async fn last_thread(world: &World, threads: &Mutex<Vec<String>>, count: u32) -> String {
    for token in 0..count {
        assert_eq!(values(world.ask(&[&[token]]).await.unwrap().unwrap()), [token as f32]);
    }
    types::locked(threads).last().cloned().unwrap()
}

#[tokio::test]
async fn what_ends_sooner_than_a_thread_wakes_is_run_at_once() {
    let (world, threads) = near(|_| ()).await;
    let end = clock::now() + Duration::from_secs(60);
    while last_thread(&world, &threads, 10).await == "fake/0" {
        assert!(clock::now() < end, "never in a minute");
    }
    assert_eq!(world.metrics.inflight_rows().get(), 0);
}

#[tokio::test]
async fn what_takes_longer_is_run_by_its_worker() {
    let (world, threads) = near(|_| std::thread::sleep(Duration::from_millis(1))).await;
    assert_eq!(last_thread(&world, &threads, 40).await, "fake/0");
    assert!(types::locked(&threads).iter().all(|name| name == "fake/0"));
}
