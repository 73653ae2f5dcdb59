//! Random histories that try to break what must hold.

use super::world::*;
use crate::policy::Strategy;
use crate::sched::*;
use crate::types::*;
use proptest::prelude::*;

/// An accepted request leaves exactly once, and a drain ends.
fn everything_ends(world: &mut World) {
    world.sched.handle_drain(world.now);
    world.settle();
    assert!(world.running.is_empty());
    if let Some((request, caller)) = world.callers.iter().find(|(_, c)| c.fate == Fate::Open) {
        panic!("{request} never left: {caller:?}");
    }
    assert!(world.sched.is_idle(), "nobody waits, yet the scheduler is not idle");
    assert!(world.sched.trials.is_empty(), "nothing failed that is still looked into");
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
    Keys(bool),
    Condition(u32, bool, bool),
    Lend(bool),
    Return(prop::sample::Index),
    Unload(bool),
    Load(bool),
}

/// What happens: the more `arrivals`, the less of all else.
fn event(arrivals: u32) -> impl Strategy_<Value = Event> {
    let item = (1_u32..4, 1_u32..200, 0_u64..3);
    prop_oneof![
        arrivals => (prop::bool::weighted(0.3), prop::collection::vec(item, 1..4), 0_u8..6, 0_u32..4, prop::option::of(1_u64..200), prop::bool::weighted(0.05))
            .prop_map(|(other, items, tenant, priority, deadline, guilty)| {
                Event::Arrive { model: model(other), items, tenant, priority, deadline, guilty }
            }),
        2 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        4 => (0_u64..30).prop_map(Event::Pass),
        4 => (any::<prop::sample::Index>(), 0_u8..20).prop_map(|(i, how)| Event::EndOne(i, how)),
        1 => (0_u32..8).prop_map(Event::Lose),
        1 => (0_u32..8).prop_map(Event::Up),
        1 => (0_u32..4, any::<bool>(), any::<bool>()).prop_map(|(d, m, t)| Event::Condition(d, m, t)),
        1 => (0_u8..6).prop_map(Event::Reload),
        1 => any::<bool>().prop_map(Event::Keys),
        1 => any::<bool>().prop_map(Event::Lend),
        1 => any::<prop::sample::Index>().prop_map(Event::Return),
        1 => prop::bool::weighted(0.3).prop_map(Event::Unload),
        1 => any::<bool>().prop_map(Event::Load),
    ]
}

use proptest::strategy::Strategy as Strategy_;

/// What a tenant may send and keep waiting.
const QUOTAS: &str = "[tenancy]\nrate_limit = '40/s'\nmax_waiting_rows = 12";

fn some_policies(which: u8) -> std::sync::Arc<crate::policy::PolicySet> {
    let f = ("f.toml", "[match]\ntenants = ['t2']\n[tenancy]\nweight = 3.0");
    let a = ("a.toml", "strategy = 'coalescing'\n[match]\ntenants = ['t1']\n[batch]\nmax_batch_size = 4");
    let b = ("b.toml", "strategy = 'fixed_size'\n[match]\ntenants = ['t2']\n[batch]\nmax_batch_size = 6");
    let c = ("c.toml", "strategy = 'throughput_optimized'\n[match]\ntenants = ['t1']");
    let d = ("e.toml", "strategy = 'custom'\n[custom]\nscript = 's.rhai'\n[match]\ntenants = ['t1']");
    let script = "if segment.length == 77 { throw 1 } if segment.rows < 3 { wait(3) } else { segment.length }";
    match which {
        0 => policies(&[a, b], 2),
        4 => policies(&[d, b, ("s.rhai", script)], 5),
        1 => policies(&[b, c], 3),
        2 => policies(&[("d.toml", "dynamic_batching = false")], 4),
        3 => policies(&[("e.toml", &format!("[match]\ntenants = ['t1', 't3', '*']\n{QUOTAS}")), f], 5),
        _ => preset(Strategy::LatencyOptimized),
    }
}

/// A second model, on three of the devices.
const OTHER: ModelId = ModelId(1);

fn model(other: bool) -> ModelId {
    if other { OTHER } else { MODEL }
}

/// Adds a model that is not there.
fn load(world: &mut World, id: ModelId) {
    if !world.sched.models.contains_key(&id) {
        let name = if id == OTHER { "other" } else { "m" };
        world.sched.handle_model(id, Some(ModelLimits { name: name.into(), batchable: true }), world.now);
    }
}

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
    load(&mut world, OTHER);
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
    world.lent.remove(&worker);
    world.sched.handle_worker(worker, WorkerState::Lost, world.now);
}

/// Whether a worker runs nothing, so that it may come back.
fn is_away(world: &World, worker: WorkerId) -> bool {
    !world.lent.contains(&worker) && world.running.iter().all(|(b, _)| b.worker != worker)
}

/// Ends a canary.
fn give_back(world: &mut World, worker: WorkerId) {
    world.lent.remove(&worker);
    world.sched.handle_worker(worker, WorkerState::Ready, world.now);
}

/// Takes a model out, whatever runs of it.
fn unload(world: &mut World, id: ModelId) {
    world.sched.handle_model(id, None, world.now);
    world.lent.retain(|w| world.crew[w].0 != id);
}

/// Ends a batch, now and then badly.
fn end_one(world: &mut World, index: usize, how: u8) {
    let outcome = match how {
        0 => Some(BatchOutcome::DeviceLost),
        1 => Some(BatchOutcome::OutOfMemory),
        2 => Some(BatchOutcome::Failed),
        _ => None,
    };
    if outcome.is_some() {
        let items = world.running[index].0.items.clone();
        world.accused.extend(items.into_iter().map(|(r, _)| r));
    }
    world.end(index, outcome);
}

/// Hands a request in.
fn arrives(world: &mut World, event: Event) {
    let Event::Arrive { model, items, tenant, priority, deadline, guilty } = event else { return };
    let items: Vec<Item> = items
        .into_iter()
        .map(|(rows, len, class)| Item { rows, len, bytes: rows * len, class: ShapeClass(class) })
        .collect();
    let tenant = ["", "t1", "t2", "t3", "keyed", "nobody"][tenant as usize];
    let deadline = deadline.map(ms);
    if let Ok(id) = world.request_of(model, tenant, Priority(priority), deadline, &items)
        && guilty
    {
        world.guilty.insert(id);
    }
}

fn apply(world: &mut World, event: Event) {
    match event {
        arrive @ Event::Arrive { .. } => arrives(world, arrive),
        Event::Cancel(which) if !world.callers.is_empty() => {
            let ids: Vec<RequestId> = world.callers.keys().copied().collect();
            world.cancel(*which.get(&ids));
        }
        Event::Pass(t) => {
            world.now = world.now + ms(t);
            world.sched.handle_timeout(world.now);
        }
        Event::EndOne(which, how) if !world.running.is_empty() => {
            end_one(world, which.index(world.running.len()), how);
        }
        Event::Lose(worker) => lose(world, WorkerId(worker)),
        Event::Up(worker) if is_away(world, WorkerId(worker)) => up(world, worker),
        Event::Condition(device, memory_scarce, throttled) => {
            let (device, slow) = (DeviceId(device), if throttled { 3.0 } else { 1.0 });
            world.slow.insert(device, slow);
            world.sched.handle_device(device, DeviceCondition { memory_scarce, throttled }, world.now);
        }
        Event::Reload(which) => {
            let policies = some_policies(which);
            world.ledger.keep(&policies);
            world.sched.handle_policies(policies, world.now);
        }
        Event::Keys(some) => {
            let keys = some.then(|| std::sync::Arc::from("keyed")).into_iter().collect();
            world.sched.handle_tenants(std::sync::Arc::new(keys), world.now);
        }
        Event::Lend(other) => {
            let last = world.lent.last().copied();
            world.lent.extend(world.sched.lend(model(other), last));
        }
        Event::Return(which) if !world.lent.is_empty() => {
            let lent: Vec<WorkerId> = world.lent.iter().copied().collect();
            give_back(world, *which.get(&lent));
        }
        Event::Unload(other) => unload(world, model(other)),
        Event::Load(other) => load(world, model(other)),
        Event::Cancel(_) | Event::EndOne(..) | Event::Up(_) | Event::Return(_) => {}
    }
    world.poll();
}

/// Plays a history to its end, with a drain before one of its events if at all.
fn play(start: u8, events: Vec<Event>, drain: Option<usize>) -> World {
    let mut world = some_world(start);
    for (at, event) in events.into_iter().enumerate() {
        if drain == Some(at) {
            world.sched.handle_drain(world.now);
        }
        apply(&mut world, event);
    }
    for worker in world.lent.clone() {
        give_back(&mut world, worker);
    }
    load(&mut world, MODEL);
    load(&mut world, OTHER);
    world.worker_up(9);
    world.worker_on(10, OTHER, DEVICE, Grid::Exact);
    everything_ends(&mut world);
    world
}

/// Six times 1700 histories, each from other policies, so that they are played side by side.
macro_rules! any_history_keeps_every_invariant {
    ($($name:ident: from $start:expr, $arrivals:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 1700, failure_persistence: None, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(
                    events in prop::collection::vec(event($arrivals), 1..100),
                    drain in prop::option::weighted(0.2, 0_usize..100),
                ) {
                    play($start, events, drain);
                }
            )*
        }
    };
}

any_history_keeps_every_invariant! {
    any_history_keeps_every_invariant_from_coalescing: from 0, 8;
    any_history_keeps_every_invariant_from_fixed_sizes: from 1, 8;
    any_history_keeps_every_invariant_without_batching: from 2, 4;
    any_history_keeps_every_invariant_under_quotas: from 3, 40;
    any_history_keeps_every_invariant_from_scripts: from 4, 8;
    any_history_keeps_every_invariant_under_load: from 5, 24;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_history_gives_the_same_decisions(start in 0_u8..6, events in prop::collection::vec(event(8), 1..60)) {
        let run = || format!("{:?}", play(start, events.clone(), None).history);
        prop_assert_eq!(run(), run());
    }
}
