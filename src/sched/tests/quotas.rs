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

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What a tenant sent and got, in rows, and how many batches ran since it began to wait or was served last.
#[derive(Debug, Default)]
struct Turn {
    sent: u32,
    ran: u32,
    passed_over: usize,
}

/// Counts a batch; whoever waits is served within as many of them as there are tenants.
fn count(world: &World, batch: &Dispatch, turns: &mut [Turn; 4]) {
    for (name, turn) in NAMES.iter().zip(turns) {
        let own = batch.items.iter().filter(|(id, _)| *world.callers[id].tenant == **name).count() as u32;
        turn.ran += own;
        turn.passed_over = if own > 0 || turn.ran == turn.sent { 0 } else { turn.passed_over + 1 };
        assert!(turn.passed_over <= NAMES.len(), "{name} waits: {turn:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of tenants of one policy and level, all rows alike, whatever others queue.
    #[test]
    fn no_tenant_is_passed_over(bursts in prop::collection::vec((0_usize..4, 1_u32..20, 0_u32..6), 1..30)) {
        let text = "[match]\ntenants = ['a', 'b', 'c', 'd']\n[batch]\nmax_batch_size = 4";
        let mut world = World::new(policies(&[("p.toml", text)], 1), 1, cpu);
        let (mut turns, mut counted) = (<[Turn; 4]>::default(), 0);
        for (tenant, rows, steps) in bursts {
            for _ in 0..rows {
                world.request(NAMES[tenant], Priority(0), None, &[row(20)]).expect("accepted");
            }
            turns[tenant].sent += rows;
            world.poll();
            for _ in 0..steps {
                world.step();
            }
            world.history[counted..].iter().for_each(|batch| count(&world, batch, &mut turns));
            counted = world.history.len();
        }
        world.settle();
        world.history[counted..].iter().for_each(|batch| count(&world, batch, &mut turns));
    }
}
