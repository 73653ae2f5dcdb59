//! Deadlines when a batch is about to run: who is given up, and for whom a batch is made smaller.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;

/// 2 ms and 10 µs a token.
fn curve(rows: u32, len: u32) -> f64 {
    2.0 + 0.01 * f64::from(rows * len)
}

fn missed(fate: Fate) -> bool {
    matches!(fate, Fate::Failed(FailReason::PredictedMiss { .. }))
}

/// A world whose worker runs one long row, 7 ms, while others arrive. Nothing is refused at the door.
fn busy(policy: &str) -> World {
    let mut world = World::new(policies(&[("p.toml", policy)], 1), 1, curve);
    world.arrive(500);
    world.poll();
    world
}

/// A request that arrives with a deadline which the door believes in, of which so much is left at 7 ms.
fn with_left(world: &mut World, left: u64, len: u32) -> RequestId {
    world.request("", Priority(0), Some(ms(7 + left)), &[row(len)]).expect("accepted")
}

#[test]
fn who_cannot_make_it_is_given_up_and_told_when_to_come_back() {
    // The long row takes three times as long as was known when the others were let in.
    let mut world = busy("");
    let tight = world.request("", Priority(0), Some(ms(22)), &[row(50)]).expect("accepted");
    let loose = world.request("", Priority(0), Some(ms(90)), &[row(50)]).expect("accepted");
    world.running[0].1 = world.now + ms(21);
    world.settle();
    assert!(missed(world.fate(tight)), "{:?}", world.fate(tight));
    let Fate::Failed(FailReason::PredictedMiss { drain }) = world.fate(tight) else { return };
    assert!(drain > ms(0), "what waits takes some time: {drain:?}");
    assert_eq!(world.fate(loose), Fate::Answered);
    assert!(world.history.iter().all(|d| !d.items.contains(&(tight, 0))), "it never cost anything");
}

#[test]
fn a_prediction_that_lets_nobody_in_is_tried_once_a_second_until_it_holds_again() {
    let mut world = World::new(policies(&[("p.toml", "")], 1), 1, |rows, len| 10.0 * curve(rows, len));
    for _ in 0..200 {
        world.arrive(50);
        world.settle();
    }
    // From now on runs take a tenth of that, and all have a deadline that only this can meet.
    world.curve = curve;
    let (mut let_in, mut last) = (0, false);
    for _ in 0..600 {
        world.now = world.now + ms(100);
        let asked = world.request("", Priority(0), Some(ms(12)), &[row(50)]);
        last = asked.is_ok();
        let_in += u32::from(last);
        world.settle();
    }
    assert!(last && let_in > 300, "{let_in} of 600");
}

#[test]
fn under_serve_it_is_tried_all_the_same() {
    let mut world = busy("[slo]\non_predicted_miss = 'serve'");
    let tight = world.request("", Priority(0), Some(ms(22)), &[row(50)]).expect("accepted");
    world.running[0].1 = world.now + ms(21);
    world.settle();
    assert_eq!(world.fate(tight), Fate::Failed(FailReason::DeadlineExceeded));
    assert!(world.history.iter().any(|d| d.items.contains(&(tight, 0))), "it ran, and was too late");
}

#[test]
fn a_batch_is_made_smaller_for_the_one_that_could_not_wait_for_all() {
    for policy in ["", "[slo]\non_predicted_miss = 'serve'"] {
        let mut world = busy(policy);
        let tight = with_left(&mut world, 6, 50);
        let others: Vec<_> = (0..20).map(|_| world.arrive(50)).collect();
        world.settle();
        assert_eq!(world.fate(tight), Fate::Answered, "{policy}");
        let batch = &world.history[1];
        assert_eq!(batch.why, Release::Trimmed);
        assert!(batch.items.contains(&(tight, 0)) && batch.rows > 1 && batch.rows < 12, "{} rows", batch.rows);
        assert!(others.iter().all(|&r| world.fate(r) == Fate::Answered), "nobody else is given up");
        let order: Vec<u64> = world.history.iter().flat_map(|d| d.items.iter().map(|(r, _)| r.0)).collect();
        assert!(order[2..].is_sorted(), "those without a deadline keep their order: {order:?}");
    }
}

#[test]
fn a_batch_with_time_enough_stays_whole() {
    let mut world = busy("");
    with_left(&mut world, 40, 50);
    (0..20).for_each(|_| {
        world.arrive(50);
    });
    world.settle();
    assert!(world.history.iter().all(|d| d.why != Release::Trimmed));
}

#[test]
fn a_request_of_several_items_is_given_up_whole() {
    let mut world = busy("");
    let items = [row(50), row(60), row(50)];
    let tight = world.request("", Priority(0), Some(ms(24)), &items).expect("accepted");
    let other = world.arrive(50);
    world.running[0].1 = world.now + ms(22);
    world.settle();
    assert!(missed(world.fate(tight)));
    assert_eq!(world.fate(other), Fate::Answered);
    assert!(world.sched.is_idle());
}

#[test]
fn every_strategy_gives_up_what_cannot_be_met() {
    for strategy in Strategy::ALL {
        let mut policy = crate::policy::Policy::preset("p", strategy);
        policy.batch.max_queue_delay = ms(1);
        let set = crate::policy::PolicySet::single(policy, 1);
        let mut world = World::new(std::sync::Arc::new(set), 1, curve);
        world.arrive(500);
        world.poll();
        world.now = world.now + ms(1);
        world.sched.handle_timeout(world.now);
        world.poll();
        let tight = world.request("", Priority(0), Some(ms(22)), &[row(50)]).expect("accepted");
        world.running[0].1 = world.now + ms(21);
        world.settle();
        assert!(missed(world.fate(tight)), "{strategy:?}: {:?}", world.fate(tight));
    }
}
