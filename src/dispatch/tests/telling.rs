//! What the driver tells of itself.

use super::*;

#[tokio::test]
async fn a_batch_that_ended_is_told_with_all_that_led_to_it() {
    let policy = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 3\nmax_queue_delay = '60s'";
    let mut world = World::held(1, policy).await;
    let mut named = world.request(&[&[1, 1, 1]]);
    (named.id, named.tenant) = ("second".into(), "acme".into());
    let first = world.ask(&[&[2], &[3, 3]]);
    world.rows(2).await;
    let second = world.send(named);
    world.next_run().await.end(Ok(()));
    first.await.unwrap().unwrap();
    let told = world.handle.decisions().last(10, None);
    let [decision] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&*decision.model, &*decision.device, decision.worker), ("fake", "cpu", WorkerId(0)));
    assert_eq!((&*decision.policy.name, decision.generation), ("only", 1));
    assert_eq!((decision.rows, decision.padded_len, decision.tokens), (3, 3, 6));
    assert_eq!((decision.reason, decision.outcome), ("full", Outcome::Ok));
    let mut members: Vec<_> = decision.members.iter().map(|m| (&*m.request, &*m.tenant, m.len, m.rows)).collect();
    members.sort_unstable();
    assert_eq!(members, [("r", "", 1, 1), ("r", "", 2, 1), ("second", "acme", 3, 1)]);
    assert!(decision.predicted > Duration::ZERO && decision.compute.is_some());
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn batches_that_failed_are_told_too() {
    let mut world = World::held(1, ALONE).await;
    let asked = world.ask(&[&[1]]);
    world.next_run().await.end(Err(Failure::Failed("no".into())));
    asked.await.unwrap().unwrap_err();
    let lost = world.ask(&[&[2]]);
    world.next_run().await.end(Err(Failure::DeviceLost("gone".into())));
    lost.await.unwrap().unwrap_err();
    world.until(|world| world.handle.decisions().last(10, None).len() == 2).await;
    let outcomes: Vec<_> = world.handle.decisions().last(10, None).iter().map(|d| (d.rows, d.outcome)).collect();
    assert_eq!(outcomes, [(1, Outcome::Failed), (1, Outcome::WorkerLost)]);
}

#[tokio::test]
async fn a_report_shows_what_waits_and_what_runs() {
    let mut world = World::held(2, ALONE).await;
    let first = world.ask(&[&[1, 1, 1]]);
    let run = world.next_run().await;
    let rest = [world.ask(&[&[2]]), world.ask(&[&[3], &[4]])];
    let second = world.next_run().await;
    world.rows(4).await;
    let before_last = clock::now();
    let last = world.ask(&[&[5]]);
    world.rows(5).await;
    let asked = clock::now();
    let report = world.handle.report().await.unwrap();
    let model = &report.models[&ModelId(0)];
    assert_eq!((report.inflight_rows, model.queue.rows), (5, 3));
    assert_eq!(model.running, [1, 1]);
    assert!(model.oldest > Some(asked.since(before_last)) && model.queue.bytes > 0, "{model:?}");
    let workers: Vec<_> = report.workers.iter().map(|w| (w.id.0, &*w.device, w.state)).collect();
    assert_eq!(workers, [(0, "cpu", WorkerDoes::Running), (1, "cpu", WorkerDoes::Running)]);
    // What runs counts already.
    assert!(report.workers.iter().all(|w| w.busy > Duration::ZERO), "{report:?}");
    for run in [run, second] {
        run.end(Ok(()));
    }
    for _ in 0..3 {
        world.next_run().await.end(Ok(()));
    }
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    for asked in rest {
        asked.await.unwrap().unwrap();
    }
    world.rows(0).await;
    let report = world.handle.report().await.unwrap();
    let model = &report.models[&ModelId(0)];
    assert_eq!((report.inflight_rows, model.queue.rows, model.queue.bytes, model.oldest), (0, 0, 0, None));
    let cost = &model.costs[0];
    assert_eq!((&*cost.device, cost.observations), ("cpu", 5));
    assert!(cost.error_ratio.is_some() && cost.coverage_ratio.is_some(), "{cost:?}");
    assert_eq!((cost.points.len(), cost.points[0].rows), (1, 1.0), "shapes this near are one");
    world.handle.drain();
    world.driver.await.unwrap();
    assert!(world.handle.report().await.is_none());
}

#[tokio::test]
async fn without_performance_monitoring_no_decision_is_kept() {
    let metrics = Arc::new(Metrics::with_performance(false).unwrap());
    let world = World::with(metrics, 1, ALONE, Arc::new(|_, _| Ok(())), mpsc::unbounded_channel().1).await;
    world.ask(&[&[1], &[2]]).await.unwrap().unwrap();
    assert!(world.handle.decisions().last(10, None).is_empty());
    assert_eq!(world.metrics.model("fake").computed().count, 0);
}
