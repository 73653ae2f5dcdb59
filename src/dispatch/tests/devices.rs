//! Several devices: one that fails leaves the others serving, and how each is shows.

use super::*;

/// A worker of one device each; runs wait for [`Held::end`].
async fn each_on_its_own(devices: u32) -> World {
    let (begun, runs) = mpsc::unbounded_channel();
    let begin: Begin = Arc::new(move |worker, run: &FakeRun| {
        let (end, ended) = std::sync::mpsc::channel();
        drop(begun.send(Held { worker, run: run.clone(), end }));
        ended.recv().unwrap_or(Ok(()))
    });
    let model = Arc::new(Model::new(ModelId(0), "fake", spec(), None, 0));
    let on = |id: u32| WorkerPlan {
        device: DeviceId(id),
        device_name: types::Device::Cpu(id).to_string(),
        ..plan(WorkerId(id), &model, &begin)
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    let plans = (0..devices).map(on).collect();
    let (driver, handle) = Driver::start(policies(ALONE, 1), plans, Arc::clone(&metrics)).unwrap();
    let world = World { handle, driver: tokio::spawn(driver.run()), model, metrics, runs };
    world.until(|world| world.model.state() == ModelState::Ready).await;
    world
}

/// On a clock that jumps: the stay of what is lost costs no real time.
#[tokio::test(start_paused = true)]
async fn a_lost_device_leaves_the_others_serving_and_comes_back() {
    let mut world = each_on_its_own(3).await;
    let asked: Vec<_> = (1..=3).map(|token| world.ask(&[&[token]])).collect();
    let mut held = [world.next_run().await, world.next_run().await, world.next_run().await];
    held.sort_by_key(|h| h.worker);
    let [first, second, third] = held;
    world.handle.device_lost(DeviceId(1), "fell off the bus".into());
    let report = world.handle.report().await.unwrap();
    let lost: Vec<_> = report.workers.iter().map(|w| w.state == WorkerDoes::Lost).collect();
    assert_eq!(lost, [false, true, false]);
    // What it ran runs again, and nobody else is disturbed.
    let heads = second.heads();
    first.end(Ok(()));
    let again = world.next_run().await;
    assert_eq!(again.heads(), heads);
    again.end(Ok(()));
    third.end(Ok(()));
    for task in asked {
        task.await.unwrap().unwrap();
    }
    drop(second);
    let lost = |report: &Report| report.workers.iter().any(|w| w.state == WorkerDoes::Lost);
    while lost(&world.handle.report().await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.until(|world| world.model.state() == ModelState::Ready).await;
    let asked: Vec<_> = (1..=3).map(|token| world.ask(&[&[token]])).collect();
    let mut used = Vec::new();
    for _ in 0..3 {
        let run = world.next_run().await;
        used.push(run.worker.0);
        run.end(Ok(()));
    }
    for task in asked {
        task.await.unwrap().unwrap();
    }
    used.sort_unstable();
    used.dedup();
    assert!(!used.is_empty());
}

#[tokio::test]
async fn how_a_device_is_shows_in_the_metrics_and_the_report_until_it_is_over() {
    let world = each_on_its_own(2).await;
    let shown = async |world: &World| {
        let report = world.handle.report().await.unwrap();
        let conditions: Vec<_> =
            report.workers.iter().map(|w| (w.condition.memory_scarce, w.condition.throttled)).collect();
        let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
        let lines = text.lines().filter(|l| l.starts_with("inferneo_device_condition{") && l.ends_with(" 1"));
        (conditions, lines.map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(shown(&world).await, (vec![(false, false); 2], vec![]));
    let scarce = DeviceCondition { memory_scarce: true, throttled: false };
    world.handle.set_device_condition(DeviceId(1), scarce);
    let (conditions, lines) = shown(&world).await;
    assert_eq!(conditions, [(false, false), (true, false)]);
    assert_eq!(lines, [r#"inferneo_device_condition{condition="memory_scarce",device="cpu:1"} 1"#]);
    world.handle.set_device_condition(DeviceId(1), DeviceCondition::default());
    assert_eq!(shown(&world).await, (vec![(false, false); 2], vec![]));
}
