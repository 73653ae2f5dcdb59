//! What must hold after any history, by name, and random histories that try to break it.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;
use proptest::prelude::*;

/// Checks a dispatch against what the callers know.
pub(super) fn on_dispatch(world: &World, d: &Dispatch) {
    a_batch_is_within_its_limits(world, d);
    nothing_runs_that_nobody_wants(world, d);
    first_in_first_out_inside_a_class_and_length(world, d);
    a_worker_runs_one_batch_at_a_time(world, d);
    a_batch_goes_to_a_worker_of_its_model(world, d);
}

/// Checks what must hold once all outputs are drained.
pub(super) fn at_rest(world: &mut World) {
    a_timeout_is_never_in_the_past(world);
}

fn a_batch_is_within_its_limits(world: &World, d: &Dispatch) {
    let items: Vec<Item> = d.items.iter().map(|(r, i)| world.callers[r].items[*i as usize]).collect();
    assert!(!items.is_empty());
    assert!(items.iter().all(|i| i.class == items[0].class), "classes never share a batch");
    let rows: u32 = items.iter().map(|i| i.rows).sum();
    assert_eq!(rows, d.rows);
    let longest = items.iter().map(|i| i.len).max().unwrap_or(0);
    assert_eq!(d.padded_len, edge_of(world.crew[&d.worker].2, longest));
    // A single item may be over the limits of a policy that came after it was accepted.
    if items.len() > 1 && d.why != Release::Retry {
        assert!(rows <= d.policy.batch.max_batch_size, "{rows} rows under {}", d.policy.name);
        let padded = u64::from(rows) * u64::from(d.padded_len);
        assert!(padded <= u64::from(d.policy.batch.max_batch_tokens), "{padded} tokens under {}", d.policy.name);
    }
}

fn edge_of(grid: Grid, len: u32) -> u32 {
    if grid == Grid::Exact { len } else { crate::sched::lane::edge(grid, len) }
}

fn a_batch_goes_to_a_worker_of_its_model(world: &World, d: &Dispatch) {
    assert_eq!(world.crew[&d.worker].0, d.model);
    assert!(d.items.iter().all(|(r, _)| world.callers[r].model == d.model), "models never share a batch");
}

fn nothing_runs_that_nobody_wants(world: &World, d: &Dispatch) {
    for (request, index) in &d.items {
        let caller = &world.callers[request];
        assert_eq!(caller.fate, Fate::Open, "{request} left, yet it is run (again)");
        assert!(!caller.answered.contains(index), "{request}/{index} is answered, yet it is run again");
        assert!(caller.deadline.is_none_or(|t| t > world.now), "{request} is dispatched past its deadline");
        assert!(!world.running.iter().any(|(b, _)| b.items.contains(&(*request, *index))), "runs twice at once");
    }
}

fn first_in_first_out_inside_a_class_and_length(world: &World, d: &Dispatch) {
    if d.why == Release::Retry {
        return;
    }
    let queue = |caller: &Caller, item: &Item| {
        (caller.model, caller.tenant.clone(), caller.priority.level(3), caller.deadline.is_some(), item.class, item.len)
    };
    let seen = |request: &RequestId, index: u32| {
        world.history.iter().any(|b| b.items.contains(&(*request, index))) || d.items.contains(&(*request, index))
    };
    for (request, index) in &d.items {
        let own = &world.callers[request];
        let place = queue(own, &own.items[*index as usize]);
        for (earlier, other) in world.callers.range(..request) {
            let ahead = other.arrived < own.arrived && own.deadline.is_none() && other.fate == Fate::Open;
            for (i, item) in other.items.iter().enumerate() {
                if ahead && queue(other, item) == place {
                    assert!(seen(earlier, i as u32), "{request} overtakes {earlier}/{i} of its own length");
                }
            }
        }
    }
}

fn a_worker_runs_one_batch_at_a_time(world: &World, d: &Dispatch) {
    assert!(world.running.iter().all(|(b, _)| b.worker != d.worker), "{} is busy", d.worker);
}

fn a_timeout_is_never_in_the_past(world: &mut World) {
    let timeout = world.sched.poll_timeout();
    assert!(timeout.is_none_or(|t| t > world.now), "{timeout:?} at {:?}", world.now);
}

/// An accepted request leaves exactly once, and a drain ends.
fn everything_ends(world: &mut World) {
    world.sched.handle_drain(world.now);
    world.settle();
    assert!(world.running.is_empty());
    if let Some((request, caller)) = world.callers.iter().find(|(_, c)| c.fate == Fate::Open) {
        panic!("{request} never left: {caller:?}");
    }
    assert!(world.sched.is_idle(), "nobody waits, yet the scheduler is not idle");
    for model in [MODEL, OTHER] {
        assert_eq!(world.sched.queue(model), Queue::default(), "an empty queue counts nothing");
    }
    for (request, caller) in &world.callers {
        let blamed = caller.fate == Fate::Failed(FailReason::ExecutionFailed);
        let guilty = world.guilty.contains(request) || world.accused.contains(request);
        assert!(!blamed || guilty, "{request} did nothing wrong");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Arrive {
        model: ModelId,
        items: Vec<(u32, u32, u64)>,
        tenant: u8,
        priority: u32,
        deadline: Option<u64>,
        guilty: bool,
    },
    Cancel(prop::sample::Index),
    Pass(u64),
    EndOne(prop::sample::Index, u8),
    Lose(u32),
    Up(u32),
    Reload(u8),
    Condition(u32, bool, bool),
}

fn event() -> impl Strategy_<Value = Event> {
    let item = (1_u32..4, 1_u32..200, 0_u64..3);
    prop_oneof![
        8 => (prop::bool::weighted(0.3), prop::collection::vec(item, 1..4), 0_u8..3, 0_u32..4, prop::option::of(1_u64..200), prop::bool::weighted(0.05))
            .prop_map(|(other, items, tenant, priority, deadline, guilty)| {
                let model = if other { OTHER } else { MODEL };
                Event::Arrive { model, items, tenant, priority, deadline, guilty }
            }),
        2 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        4 => (0_u64..30).prop_map(Event::Pass),
        4 => (any::<prop::sample::Index>(), 0_u8..20).prop_map(|(i, how)| Event::EndOne(i, how)),
        1 => (0_u32..8).prop_map(Event::Lose),
        1 => (0_u32..8).prop_map(Event::Up),
        1 => (0_u32..4, any::<bool>(), any::<bool>()).prop_map(|(d, m, t)| Event::Condition(d, m, t)),
        1 => (0_u8..4).prop_map(Event::Reload),
    ]
}

use proptest::strategy::Strategy as Strategy_;

fn some_policies(which: u8) -> std::sync::Arc<crate::policy::PolicySet> {
    let a = ("a.toml", "strategy = 'coalescing'\n[match]\ntenants = ['t1']\n[batch]\nmax_batch_size = 4");
    let b = ("b.toml", "strategy = 'fixed_size'\n[match]\ntenants = ['t2']\n[batch]\nmax_batch_size = 6");
    let c = ("c.toml", "strategy = 'throughput_optimized'\n[match]\ntenants = ['t1']");
    match which {
        0 => policies(&[a, b], 2),
        1 => policies(&[b, c], 3),
        2 => policies(&[("d.toml", "dynamic_batching = false")], 4),
        _ => preset(Strategy::LatencyOptimized),
    }
}

/// A second model, on two of the devices.
const OTHER: ModelId = ModelId(1);

/// Brings a worker back to its place: the first two share a CPU, the next three have GPUs of their own,
/// and the last three run the other model on the CPU and two of these.
fn up(world: &mut World, worker: u32) {
    let (model, device) = if worker < 5 { (MODEL, worker.saturating_sub(1)) } else { (OTHER, worker - 5) };
    let grid = if device == 0 { Grid::Exact } else { Grid::Stepped };
    world.worker_on(worker, model, DeviceId(device), grid);
}

/// Four devices of different speeds, two of them never measured, and two models.
fn some_world(start: u8) -> World {
    let mut world = World::cold(some_policies(start), cpu);
    world.sched.handle_model(OTHER, Some(ModelLimits { name: "other".into(), batchable: true }), world.now);
    world.slow = [(1, 0.2), (2, 0.3), (3, 1.5)].map(|(device, slow)| (DeviceId(device), slow)).into();
    (0..8).for_each(|worker| up(&mut world, worker));
    for worker in [0, 2] {
        for (rows, len) in [(1, 8), (8, 8), (32, 8), (1, 128), (4, 128)] {
            let compute = ms(1).mul_f64(cpu(rows, len) * if worker == 0 { 1.0 } else { 0.2 });
            world.sched.handle_measured(WorkerId(worker), &Measured { rows, len, busy: 1, compute }, world.now);
        }
    }
    world
}

fn lose(world: &mut World, worker: WorkerId) {
    let lost = world.running.iter().filter(|(b, _)| b.worker == worker);
    let items: Vec<RequestId> = lost.flat_map(|(b, _)| b.items.iter().map(|(r, _)| *r)).collect();
    world.accused.extend(items);
    world.running.retain(|(b, _)| b.worker != worker);
    world.sched.handle_worker(worker, WorkerState::Lost, world.now);
}

fn apply(world: &mut World, event: Event) {
    match event {
        Event::Arrive { model, items, tenant, priority, deadline, guilty } => {
            let items: Vec<Item> = items
                .into_iter()
                .map(|(rows, len, class)| Item { rows, len, bytes: rows * len, class: ShapeClass(class) })
                .collect();
            let tenant = ["", "t1", "t2"][tenant as usize];
            let deadline = deadline.map(ms);
            if let Ok(id) = world.request_of(model, tenant, Priority(priority), deadline, &items)
                && guilty
            {
                world.guilty.insert(id);
            }
        }
        Event::Cancel(which) if !world.callers.is_empty() => {
            let ids: Vec<RequestId> = world.callers.keys().copied().collect();
            world.cancel(*which.get(&ids));
        }
        Event::Pass(t) => {
            world.now = world.now + ms(t);
            world.sched.handle_timeout(world.now);
        }
        Event::EndOne(which, how) if !world.running.is_empty() => {
            let outcome = match how {
                0 => Some(BatchOutcome::DeviceLost),
                1 => Some(BatchOutcome::OutOfMemory),
                2 => Some(BatchOutcome::Failed),
                _ => None,
            };
            let index = which.index(world.running.len());
            if outcome.is_some() {
                let items = world.running[index].0.items.clone();
                world.accused.extend(items.into_iter().map(|(r, _)| r));
            }
            world.end(index, outcome);
        }
        Event::Lose(worker) => lose(world, WorkerId(worker)),
        Event::Up(worker) if world.running.iter().all(|(b, _)| b.worker != WorkerId(worker)) => up(world, worker),
        Event::Condition(device, memory_scarce, throttled) => {
            let (device, slow) = (DeviceId(device), if throttled { 3.0 } else { 1.0 });
            world.slow.insert(device, slow);
            world.sched.handle_device(device, DeviceCondition { memory_scarce, throttled }, world.now);
        }
        Event::Reload(which) => world.sched.handle_policies(some_policies(which), world.now),
        Event::Cancel(_) | Event::EndOne(..) | Event::Up(_) => {}
    }
    world.poll();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_every_invariant(start in 0_u8..4, events in prop::collection::vec(event(), 1..120)) {
        let mut world = some_world(start);
        for event in events {
            apply(&mut world, event);
        }
        world.worker_up(9);
        world.worker_on(10, OTHER, DEVICE, Grid::Exact);
        everything_ends(&mut world);
    }

    #[test]
    fn the_same_history_gives_the_same_decisions(events in prop::collection::vec(event(), 1..60)) {
        let run = || {
            let mut world = some_world(0);
            for event in events.clone() {
                apply(&mut world, event);
            }
            everything_ends(&mut world);
            format!("{:?}", world.history)
        };
        prop_assert_eq!(run(), run());
    }
}
