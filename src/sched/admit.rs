//! Admission: what is refused at the door, before it costs anything.

use super::event::{Arrival, Item, Reject};
use super::lane::Lane;
use super::model::ModelState;
use super::scheduler::Scheduler;
use super::strategy::urgency;
use crate::policy::{OnPredictedMiss, Policy, PolicySet};
use crate::types::{ModelId, Time};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The batch size that a request's own items are predicted to share.
const SHARED: u32 = 8;

/// How long a model refuses and runs nothing before a request is let in that is predicted to be late: were all
/// refused, nothing would ever show that the prediction no longer holds.
const UNTRIED: Duration = Duration::from_secs(1);

/// Where an acceptable request goes.
pub(super) struct Admitted {
    pub(super) lane: usize,
    pub(super) account: u32,
    pub(super) deadline: Time,
    /// Whether it is let in against the prediction.
    pub(super) trial: bool,
}

impl Scheduler {
    /// Answers where an acceptable request goes, and takes it out of its tenant's quota.
    pub(super) fn admit(&mut self, a: &Arrival<'_>) -> Result<Admitted, Reject> {
        if self.draining {
            return Err(Reject::Draining);
        }
        let Some(model) = self.models.get(&a.model) else {
            return Err(Reject::UnknownModel);
        };
        if !self.workers.iter().any(|w| w.model == a.model) {
            return Err(Reject::NotReady);
        }
        let lane = self.policies.lookup(&model.limits.name, a.tenant);
        let policy = Arc::clone(&model.lanes[lane].policy);
        for item in a.items {
            fits_a_batch(item, &policy)?;
        }
        let rows = a.items.iter().map(|i| u64::from(i.rows)).sum();
        fits_the_queue(a, rows, model, &policy)?;
        let account = self.account(a.model, lane, a.tenant);
        let mut admitted = Admitted { lane, account, deadline: self.deadline_of(a, &policy)?, trial: false };
        self.fits_the_account(a.model, &admitted, &policy, rows)?;
        if admitted.deadline < Time::NEVER
            && policy.slo.on_predicted_miss == OnPredictedMiss::Reject
            && self.predicted_finish(a, &admitted) > admitted.deadline
        {
            admitted.trial = self.is_untried(a.model);
            if !admitted.trial {
                return Err(Reject::PredictedMiss { drain: self.queue(a.model).drain });
            }
        }
        if let Some(limit) = policy.tenancy.rate_limit {
            let payer = self.payer(a.tenant);
            self.quotas.take(&payer, &policy.name, limit, rows, self.now)?;
        }
        Ok(admitted)
    }

    /// The account of a tenant in a lane of a model.
    pub(super) fn account(&mut self, model: ModelId, lane: usize, tenant: &Arc<str>) -> u32 {
        let Self { models, policies, tenants, .. } = self;
        let lane = models.get_mut(&model).and_then(|m| m.lanes.get_mut(lane));
        lane.map_or(0, |lane| lane.accounts.of(tenant, || is_named(tenant, policies, tenants)))
    }

    /// Whose quota a tenant's requests count against: its own, or that of all whom nobody names.
    fn payer(&self, tenant: &Arc<str>) -> Arc<str> {
        if is_named(tenant, &self.policies, &self.tenants) { Arc::clone(tenant) } else { Arc::default() }
    }

    fn deadline_of(&self, a: &Arrival<'_>, policy: &Policy) -> Result<Time, Reject> {
        let deadline = a.deadline.or_else(|| policy.slo.deadline.map(|given| self.now + given));
        match deadline {
            Some(deadline) if deadline <= self.now => Err(Reject::DeadlinePassed),
            deadline => Ok(deadline.unwrap_or(Time::NEVER)),
        }
    }

    fn fits_the_account(&self, id: ModelId, to: &Admitted, policy: &Policy, rows: u64) -> Result<(), Reject> {
        let Some((limit, model)) = policy.tenancy.max_waiting_rows.zip(self.models.get(&id)) else { return Ok(()) };
        let account = model.lanes[to.lane].accounts.get(to.account);
        if rows > u64::from(limit) {
            return Err(Reject::OverTenant { rows, limit });
        }
        if u64::from(account.rows) + rows > u64::from(limit) {
            return Err(Reject::TenantFull { limit, drain: Duration::from_nanos(model.shared(account.backlog)) });
        }
        Ok(())
    }

    /// Whether the model has only refused for long, and nothing of it waits or runs: a trial is in nobody's way.
    fn is_untried(&mut self, id: ModelId) -> bool {
        let Some(model) = self.models.get_mut(&id) else { return false };
        let since = *model.refusing.get_or_insert(self.now);
        let rests = model.rows() == 0 && self.running.iter().all(|r| r.model != id);
        rests && self.now.since(since) >= UNTRIED
    }

    /// When the request is predicted to be answered at the latest, or sooner than its deadline: a free worker, what
    /// goes before it, itself.
    ///
    /// The start of time while nothing was measured: nothing is refused on a guess.
    fn predicted_finish(&mut self, a: &Arrival<'_>, to: &Admitted) -> Time {
        let idle = self.has_free_worker(a.model);
        let ends = self.running.iter().filter(|r| r.model == a.model);
        let first_free = ends.map(|r| Time(r.started.0.saturating_add(r.predicted as u64))).min();
        let free_at = if idle { self.now } else { first_free.unwrap_or(self.now).max(self.now) };
        let Self { models, now, .. } = self;
        let Some(model) = models.get_mut(&a.model) else {
            return Time::default();
        };
        let home = model.home;
        let Some(learned) = model.learned.get(home.slot).filter(|l| l.cost.known()) else {
            return Time::default();
        };
        let (mut longest, mut share) = (0.0_f64, 0.0);
        for item in a.items {
            let line = learned.cost.line(learned.padded(item.len), home.busy);
            longest = longest.max(line.time(item.rows));
            // Many items share the workers, in batches of about this size.
            share += line.time(SHARED) / f64::from(SHARED) * f64::from(item.rows);
        }
        let own = longest.max(share / home.worth.max(1e-3)) as u64;
        let finish =
            |model: &ModelState, ahead: u64| Time(free_at.0.saturating_add(model.shared(ahead)).saturating_add(own));
        let all = finish(model, model.backlog());
        if all <= to.deadline {
            return all;
        }
        let lane = &mut model.lanes[to.lane];
        let policy = Arc::clone(&lane.policy);
        let level = a.priority.level(policy.queue.priority_levels);
        let key = urgency(&policy, *now, to.deadline, level);
        let before = lane.accounts.before(to.account, key, &lane.pool);
        // What an account of weight 1 gets while this one gets what is before the request, and the request.
        let fair = (before as f64 + share) / policy.tenancy.weight;
        let besides = |(index, lane): (usize, &Lane)| {
            let own = (index == to.lane).then_some(to.account);
            lane.accounts.meanwhile(own, level, fair * lane.policy.tenancy.weight, *now)
        };
        let ahead = before + model.lanes.iter().enumerate().filter(|(_, l)| l.items > 0).map(besides).sum::<u64>();
        finish(model, ahead)
    }
}

/// Whether a policy or a key names a tenant, so that it has an account and a quota of its own.
fn is_named(tenant: &Arc<str>, policies: &PolicySet, keys: &BTreeSet<Arc<str>>) -> bool {
    policies.names(tenant) || keys.contains(tenant)
}

fn fits_the_queue(a: &Arrival<'_>, rows: u64, model: &ModelState, policy: &Policy) -> Result<(), Reject> {
    let bytes: u64 = a.items.iter().map(|i| u64::from(i.bytes)).sum();
    let limits = &policy.queue;
    if rows > u64::from(limits.max_rows) {
        return Err(Reject::OverQueue { rows, limit: limits.max_rows });
    }
    let limit = limits.max_bytes.limit(model.largest.max(bytes));
    if bytes > limit {
        return Err(Reject::BytesOverQueue { bytes, limit });
    }
    let drain = model.drain_time();
    if u64::from(model.rows()) + rows > u64::from(limits.max_rows) {
        return Err(Reject::QueueFull { drain });
    }
    if model.bytes.saturating_add(bytes) > limit {
        return Err(Reject::BytesFull { bytes, waiting: model.bytes, limit, drain });
    }
    Ok(())
}

fn fits_a_batch(item: &Item, policy: &Policy) -> Result<(), Reject> {
    if item.rows > policy.batch.max_batch_size {
        return Err(Reject::RowsOverBatch { rows: item.rows, limit: policy.batch.max_batch_size });
    }
    let tokens = u64::from(item.rows) * u64::from(item.len);
    if tokens > u64::from(policy.batch.max_batch_tokens) {
        return Err(Reject::TokensOverBatch { tokens, limit: policy.batch.max_batch_tokens });
    }
    Ok(())
}
