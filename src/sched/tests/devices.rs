//! Several devices: what is learned of one is not held against another, and models share what they share.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;
use std::collections::BTreeMap;

const GPU: DeviceId = DeviceId(1);

/// One worker on the CPU and one on a GPU that is alike, both measured.
fn pair(policies: std::sync::Arc<crate::policy::PolicySet>, curve: fn(u32, u32) -> f64) -> World {
    let mut world = World::new(policies, 1, curve);
    world.worker_on(1, MODEL, GPU, Grid::Stepped);
    measure(&mut world, 1);
    world
}

fn measure(world: &mut World, worker: u32) {
    for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 32), (8, 32), (1, 128), (4, 128), (1, 256)] {
        let compute = ms(1).mul_f64((world.curve)(rows, len));
        world.sched.handle_measured(WorkerId(worker), &Measured { rows, len, busy: 1, compute }, world.now);
    }
}

fn on(world: &World, device: DeviceId) -> impl Iterator<Item = &Dispatch> {
    world.history.iter().filter(move |d| world.crew[&d.worker].1 == device)
}

#[test]
fn each_device_pads_in_its_own_way() {
    let mut world = pair(preset(Strategy::Adaptive), |_, _| 5.0);
    for _ in 0..8 {
        world.arrive(13);
        world.poll();
    }
    world.settle();
    assert!(on(&world, DEVICE).count() > 0 && on(&world, DEVICE).all(|d| d.padded_len == 13));
    assert!(on(&world, GPU).count() > 0 && on(&world, GPU).all(|d| d.padded_len == 16));
}

#[test]
fn what_one_device_has_no_memory_for_runs_on_the_other_as_before() {
    let mut world = pair(preset(Strategy::Adaptive), |_, _| 5.0);
    let fill = |world: &mut World| {
        for _ in 0..200 {
            world.arrive(16);
        }
    };
    fill(&mut world);
    world.poll();
    let at = world.running.iter().position(|(b, _)| b.worker == WorkerId(1)).expect("both run");
    let rows = world.running[at].0.rows;
    assert!(rows > 16);
    world.end(at, Some(BatchOutcome::OutOfMemory));
    world.settle();
    let before = world.history.len();
    fill(&mut world);
    world.settle();
    let later = &world.history[before..];
    let most = |worker| later.iter().filter(|d| d.worker == WorkerId(worker)).map(|d| d.rows).max();
    assert!(most(1) <= Some(rows / 2), "{:?}", most(1));
    assert!(most(0) > Some(rows / 2), "{:?}", most(0));
    assert!(world.callers.values().all(|c| c.fate == Fate::Answered));
}

#[test]
fn what_was_too_large_at_warm_up_is_not_tried_on_callers() {
    let mut world = pair(preset(Strategy::Adaptive), |_, _| 5.0);
    for worker in 0..2 {
        world.sched.handle_too_large(WorkerId(worker), 8, 16, world.now);
    }
    for _ in 0..100 {
        world.arrive(16);
    }
    world.settle();
    assert_eq!(world.history.iter().map(|d| d.rows).max(), Some(4));
}

#[test]
fn of_devices_alike_the_one_is_preferred_that_knows_the_shape() {
    let mut world = World::cold(preset(Strategy::Adaptive), |_, _| 5.0);
    for worker in 0..2 {
        world.worker_on(worker, MODEL, DeviceId(worker), Grid::Stepped);
        (0..10).for_each(|_| measure(&mut world, worker));
    }
    let run = Measured { rows: 1, len: 48, busy: 1, compute: ms(5) };
    world.sched.handle_measured(WorkerId(1), &run, world.now);
    world.arrive(45);
    assert_eq!(world.poll()[0].worker, WorkerId(1));
    world.settle();
    world.arrive(100);
    assert_eq!(world.poll()[0].worker, WorkerId(0), "new to both");
}

#[test]
fn two_models_with_a_backlog_share_the_device_they_are_both_on() {
    let other = ModelId(1);
    let mut world = World::new(preset(Strategy::Adaptive), 1, cpu);
    world.sliced = true;
    world.sched.handle_model(other, Some(ModelLimits { name: "other".into(), batchable: true }), world.now);
    world.worker_on(1, other, DEVICE, Grid::Exact);
    // One sends ten times as much as the other.
    for i in 0..440 {
        let model = if i % 11 == 0 { other } else { MODEL };
        world.request_of(model, "", Priority(0), None, &[row(20)]).expect("accepted");
    }
    let mut time: BTreeMap<ModelId, f64> = BTreeMap::new();
    world.poll();
    while world.sched.queue(other).rows > 0 {
        assert!(world.step());
    }
    for d in &world.history {
        *time.entry(d.model).or_default() += cpu(d.rows, d.padded_len);
    }
    let share = time[&other] / (time[&MODEL] + time[&other]);
    assert!((0.35..0.65).contains(&share), "{time:?}");
    world.settle();
}

#[test]
fn fixed_size_keeps_its_promise_on_several_devices() {
    let text = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 4";
    let mut world = pair(policies(&[("f.toml", text)], 1), cpu);
    world.slow.insert(GPU, 0.1);
    for _ in 0..40 {
        world.arrive(12);
    }
    world.settle();
    assert_eq!(world.sizes(), [4; 10]);
    assert!(on(&world, GPU).count() > on(&world, DEVICE).count());
}

#[test]
fn under_pressure_adaptive_waits_for_company_while_others_run_and_no_longer_than_it_may() {
    // Three rows a millisecond, and two workers that take 2 ms whatever they run.
    let mut world = pair(preset(Strategy::Adaptive), |_, _| 2.0);
    for _ in 0..400 {
        world.now = world.now + std::time::Duration::from_micros(333);
        while world.next_event().is_some_and(|t| t <= world.now) {
            let now = world.now;
            world.step();
            world.now = now;
        }
        world.arrive(16);
        world.poll();
    }
    world.settle();
    let late = world.history.len() / 2;
    let mean = world.history[late..].iter().map(|d| d.rows).sum::<u32>() as f64 / (world.history.len() - late) as f64;
    assert!(mean > 2.5, "{mean} rows a batch");
    let waits = world.callers.values().map(|c| c.left.expect("answered").since(c.arrived));
    assert!(waits.max().expect("some") <= ms(5) + ms(4), "held for at most the delay");
}
