//! Admission, deadlines, cancellation, limits and reloads.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;

#[test]
fn a_request_over_the_budget_is_refused_and_blocks_nobody() {
    let text = "strategy = 'adaptive'\n[batch]\nmax_batch_tokens = 100\nmax_batch_size = 8";
    let mut world = World::new(policies(&[("p.toml", text)], 1), 1, cpu);
    assert_eq!(
        world.request("", Priority(0), None, &[row(101)]),
        Err(Reject::TokensOverBatch { tokens: 101, limit: 100 })
    );
    let wide = Item { rows: 9, len: 2, bytes: 0, class: ShapeClass(1) };
    assert_eq!(world.request("", Priority(0), None, &[wide]), Err(Reject::RowsOverBatch { rows: 9, limit: 8 }));
    let fine = world.arrive(100);
    world.settle();
    assert_eq!(world.fate(fine), Fate::Answered);
}

#[test]
fn a_full_queue_refuses_all_of_a_request_or_none() {
    let text = "[queue]\nmax_rows = 64\nmax_bytes = 4096";
    let mut world = World::new(policies(&[("p.toml", text)], 1), 1, cpu);
    for _ in 0..63 {
        world.arrive(1);
    }
    let two = [row(1), row(1)];
    assert!(matches!(world.request("", Priority(0), None, &two), Err(Reject::QueueFull { .. })));
    assert_eq!(world.sched.queue(MODEL).rows, 63, "nothing of the refused request stays");
    world.arrive(1);
    assert!(world.sched.is_full(MODEL));
    let many = vec![row(1); 65];
    assert_eq!(world.request("", Priority(0), None, &many), Err(Reject::OverQueue { rows: 65, limit: 64 }));
    world.settle();
    assert!(!world.sched.is_full(MODEL));
    let heavy = Item { bytes: 5000, ..row(1) };
    assert_eq!(
        world.request("", Priority(0), None, &[heavy]),
        Err(Reject::BytesOverQueue { bytes: 5000, limit: 4096 })
    );
}

#[test]
fn what_waits_past_its_deadline_fails_at_that_moment() {
    let text = "[slo]\non_predicted_miss = 'serve'";
    let mut world = World::new(policies(&[("p.toml", text)], 1), 1, |_, _| 100.0);
    world.arrive(10);
    world.poll();
    let late = world.request("", Priority(0), Some(ms(30)), &[row(10)]).expect("accepted");
    world.poll();
    assert_eq!(world.sched.poll_timeout(), Some(world.now + ms(30)));
    let due = world.now + ms(30);
    world.settle();
    assert_eq!(world.fate(late), Fate::Failed(FailReason::DeadlineExceeded));
    assert_eq!(world.callers[&late].left, Some(due));
}

#[test]
fn a_deadline_that_passes_while_the_batch_runs_fails_at_once_and_the_batch_goes_on() {
    let mut world = World::new(policies(&[("p.toml", "[slo]\non_predicted_miss = 'serve'")], 1), 1, |_, _| 100.0);
    let late = world.request("", Priority(0), Some(ms(30)), &[row(10)]).expect("accepted");
    let mate = world.arrive(10);
    world.settle();
    assert_eq!(world.sizes(), [2]);
    assert_eq!(world.fate(late), Fate::Failed(FailReason::DeadlineExceeded));
    assert_eq!(world.fate(mate), Fate::Answered);
}

#[test]
fn a_predicted_miss_is_refused_with_the_time_to_drain() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    for _ in 0..100 {
        world.arrive(100);
    }
    world.poll();
    let refused = world.request("", Priority(0), Some(ms(5)), &[row(100)]);
    assert!(matches!(refused, Err(Reject::PredictedMiss { drain }) if drain > ms(200)), "{refused:?}");
    world.request("", Priority(0), Some(ms(5000)), &[row(100)]).expect("this one can be met");
    assert_eq!(world.request("", Priority(0), Some(ms(0)), &[row(1)]), Err(Reject::DeadlinePassed));
}

#[test]
fn the_policy_gives_a_deadline_to_requests_without_one() {
    let text = "[slo]\ndeadline = '30ms'\non_predicted_miss = 'serve'";
    let mut world = World::new(policies(&[("p.toml", text)], 1), 1, |_, _| 100.0);
    let a = world.arrive(10);
    world.poll();
    let b = world.arrive(10);
    world.settle();
    assert_eq!(world.fate(a), Fate::Failed(FailReason::DeadlineExceeded));
    assert_eq!(world.fate(b), Fate::Failed(FailReason::DeadlineExceeded));
    assert_eq!(world.history.len(), 1, "what expired in the queue cost no compute");
}

#[test]
fn a_cancelled_request_costs_no_compute_unless_it_runs() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    let runs = world.arrive(10);
    world.poll();
    let waits = world.request("", Priority(0), None, &[row(10), row(20)]).expect("accepted");
    world.cancel(waits);
    world.cancel(runs);
    world.cancel(RequestId(999));
    world.settle();
    assert_eq!(world.history.len(), 1);
    assert!(world.sched.is_idle());
}

#[test]
fn a_reload_keeps_the_queue_and_serves_it_under_the_new_policy() {
    let text = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 32\nmax_queue_delay = '1s'";
    let mut world = World::new(policies(&[("old.toml", text)], 1), 1, cpu);
    for _ in 0..10 {
        world.arrive(10);
    }
    assert!(world.poll().is_empty());
    world.sched.handle_policies(policies(&[("new.toml", "dynamic_batching = false")], 2), world.now);
    world.settle();
    assert_eq!(world.sizes(), [1; 10]);
    assert!(world.history.iter().all(|d| &*d.policy.name == "new" && d.generation == 2));
}

#[test]
fn a_drain_refuses_newcomers_and_releases_what_is_held_back() {
    let text = "strategy = 'coalescing'\n[batch]\nmax_queue_delay = '10s'";
    let mut world = World::new(policies(&[("c.toml", text)], 1), 1, cpu);
    let held = world.arrive(10);
    assert!(world.poll().is_empty());
    world.sched.handle_drain(world.now);
    assert_eq!(world.poll()[0].why, Release::Drain);
    assert_eq!(world.request("", Priority(0), None, &[row(1)]), Err(Reject::Draining));
    world.settle();
    assert_eq!(world.fate(held), Fate::Answered);
    assert!(world.sched.is_idle());
}

#[test]
fn without_workers_nothing_is_accepted_and_an_unknown_model_is_named() {
    let mut world = World::cold(preset(Strategy::Adaptive), cpu);
    assert_eq!(world.request("", Priority(0), None, &[row(1)]), Err(Reject::NotReady));
    world.sched.handle_model(MODEL, None, world.now);
    assert_eq!(world.request("", Priority(0), None, &[row(1)]), Err(Reject::UnknownModel));
}
