//! Batches so short that the driver runs them itself.

use super::*;
use std::sync::Mutex;

/// A worker whose batches the driver may run, and the names of the threads that ran them.
async fn near(
    script: impl Fn(&FakeRun) -> Result<(), Failure> + Send + Sync + 'static,
) -> (World, Arc<Mutex<Vec<String>>>) {
    let threads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let begin: Begin = Arc::new(move |_, run: &FakeRun| {
        types::locked(&seen).push(std::thread::current().name().unwrap_or_default().to_owned());
        script(run)
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
    // Tokens that no script knows.
    for token in 100..100 + count {
        assert_eq!(values(world.ask(&[&[token]]).await.unwrap().unwrap()), [token as f32]);
    }
    types::locked(threads).last().cloned().unwrap()
}

/// Asks until the driver runs what is asked.
async fn until_here(world: &World, threads: &Mutex<Vec<String>>) {
    let end = clock::now() + Duration::from_secs(60);
    while last_thread(world, threads, 10).await == "fake/0" {
        assert!(clock::now() < end, "never in a minute");
    }
}

#[tokio::test]
async fn what_ends_sooner_than_a_thread_wakes_is_run_at_once() {
    let (world, threads) = near(|_| Ok(())).await;
    until_here(&world, &threads).await;
    assert_eq!(world.metrics.inflight_rows().get(), 0);
}

#[tokio::test]
async fn what_takes_longer_is_run_by_its_worker() {
    let (world, threads) = near(|_| {
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    })
    .await;
    assert_eq!(last_thread(&world, &threads, 40).await, "fake/0");
    assert!(types::locked(&threads).iter().all(|name| name == "fake/0"));
}

#[tokio::test]
async fn what_fails_here_fails_alone() {
    let (world, threads) = near(|run| match run.heads[0] == i64::from(GUILTY) {
        true => Err(Failure::Failed("scripted".into())),
        false => Ok(()),
    })
    .await;
    until_here(&world, &threads).await;
    assert_eq!(world.ask(&[&[GUILTY]]).await.unwrap().unwrap_err().reason, Reason::ExecutionFailed);
    assert_eq!(values(world.ask(&[&[1]]).await.unwrap().unwrap()), [1.0]);
    assert_eq!(world.metrics.inflight_rows().get(), 0);
}

#[tokio::test]
async fn a_device_lost_here_takes_its_worker_along_and_comes_back() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let (world, threads) = near(move |run| match run.heads[0] == 66 && !lost.swap(true, Ordering::Relaxed) {
        true => Err(Failure::DeviceLost("scripted".into())),
        false => Ok(()),
    })
    .await;
    until_here(&world, &threads).await;
    // It was the only one.
    assert_eq!(world.ask(&[&[66]]).await.unwrap().unwrap_err().reason, Reason::NotReady);
    assert_eq!(world.metrics.inflight_rows().get(), 0);
    world.until(|world| world.model.state() == ModelState::Failed).await;
    world.until(|world| world.model.state() == ModelState::Ready).await;
    assert_eq!(values(world.ask(&[&[66]]).await.unwrap().unwrap()), [66.0]);
    assert_eq!(world.metrics.inflight_rows().get(), 0);
}

#[tokio::test]
async fn a_flood_of_what_could_run_here_loses_nothing() {
    let (world, threads) = near(|_| Ok(())).await;
    until_here(&world, &threads).await;
    let asked: Vec<_> = (200..700_u32).map(|token| (token, world.ask(&[&[token]]))).collect();
    for (token, answer) in asked {
        assert_eq!(values(answer.await.unwrap().unwrap()), [token as f32]);
    }
    assert_eq!(world.metrics.inflight_rows().get(), 0);
}
