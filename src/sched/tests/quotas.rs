//! What a tenant may send and have waiting, and that none is passed over, after any history.

use super::world::*;
use crate::policy::PolicySet;
use crate::sched::*;
use crate::types::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who counts as whom: the tenant itself, or nobody in particular.
fn payer(sched: &Scheduler, tenant: &Arc<str>) -> Arc<str> {
    let named = sched.policies.names(tenant) || sched.tenants.contains(tenant);
    if named { Arc::clone(tenant) } else { Arc::default() }
}

/// Rows accepted under a rate.
#[derive(Debug)]
struct Booked {
    at: Time,
    payer: Arc<str>,
    policy: Arc<str>,
    rows: u32,
}

/// The rows accepted under each rate, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    booked: Vec<Booked>,
}

impl Ledger {
    /// Books an accepted request, and holds it against its tenant's rate: over no time are more rows accepted than
    /// a second's worth and what the rate allows in that time.
    pub(super) fn accept(&mut self, sched: &Scheduler, a: &Arrival<'_>, now: Time) {
        let policy = policy_of(sched, a.model, a.tenant);
        let Some(limit) = policy.tenancy.rate_limit else { return };
        let rows = a.items.iter().map(|i| i.rows).sum();
        let (payer, policy) = (payer(sched, a.tenant), Arc::clone(&policy.name));
        let own = |b: &&Booked| b.payer == payer && b.policy == policy;
        let mut sum = f64::from(rows);
        for earlier in self.booked.iter().rev().filter(own) {
            sum += f64::from(earlier.rows);
            let allowed = f64::from(limit.0) * (1.0 + now.since(earlier.at).as_secs_f64());
            assert!(sum <= allowed + 1e-3, "{sum} rows of `{payer}` since {:?}, {allowed} are allowed", earlier.at);
        }
        self.booked.push(Booked { at: now, payer, policy, rows });
    }

    /// Forgets what counted under policies that are gone.
    pub(super) fn keep(&mut self, policies: &PolicySet) {
        self.booked.retain(|b| policies.policies().iter().any(|p| p.name == b.policy));
    }
}

fn policy_of<'a>(sched: &'a Scheduler, model: ModelId, tenant: &str) -> &'a Arc<crate::policy::Policy> {
    let name = &sched.models[&model].limits.name;
    &sched.policies.policies()[sched.policies.lookup(name, tenant)]
}

/// No more of a tenant's rows wait than may once one of its requests was accepted.
pub(super) fn on_accepted(world: &World, request: RequestId) {
    let sched = &world.sched;
    let own = &world.callers[&request];
    let policy = policy_of(sched, own.model, &own.tenant);
    let Some(limit) = policy.tenancy.max_waiting_rows else { return };
    let whose = |caller: &Caller| {
        let policy = policy_of(sched, caller.model, &caller.tenant);
        (caller.model, Arc::clone(&policy.name), payer(sched, &caller.tenant))
    };
    let ran: BTreeSet<&(RequestId, u32)> = world.history.iter().flat_map(|d| &d.items).collect();
    let account = whose(own);
    let mut waiting = 0;
    for (id, caller) in world.callers.iter().filter(|(_, c)| c.fate == Fate::Open) {
        if sched.models.contains_key(&caller.model) && whose(caller) == account {
            let rows = caller.items.iter().enumerate().filter(|(i, _)| !ran.contains(&(*id, *i as u32)));
            waiting += rows.map(|(_, item)| item.rows).sum::<u32>();
        }
    }
    assert!(waiting <= limit, "{waiting} rows of `{}` wait, {limit} may", own.tenant);
}

/// Tenants of one policy and level whose rows are all alike: each batch is of at most four.
fn tenants_alike() -> World {
    let text = "[match]\ntenants = ['a', 'b', 'c', 'd']\n[batch]\nmax_batch_size = 4";
    World::new(policies(&[("p.toml", text)], 1), 1, cpu)
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever waits is served within as many batches as there are tenants, whatever others queue.
    #[test]
    fn no_tenant_is_passed_over(bursts in prop::collection::vec((0_usize..4, 1_u32..30, 0_u32..6), 1..40)) {
        let mut world = tenants_alike();
        let mut over = [0; 4];
        for (tenant, rows, steps) in bursts {
            for _ in 0..rows {
                world.request(NAMES[tenant], Priority(0), None, &[row(20)]).expect("accepted");
            }
            for _ in 0..=steps {
                let before = world.history.len();
                world.poll();
                world.step();
                count(&world, before, &mut over);
            }
        }
        world.settle();
    }
}

/// Counts the batches since `from` that a tenant waits for while others are served.
fn count(world: &World, from: usize, over: &mut [usize; 4]) {
    for (at, batch) in world.history.iter().enumerate().skip(from) {
        let ran: BTreeSet<&(RequestId, u32)> = world.history[..at].iter().flat_map(|d| &d.items).collect();
        for (tenant, over) in NAMES.iter().zip(over.iter_mut()) {
            let own = |id: &RequestId| &*world.callers[id].tenant == *tenant;
            let waits =
                world.callers.keys().any(|id| own(id) && !ran.contains(&(*id, 0)) && !batch.items.contains(&(*id, 0)));
            let served = batch.items.iter().any(|(id, _)| own(id));
            *over = if served || !waits { 0 } else { *over + 1 };
            assert!(*over <= NAMES.len(), "{tenant} was passed over {over} times");
        }
    }
}
