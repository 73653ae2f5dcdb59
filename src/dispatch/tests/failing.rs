//! What fails, and whom it concerns.

use super::*;
use std::sync::Mutex;

/// Batches of exactly eight.
const EIGHT: &str = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 8\nmax_queue_delay = '60s'";

#[tokio::test]
async fn one_bad_row_fails_alone_with_the_models_words_and_no_row_runs_twice() {
    let good: Arc<Mutex<Vec<i64>>> = Arc::default();
    let ran = Arc::clone(&good);
    let script = move |run: &FakeRun| {
        if run.heads.contains(&GUILTY.into()) {
            return Err(Failure::Failed("thirteen is not served here".into()));
        }
        ran.lock().unwrap().extend(&run.heads);
        Ok(())
    };
    let world = World::scripted(2, EIGHT, script).await;
    let asked: Vec<_> = (10..18).map(|token| (token, world.ask(&[&[token]]))).collect();
    for (token, task) in asked {
        match task.await.unwrap() {
            Err(error) => {
                assert_eq!((token, error.reason), (GUILTY, Reason::ExecutionFailed));
                assert!(error.message.contains("thirteen is not served here"), "{error}");
                assert!(error.message.contains("fake"), "{error}");
            }
            Ok(reply) => {
                assert!(reply.batch.rows <= 4);
                assert_eq!(values(reply), [token as f32]);
            }
        }
    }
    let mut good = good.lock().unwrap().clone();
    good.sort_unstable();
    assert_eq!(good, [10, 11, 12, 14, 15, 16, 17]);
}

#[tokio::test]
async fn a_request_with_one_bad_row_fails_as_a_whole_and_alone() {
    let script = |run: &FakeRun| match run.heads.contains(&GUILTY.into()) {
        true => Err(Failure::Failed("no".into())),
        false => Ok(()),
    };
    let world = World::scripted(1, EIGHT, script).await;
    let (bad, good) = (world.ask(&[&[1], &[GUILTY], &[3], &[4]]), world.ask(&[&[5], &[6], &[7], &[8]]));
    assert_eq!(bad.await.unwrap().unwrap_err().reason, Reason::ExecutionFailed);
    assert_eq!(values(good.await.unwrap().unwrap()), [5.0, 6.0, 7.0, 8.0]);
    world.rows(0).await;
}

#[tokio::test]
async fn a_panic_in_a_run_is_a_failure_of_its_row() {
    let script = |run: &FakeRun| match run.heads.contains(&GUILTY.into()) {
        true => panic!("the runtime fell over"),
        false => Ok(()),
    };
    let world = World::scripted(1, ALONE, script).await;
    let error = world.ask(&[&[GUILTY]]).await.unwrap().unwrap_err();
    assert_eq!(error.reason, Reason::ExecutionFailed);
    assert!(error.message.contains("the runtime fell over"), "{error}");
    assert_eq!(values(world.ask(&[&[2]]).await.unwrap().unwrap()), [2.0]);
}

#[tokio::test]
async fn a_batch_that_ran_out_of_memory_runs_again_in_halves() {
    let script = |run: &FakeRun| match run.rows > 2 {
        true => Err(Failure::OutOfMemory("too many".into())),
        false => Ok(()),
    };
    let world = World::scripted(1, EIGHT, script).await;
    let asked: Vec<_> = (20_u16..28).map(|token| (token, world.ask(&[&[token.into()]]))).collect();
    for (token, task) in asked {
        let reply = task.await.unwrap().unwrap();
        assert!(reply.batch.rows <= 2);
        assert_eq!(values(reply), [f32::from(token)]);
    }
}

#[tokio::test]
async fn a_batch_whose_rows_cannot_be_told_apart_runs_one_by_one_and_its_model_is_stacked_no_more() {
    let batches: Arc<Mutex<Vec<usize>>> = Arc::default();
    let ran = Arc::clone(&batches);
    let script = move |run: &FakeRun| {
        ran.lock().unwrap().push(run.rows);
        match run.rows > 1 {
            true => Err(Failure::Inseparable("output `hidden` is [5, 1] for 8 rows".into())),
            false => Ok(()),
        }
    };
    let world = World::scripted(1, EIGHT, script).await;
    for from in [20_u16, 30] {
        let asked: Vec<_> = (from..from + 8).map(|token| (token, world.ask(&[&[token.into()]]))).collect();
        for (token, task) in asked {
            let reply = task.await.unwrap().unwrap();
            assert_eq!((reply.batch.rows, values(reply)), (1, vec![f32::from(token)]));
        }
    }
    // Halves might have come out right by chance: after the first batch there was no other.
    assert_eq!(*batches.lock().unwrap(), [&[8][..], &[1; 16]].concat());
    let batching = world.model.batching();
    assert_eq!(batching.mode, Mode::Solo);
    assert!(batching.why.as_ref().unwrap().contains("[5, 1] for 8 rows"), "{batching:?}");
    let exported = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    assert!(exported.contains("inferneo_model_batching{mode=\"solo\",model=\"fake\"} 1"), "{exported}");
    assert!(exported.contains("inferneo_model_batching{mode=\"stacked\",model=\"fake\"} 0"), "{exported}");
}

#[tokio::test]
async fn the_batch_of_a_lost_device_runs_on_the_other() {
    let mut world = World::held(2, ALONE).await;
    let asked = world.ask(&[&[1]]);
    let lost = world.next_run().await;
    let gone = lost.worker;
    lost.end(Err(Failure::DeviceLost("unplugged".into())));
    let again = world.next_run().await;
    assert_ne!(again.worker, gone);
    assert_eq!(again.heads(), [1]);
    again.end(Ok(()));
    let reply = asked.await.unwrap().unwrap();
    assert_eq!(reply.batch.batches, 1);
    assert_eq!(values(reply), [1.0]);
    // The other serves on alone.
    let next = world.ask(&[&[2]]);
    let run = world.next_run().await;
    assert_ne!(run.worker, gone);
    run.end(Ok(()));
    next.await.unwrap().unwrap();
    assert_eq!(world.model.state(), ModelState::Ready);
}

/// Runs on a clock that jumps to the next timer whenever nothing else can happen: the stay of a lost
/// worker costs no real time.
#[tokio::test(start_paused = true)]
async fn without_a_device_everything_is_refused_until_one_is_back() {
    let mut world = World::held(1, ALONE).await;
    let asked = [world.ask(&[&[1]]), world.ask(&[&[2]])];
    let run = world.next_run().await;
    world.rows(2).await;
    run.end(Err(Failure::DeviceLost("unplugged".into())));
    for task in asked {
        let error = task.await.unwrap().unwrap_err();
        assert!(error.reason == Reason::NotReady && error.retry_after.is_some(), "{error:?}");
    }
    world.until(|world| world.model.state() == ModelState::Failed).await;
    let refused = world.ask(&[&[3]]).await.unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::NotReady);
    world.until(|world| world.model.state() == ModelState::Ready).await;
    let back = world.ask(&[&[4]]);
    world.next_run().await.end(Ok(()));
    assert_eq!(values(back.await.unwrap().unwrap()), [4.0]);
}

/// On the same jumping clock.
#[tokio::test(start_paused = true)]
async fn a_worker_that_fails_even_on_a_made_up_row_is_started_anew() {
    let runs: Arc<Mutex<u32>> = Arc::default();
    let counted = Arc::clone(&runs);
    let script = move |_: &FakeRun| {
        *counted.lock().unwrap() += 1;
        Err(Failure::Failed("everything is wrong".into()))
    };
    let world = World::scripted(1, EIGHT, script).await;
    let asked: Vec<_> = (30..38).map(|token| world.ask(&[&[token]])).collect();
    for task in asked {
        // Two were tried alone; the others were not and may try elsewhere.
        let reason = task.await.unwrap().unwrap_err().reason;
        assert!(matches!(reason, Reason::ExecutionFailed | Reason::NotReady), "{reason:?}");
    }
    // Eight rows alone, four pairs, two fours and the whole would be fifteen.
    assert!(*runs.lock().unwrap() < 15, "{} runs", runs.lock().unwrap());
    world.until(|world| world.model.state() == ModelState::Ready).await;
}

#[tokio::test]
async fn many_bad_rows_cost_neither_the_good_one_among_them_nor_the_worker() {
    let script = |run: &FakeRun| match run.heads.iter().any(|head| (30..38).contains(head) && *head != 33) {
        true => Err(Failure::Failed("bad row".into())),
        false => Ok(()),
    };
    let world = World::scripted(1, EIGHT, script).await;
    let asked: Vec<_> = (30..38).map(|token| (token, world.ask(&[&[token]]))).collect();
    for (token, task) in asked {
        match task.await.unwrap() {
            Ok(reply) => assert_eq!((token, values(reply)), (33, vec![33.0])),
            Err(error) => assert!(token != 33 && error.reason == Reason::ExecutionFailed, "{token}: {error:?}"),
        }
    }
    assert_eq!(world.model.state(), ModelState::Ready);
}
