//! Failing batches: only the guilty request fails.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;

fn batch_of(n: u32) -> (World, Vec<RequestId>) {
    let mut world = World::new(preset(Strategy::Adaptive), 1, |_, _| 5.0);
    let ids = (0..n).map(|_| world.arrive(10)).collect();
    (world, ids)
}

#[test]
fn one_bad_request_fails_alone_wherever_it_stands() {
    for n in [1, 2, 3, 7, 16, 32] {
        for bad in 0..n {
            let (mut world, ids) = batch_of(n);
            world.guilty.insert(ids[bad as usize]);
            world.settle();
            for (i, id) in ids.iter().enumerate() {
                let fate = if i == bad as usize { Fate::Failed(FailReason::ExecutionFailed) } else { Fate::Answered };
                assert_eq!(world.fate(*id), fate, "{i} of {n} beside {bad}");
            }
            assert!(world.suspects.is_empty());
            assert!(world.sched.is_idle());
        }
    }
}

#[test]
fn finding_one_guilty_request_takes_a_logarithm_of_runs() {
    let (mut world, ids) = batch_of(32);
    world.guilty.insert(ids[11]);
    world.settle();
    assert_eq!(world.history.len(), 1 + 2 * 5);
}

#[test]
fn when_everything_fails_the_worker_must_prove_itself_and_no_innocent_pays() {
    for innocent in [0, 13, 31] {
        let (mut world, ids) = batch_of(32);
        world.guilty.extend(ids.iter().copied());
        world.guilty.remove(&ids[innocent]);
        world.settle();
        assert!(world.suspects.len() <= 1, "it is asked once a batch");
        for (i, id) in ids.iter().enumerate() {
            let fate = if i == innocent { Fate::Answered } else { Fate::Failed(FailReason::ExecutionFailed) };
            assert_eq!(world.fate(*id), fate, "{i} beside the innocent {innocent}");
        }
        assert!(world.sched.is_idle());
    }
}

#[test]
fn a_suspect_worker_runs_nothing_until_it_has_proved_itself() {
    let (mut world, ids) = batch_of(4);
    world.guilty.extend(ids.iter().copied());
    world.settle();
    assert_eq!(world.suspects, [WorkerId(0)]);
    let after = world.arrive(10);
    world.settle();
    assert_eq!(world.fate(after), Fate::Answered);
}

#[test]
fn out_of_memory_halves_the_shape_for_good_and_blames_nobody() {
    let (mut world, ids) = batch_of(32);
    world.poll();
    assert_eq!(world.sizes(), [32]);
    world.end(0, Some(BatchOutcome::OutOfMemory));
    world.settle();
    assert!(ids.iter().all(|id| world.fate(*id) == Fate::Answered));
    for _ in 0..32 {
        world.arrive(10);
    }
    let before = world.history.len();
    world.settle();
    assert!(world.sizes()[before..].iter().all(|s| *s <= 16), "{:?}", world.sizes());
}

#[test]
fn a_batch_that_keeps_killing_devices_is_halved_until_the_killer_is_alone() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, |_, _| 5.0);
    let ids: Vec<RequestId> = (0..8).map(|_| world.arrive(10)).collect();
    world.poll();
    for worker in 10.. {
        let Some((batch, _)) = world.running.first() else { break };
        let kills = batch.items.iter().any(|(r, _)| *r == ids[5]);
        // The next worker is there before the last one is known to be lost.
        world.worker_up(worker);
        world.poll();
        world.end(0, kills.then_some(BatchOutcome::DeviceLost));
        world.poll();
    }
    world.settle();
    for id in &ids {
        let fate = if *id == ids[5] { Fate::Failed(FailReason::ExecutionFailed) } else { Fate::Answered };
        assert_eq!(world.fate(*id), fate, "{id}");
    }
}

#[test]
fn a_lost_device_hands_its_batch_to_another_and_one_that_kills_two_is_condemned() {
    let mut world = World::new(preset(Strategy::Adaptive), 3, cpu);
    let id = world.arrive(10);
    world.poll();
    world.end(0, Some(BatchOutcome::DeviceLost));
    assert_eq!(world.running.len(), 1, "it runs again elsewhere");
    world.end(0, Some(BatchOutcome::DeviceLost));
    world.settle();
    assert_eq!(world.fate(id), Fate::Failed(FailReason::ExecutionFailed));
    let other = world.arrive(10);
    world.settle();
    assert_eq!(world.fate(other), Fate::Answered, "one lost device does not stop the rest");
}

#[test]
fn with_the_last_worker_goes_what_waits() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    let ids = [world.arrive(10), world.arrive(200)];
    world.poll();
    world.running.clear();
    world.sched.handle_worker(WorkerId(0), WorkerState::Lost, world.now);
    world.settle();
    assert!(ids.iter().all(|id| world.fate(*id) == Fate::Failed(FailReason::NotReady)));
    assert!(world.sched.is_idle());
    world.worker_up(1);
    let after = world.arrive(10);
    world.settle();
    assert_eq!(world.fate(after), Fate::Answered);
}

#[test]
fn a_failed_item_takes_the_rest_of_its_request_with_it_and_no_more() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, |_, _| 5.0);
    let many = world.request("", Priority(0), None, &[row(10), row(200), row(10)]).expect("accepted");
    let mate = world.arrive(10);
    world.guilty.insert(many);
    world.settle();
    assert_eq!(world.fate(many), Fate::Failed(FailReason::ExecutionFailed));
    assert_eq!(world.fate(mate), Fate::Answered);
    assert!(world.sched.is_idle());
}
