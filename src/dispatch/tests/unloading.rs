//! Models that are unloaded while requests come.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_waits_and_runs_is_answered_before_the_sessions_end() {
    let mut world = World::held(1, ALONE).await;
    let first = world.ask(&[&[1]]);
    let run = world.next_run().await;
    let second = world.ask(&[&[2]]);
    world.rows(2).await;
    world.handle.unload(Arc::clone(&world.model)).await.unwrap();
    assert_eq!(world.model.state(), ModelState::Unloaded);
    let workers = |report: Option<Report>| report.unwrap().workers.len();
    assert_eq!(workers(world.handle.report().await), 1, "a session ended under its batch");
    run.end(Ok(()));
    first.await.unwrap().unwrap();
    world.next_run().await.end(Ok(()));
    second.await.unwrap().unwrap();
    world.rows(0).await;
    assert_eq!(workers(world.handle.report().await), 0);
    let refused = world.handle.infer(world.request(&[&[3]])).await.unwrap_err();
    assert_eq!(refused.reason, Reason::NotReady);
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_of_an_unloaded_model_stays_away() {
    let world = World::scripted(1, ALONE, |run| match run.heads[0] {
        1 => Err(Failure::DeviceLost("gone".to_owned())),
        _ => Ok(()),
    })
    .await;
    drop(world.ask(&[&[1]]).await.unwrap());
    world.until(|world| world.model.state() == ModelState::Failed).await;
    world.handle.unload(Arc::clone(&world.model)).await.unwrap();
    // Its restart is due long before this.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.model.state(), ModelState::Unloaded);
    assert_eq!(world.handle.report().await.unwrap().workers.len(), 0);
}
