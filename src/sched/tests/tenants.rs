//! Tenants: who goes next, who shares a batch, what is refused.

use super::world::*;
use crate::policy::RowRate;
use crate::sched::*;
use crate::types::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One policy for two named tenants, and whoever else there is.
const NAMED: &str = "[match]\ntenants = ['a', 'b', '*']\n";

/// Rows of each tenant's among the first `batches` batches.
fn shares(world: &World, batches: usize) -> BTreeMap<Arc<str>, u32> {
    let mut rows = BTreeMap::new();
    for (request, index) in world.history.iter().take(batches).flat_map(|d| &d.items) {
        let caller = &world.callers[request];
        *rows.entry(Arc::clone(&caller.tenant)).or_default() += caller.items[*index as usize].rows;
    }
    rows
}

fn send(world: &mut World, tenant: &str, len: u32) -> RequestId {
    world.request(tenant, Priority(0), None, &[row(len)]).expect("accepted")
}

#[test]
fn a_light_tenant_overtakes_the_queue_of_a_heavy_one_and_shares_its_batch() {
    let text = format!("{NAMED}[batch]\nmax_batch_size = 8");
    let mut world = World::new(policies(&[("p.toml", &text)], 1), 1, cpu);
    for _ in 0..200 {
        send(&mut world, "a", 20);
    }
    world.poll();
    let light = send(&mut world, "b", 20);
    world.step();
    let second = world.history.last().expect("a worker was free").clone();
    assert_eq!(second.items[0].0, light, "the account charged least goes first");
    assert!(second.rows > 1, "and the rest of the batch is the other's: {second:?}");
}

#[test]
fn tenants_that_wait_alike_are_served_alike_whatever_they_queue() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, cpu);
    for i in 0..900 {
        send(&mut world, "a", 10 + i % 3);
    }
    for i in 0..300 {
        send(&mut world, "b", 10 + i % 3);
    }
    world.settle();
    let half = world.history.len() / 3;
    let rows = shares(&world, half);
    let ratio = f64::from(rows["a"]) / f64::from(rows["b"]);
    assert!((0.8..1.25).contains(&ratio), "{rows:?} in {half} batches");
}

#[test]
fn of_many_tenants_none_is_served_again_before_all_were() {
    let names: Vec<String> = (0..150).map(|i| format!("t{i}")).collect();
    let text = format!("[match]\ntenants = {names:?}\n[batch]\nmax_batch_size = 16");
    let mut world = World::new(policies(&[("p.toml", &text)], 1), 1, cpu);
    let waiting = 4;
    for name in (0..waiting).flat_map(|_| &names) {
        send(&mut world, name, 20);
    }
    world.settle();
    let mut served: BTreeMap<Arc<str>, u32> = names.iter().map(|name| (name.as_str().into(), 0)).collect();
    for (request, _) in world.history.iter().flat_map(|d| &d.items) {
        *served.get_mut(&world.callers[request].tenant).expect("all are named") += 1;
        let (least, most) = (served.values().min(), served.values().max());
        assert!(most <= least.map(|n| n + 1).as_ref(), "{served:?}");
    }
    assert!(served.values().all(|n| *n == waiting), "{served:?}");
}

#[test]
fn tenants_that_nobody_names_share_one_account() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, cpu);
    for i in 0..200 {
        send(&mut world, "a", 20);
        // A name of its own for each request gains nothing.
        send(&mut world, &format!("made-up-{i}"), 20);
        send(&mut world, &format!("another-{i}"), 20);
    }
    world.settle();
    let rows = shares(&world, world.history.len() / 3);
    let (named, others) = (rows["a"], rows.values().sum::<u32>() - rows["a"]);
    let ratio = f64::from(named) / f64::from(others);
    assert!((0.8..1.25).contains(&ratio), "{named} of one tenant, {others} of all others");
}

#[test]
fn a_tenant_of_a_key_has_an_account_of_its_own() {
    let mut world = World::new(policies(&[("p.toml", "")], 1), 1, cpu);
    for _ in 0..100 {
        send(&mut world, "keyed", 20);
        send(&mut world, "x", 20);
        send(&mut world, "y", 20);
    }
    let keys = [Arc::from("keyed")].into();
    world.sched.handle_tenants(Arc::new(keys), world.now);
    world.settle();
    let rows = shares(&world, world.history.len() / 3);
    let ratio = f64::from(rows["keyed"]) / f64::from(rows["x"] + rows["y"]);
    assert!((0.75..1.35).contains(&ratio), "{rows:?}");
}

#[test]
fn lanes_share_the_workers_by_weight() {
    let files = [
        ("bulk.toml", "strategy = 'throughput_optimized'\n[match]\ntenants = ['bulk']\n[tenancy]\nweight = 1.0"),
        ("talk.toml", "strategy = 'latency_optimized'\n[match]\ntenants = ['talk']\n[tenancy]\nweight = 3.0"),
    ];
    let mut world = World::new(policies(&files, 1), 2, cpu);
    for i in 0..2000 {
        send(&mut world, "bulk", 10 + i % 50);
        send(&mut world, "talk", 10 + i % 50);
    }
    world.poll();
    let until = world.now + Duration::from_secs(2);
    while world.now < until && world.step() {}
    let mut time: BTreeMap<&str, f64> = BTreeMap::new();
    for batch in &world.history {
        *time.entry(if &*batch.policy.name == "bulk" { "bulk" } else { "talk" }).or_default() +=
            cpu(batch.rows, batch.padded_len);
    }
    let ratio = time["talk"] / time["bulk"];
    assert!((2.6..3.4).contains(&ratio), "{time:?}");
}

#[test]
fn an_idle_tenant_earns_no_claim_on_the_past() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, cpu);
    for _ in 0..1500 {
        send(&mut world, "a", 20);
    }
    world.poll();
    while world.history.len() < 20 && world.step() {}
    for _ in 0..1500 {
        send(&mut world, "b", 20);
    }
    let before = world.history.len();
    while world.history.len() < before + 10 && world.step() {}
    let all = shares(&world, world.history.len());
    let rows_of_a = all["a"] - shares(&world, before)["a"];
    assert!(rows_of_a * 3 > all["b"], "the newcomer does not shut the other out: {rows_of_a} beside {}", all["b"]);
}

#[test]
fn levels_are_strict_across_tenants_until_they_have_aged() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, |_, _| 100.0);
    send(&mut world, "a", 20);
    world.poll();
    let low = world.request("b", Priority(3), None, &[Item { class: ShapeClass(2), ..row(20) }]).expect("accepted");
    for _ in 0..100 {
        world.request("a", Priority(1), None, &[row(20)]).expect("accepted");
        world.step();
        if world.fate(low) != Fate::Open {
            break;
        }
    }
    let waited = world.callers[&low].left.map(|t| t.since(world.callers[&low].arrived)).expect("it ages");
    assert!(waited > ms(2000) && waited < ms(6000), "{waited:?}");
}

#[test]
fn a_rate_limit_is_for_each_tenant_and_names_when_to_come_back() {
    let text = format!("{NAMED}[tenancy]\nrate_limit = '100/s'");
    let mut world = World::new(policies(&[("p.toml", &text)], 1), 1, cpu);
    let limit = RowRate(100);
    let ask = |world: &mut World, tenant: &str, rows: usize| {
        world.request(tenant, Priority(0), None, &vec![row(5); rows]).map(drop)
    };
    assert_eq!(ask(&mut world, "a", 101), Err(Reject::OverRate { rows: 101, limit }));
    assert_eq!(ask(&mut world, "a", 100), Ok(()));
    assert_eq!(ask(&mut world, "a", 10), Err(Reject::RateLimited { limit, retry: ms(100) }));
    assert_eq!(ask(&mut world, "b", 100), Ok(()), "another tenant's quota is its own");
    assert_eq!(ask(&mut world, "x", 60), Ok(()));
    assert!(ask(&mut world, "y", 60).is_err(), "those whom nobody names share one");
    world.settle();
    world.now = world.now.max(Time::from_millis(1100));
    assert_eq!(ask(&mut world, "a", 10), Ok(()));
    // Another generation of the same policy forgets nothing.
    world.sched.handle_policies(policies(&[("p.toml", &text)], 2), world.now);
    assert!(ask(&mut world, "a", 100).is_err());
}

#[test]
fn so_many_rows_of_a_tenant_wait_and_no_more() {
    let text = format!("{NAMED}[tenancy]\nmax_waiting_rows = 10");
    let mut world = World::new(policies(&[("p.toml", &text)], 1), 1, cpu);
    let ask = |world: &mut World, tenant: &str, rows: usize| {
        world.request(tenant, Priority(0), None, &vec![row(50); rows]).map(drop)
    };
    assert_eq!(ask(&mut world, "a", 11), Err(Reject::OverTenant { rows: 11, limit: 10 }));
    assert_eq!(ask(&mut world, "a", 8), Ok(()));
    let refused = ask(&mut world, "a", 3);
    assert!(matches!(refused, Err(Reject::TenantFull { limit: 10, drain }) if drain > ms(5)), "{refused:?}");
    assert_eq!(ask(&mut world, "a", 2), Ok(()));
    assert_eq!(ask(&mut world, "b", 10), Ok(()));
    world.settle();
    assert_eq!(ask(&mut world, "a", 10), Ok(()), "what has been served waits no more");
}

#[test]
fn a_light_tenants_deadline_is_not_refused_for_a_heavy_ones_queue() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, cpu);
    for _ in 0..1000 {
        send(&mut world, "a", 50);
    }
    world.poll();
    let drain = world.sched.queue(MODEL).drain;
    assert!(drain > ms(1000), "{drain:?}");
    let refused = world.request("a", Priority(0), Some(ms(2000)), &[row(50)]);
    assert!(matches!(refused, Err(Reject::PredictedMiss { .. })), "{refused:?}");
    let light = world.request("b", Priority(0), Some(ms(200)), &[row(50)]).expect("it goes next");
    world.settle();
    assert_eq!(world.fate(light), Fate::Answered);
}

#[test]
fn a_reload_remembers_who_was_served() {
    let mut world = World::new(policies(&[("p.toml", NAMED)], 1), 1, cpu);
    for _ in 0..1500 {
        send(&mut world, "a", 20);
    }
    world.poll();
    while world.history.len() < 15 && world.step() {}
    for _ in 0..1500 {
        send(&mut world, "b", 20);
    }
    for generation in 2..10 {
        world.sched.handle_policies(policies(&[("p.toml", NAMED)], generation), world.now);
        world.step();
    }
    let before = shares(&world, 15)["a"];
    let all = shares(&world, world.history.len());
    assert!(all["a"] > before, "reloads do not make the old tenant wait: {all:?}");
}
