//! What each strategy promises, on sixteen concurrent requests and on mixed lengths.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;

/// Sixteen requests of like length at one instant.
fn sixteen(policies: &[(&str, &str)], workers: u32) -> World {
    let mut world = World::new(super::world::policies(policies, 1), workers, cpu);
    for i in 0..16 {
        world.arrive(12 + i % 2);
    }
    world.settle();
    assert!(world.callers.values().all(|c| c.fate == Fate::Answered));
    world
}

#[test]
fn adaptive_batches_what_waits_and_never_waits_itself() {
    let world = sixteen(&[], 1);
    assert!(world.sizes().iter().max() >= Some(&8), "{:?}", world.sizes());
    assert_eq!(world.history[0].oldest, Time::from_millis(1000), "a free worker starts at once");
    assert!(world.history.iter().all(|d| matches!(d.why, Release::Idle | Release::Full | Release::Best)));
}

#[test]
fn adaptive_shares_rows_among_free_workers() {
    assert_eq!(sixteen(&[], 2).sizes(), [8, 8]);
}

#[test]
fn fixed_size_runs_exactly_n_in_arrival_order() {
    let world = sixteen(&[("f.toml", "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 8")], 1);
    assert_eq!(world.sizes(), [8, 8]);
    let order: Vec<u64> = world.history.iter().flat_map(|d| d.items.iter().map(|(r, _)| r.0)).collect();
    assert_eq!(order, (1..=16).collect::<Vec<_>>());
    assert!(world.history.iter().all(|d| d.why == Release::Full));
}

#[test]
fn fixed_size_flushes_a_remainder_after_the_delay_and_not_before() {
    let text = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 12\nmax_queue_delay = '10ms'";
    let mut world = World::new(policies(&[("f.toml", text)], 1), 2, cpu);
    for _ in 0..16 {
        world.arrive(12);
    }
    assert_eq!(world.poll().iter().map(|d| d.rows).collect::<Vec<_>>(), [12]);
    assert_eq!(world.sched.poll_timeout(), Some(world.now + ms(10)));
    world.settle();
    assert_eq!(world.sizes(), [12, 4]);
    assert_eq!(world.history[1].why, Release::Delay);
}

#[test]
fn latency_optimized_never_waits_and_keeps_batches_brief() {
    let world = sixteen(&[("l.toml", "strategy = 'latency_optimized'")], 1);
    let alone = cpu(1, 13);
    for batch in &world.history {
        assert!(cpu(batch.rows, batch.padded_len) <= 2.2 * alone, "{} rows", batch.rows);
    }
    let world = sixteen(&[("l.toml", "strategy = 'latency_optimized'\n[slo]\ntarget = '40ms'")], 1);
    assert!(world.sizes().iter().max() > Some(&4), "half of 40 ms has room for more: {:?}", world.sizes());
}

#[test]
fn coalescing_waits_for_company_up_to_its_delay() {
    let text = "strategy = 'coalescing'\n[batch]\nmax_queue_delay = '5ms'";
    let mut world = World::new(policies(&[("c.toml", text)], 1), 1, |rows, len| 5.0 + 0.01 * f64::from(rows * len));
    world.arrive(12);
    assert!(world.poll().is_empty(), "one row waits although the worker is free");
    world.now = world.now + ms(2);
    for _ in 0..15 {
        world.arrive(12);
    }
    world.settle();
    assert_eq!(world.sizes(), [16]);
    assert_eq!(world.history[0].why, Release::Delay);
}

#[test]
fn throughput_optimized_takes_the_richest_segment_first_but_starves_nobody() {
    let text = "strategy = 'throughput_optimized'\n[batch]\nmax_queue_delay = '20ms'\nmax_batch_size = 8";
    let mut world = World::new(policies(&[("t.toml", text)], 1), 1, cpu);
    let lonely = world.arrive(3);
    for _ in 0..64 {
        world.arrive(100);
    }
    world.settle();
    let turn = world.history.iter().position(|d| d.items.contains(&(lonely, 0))).expect("it runs");
    assert!(turn > 0, "full batches of long rows are worth more");
    assert!(turn < world.history.len() - 1, "the guard brings it forward");
    assert_eq!(world.history[0].why, Release::Best, "{} of 8 rows", world.history[0].rows);
}

#[test]
fn a_full_batch_is_told_from_one_that_would_gain_nothing_by_more() {
    // Every row costs the same, whoever it runs with.
    let curve = |rows, len| 0.1 * f64::from(rows * len);
    for (most, why) in [(32, Release::Best), (1, Release::Full)] {
        let text = format!("strategy = 'coalescing'\n[batch]\nmax_queue_delay = '1s'\nmax_batch_size = {most}");
        let mut world = World::new(policies(&[("c.toml", &text)], 1), 1, curve);
        world.arrive(100);
        let batches = world.poll();
        assert_eq!((batches[0].rows, batches[0].why), (1, why));
    }
}

#[test]
fn rows_that_are_shared_out_are_no_full_batch() {
    let curve = |rows, len| 5.0 + 0.02 * f64::from(rows * len);
    let mut world = World::new(policies(&[("a.toml", "[batch]\nmax_batch_size = 12")], 1), 2, curve);
    for _ in 0..16 {
        world.arrive(12);
    }
    let batches: Vec<_> = world.poll().iter().map(|d| (d.rows, d.why)).collect();
    assert_eq!(batches, [(8, Release::Idle), (8, Release::Idle)]);
}

#[test]
fn preferred_sizes_release_early() {
    let text = "strategy = 'coalescing'\n[batch]\nmax_queue_delay = '50ms'\npreferred_batch_sizes = [4, 8]";
    let mut world = World::new(policies(&[("p.toml", text)], 1), 1, |_, _| 5.0);
    for _ in 0..5 {
        world.arrive(12);
    }
    let batches = world.poll();
    assert_eq!((batches[0].rows, batches[0].why), (4, Release::Preferred));
}

#[test]
fn without_dynamic_batching_every_request_runs_alone_at_once() {
    for strategy in ["adaptive", "fixed_size", "coalescing"] {
        let text = format!("strategy = '{strategy}'\ndynamic_batching = false");
        let world = sixteen(&[("off.toml", &text)], 2);
        assert_eq!(world.sizes(), [1; 16], "{strategy}");
        assert!(world.history.iter().all(|d| d.why == Release::Alone));
    }
}

#[test]
fn mixed_lengths_are_grouped_so_that_little_is_padded() {
    for strategy in [Strategy::Adaptive, Strategy::Coalescing] {
        let mut world = World::new(preset(strategy), 1, cpu);
        for i in 0..64_u32 {
            world.arrive(if i % 3 == 0 { 100 + i % 40 } else { 8 + i % 9 });
        }
        world.settle();
        let padded: u64 = world.history.iter().map(|d| u64::from(d.rows) * u64::from(d.padded_len)).sum();
        let useful: u64 = world.history.iter().map(|d| d.tokens).sum();
        let efficiency = useful as f64 / padded as f64;
        assert!(efficiency > 0.9, "{strategy:?}: {efficiency}");
        assert!(world.history.len() < 40, "{strategy:?} still batches: {:?}", world.sizes());
    }
}

#[test]
fn the_most_urgent_request_is_in_the_first_batch() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    for _ in 0..30 {
        world.arrive(12);
    }
    let urgent = world.request("", Priority(0), Some(ms(60)), &[row(90)]).expect("accepted");
    let first = world.poll();
    assert!(first[0].items.contains(&(urgent, 0)), "a deadline goes before what has none");
}

#[test]
fn a_more_urgent_level_goes_first_until_the_other_has_aged() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    world.arrive(200);
    world.poll();
    let low = world.request("", Priority(3), None, &[row(50)]).expect("accepted");
    let high = world.request("", Priority(1), None, &[row(150)]).expect("accepted");
    world.settle();
    let turn = |r: RequestId| world.history.iter().position(|d| d.items.contains(&(r, 0))).expect("runs");
    assert!(turn(high) < turn(low));
}

#[test]
fn a_model_without_a_batch_dimension_runs_one_request_at_a_time() {
    let mut world = World::new(preset(Strategy::FixedSize), 1, cpu);
    let limits = ModelLimits { name: "m".into(), batchable: false };
    world.sched.handle_model(MODEL, Some(limits), world.now);
    for _ in 0..4 {
        world.arrive(1);
    }
    world.settle();
    assert_eq!(world.sizes(), [1; 4]);
}

#[test]
fn two_tenants_under_two_policies_are_served_by_turns() {
    let fixed = ("f.toml", "strategy = 'fixed_size'\n[match]\ntenants = ['f']\n[batch]\nmax_batch_size = 4");
    let off = ("o.toml", "dynamic_batching = false\n[match]\ntenants = ['o']");
    let mut world = World::new(policies(&[fixed, off], 1), 1, cpu);
    for _ in 0..16 {
        world.request("f", Priority(0), None, &[row(10)]).expect("accepted");
        world.request("o", Priority(0), None, &[row(10)]).expect("accepted");
    }
    world.settle();
    for batch in &world.history {
        assert_eq!(batch.rows, if &*batch.policy.name == "f" { 4 } else { 1 });
    }
    let first_f = world.history.iter().position(|d| &*d.policy.name == "f").expect("f runs");
    assert!(first_f < 6, "neither policy's tenants wait for the other to be done");
}

#[test]
fn multi_row_items_stay_whole() {
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    let item = |rows| Item { rows, len: 10, bytes: 0, class: ShapeClass(1) };
    for rows in [3, 5, 7, 2, 60] {
        world.request("", Priority(0), None, &[item(rows)]).expect("accepted");
    }
    world.settle();
    assert_eq!(world.sizes().iter().sum::<u32>(), 77);
    assert!(world.callers.values().all(|c| c.fate == Fate::Answered));
}

#[test]
fn a_lane_that_was_idle_does_not_make_the_others_wait_for_its_past() {
    let off = ("o.toml", "dynamic_batching = false\n[match]\ntenants = ['o']");
    let mut world = World::new(policies(&[off], 1), 1, cpu);
    for _ in 0..1000 {
        world.arrive(10);
        world.settle();
    }
    for _ in 0..100 {
        world.request("o", Priority(0), None, &[row(100)]).expect("accepted");
    }
    world.poll();
    let next = world.arrive(10);
    let flood = world.history.len();
    world.settle();
    let turn = world.history.iter().position(|d| d.items.contains(&(next, 0))).expect("it runs");
    assert!(turn <= flood + 2, "it waited for {} batches of the other lane", turn - flood);
}
