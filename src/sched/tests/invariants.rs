//! What must hold after any history, by name.

use super::world::*;
use crate::sched::*;
use crate::types::*;

/// Checks a dispatch against what the callers know.
pub(super) fn on_dispatch(world: &World, d: &Dispatch) {
    a_batch_is_within_its_limits(world, d);
    nothing_runs_that_nobody_wants(world, d);
    first_in_first_out_inside_a_class_and_length(world, d);
    a_worker_runs_one_batch_at_a_time(world, d);
    a_batch_goes_to_a_worker_of_its_model(world, d);
    assert!(!world.lent.contains(&d.worker), "{} is lent", d.worker);
}

/// Checks what must hold once all outputs are drained.
pub(super) fn at_rest(world: &mut World) {
    a_timeout_is_never_in_the_past(world);
    nothing_waits_without_end(world);
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
    if grid == Grid::Exact { len } else { crate::sched::edge::edge(grid, len) }
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

/// While a worker is free, what waits has been put off until a time, or until a batch ends.
fn nothing_waits_without_end(world: &World) {
    for (id, model) in &world.sched.models {
        if !world.sched.has_free_worker(*id) {
            continue;
        }
        assert!(model.retries.is_empty(), "{id}: parts of a failed batch wait, though a worker is free");
        let runs = world.running.iter().any(|(b, _)| b.model == *id);
        assert!(model.rows() == 0 || runs || model.wake < Time::NEVER, "{id} is forgotten");
    }
}
