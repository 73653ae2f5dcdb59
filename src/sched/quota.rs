//! Quotas: what each tenant may send, whatever the model and however free the workers are.
//!
//! A token bucket for each tenant under each policy with a `rate_limit`: it fills at that rate and holds
//! one second's worth. Does not know what waits.

use super::event::Reject;
use crate::policy::RowRate;
use crate::types::Time;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The buckets, by tenant (empty: all that nobody names) and policy; both are bounded by who is named.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    buckets: HashMap<Arc<str>, Vec<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    policy: Arc<str>,
    /// Rows it holds.
    rows: f64,
    filled: Time,
}

impl Quotas {
    /// Takes `rows` rows out of a tenant's bucket.
    ///
    /// # Errors
    /// When it does not hold as many, or never will.
    pub(super) fn take(
        &mut self,
        tenant: &Arc<str>,
        policy: &Arc<str>,
        limit: RowRate,
        rows: u64,
        now: Time,
    ) -> Result<(), Reject> {
        let rate = f64::from(limit.0);
        if rows > u64::from(limit.0) {
            return Err(Reject::OverRate { rows, limit });
        }
        if !self.buckets.contains_key(tenant) {
            self.buckets.insert(Arc::clone(tenant), Vec::new());
        }
        let Some(buckets) = self.buckets.get_mut(tenant) else { return Ok(()) };
        let at = buckets.iter().position(|b| b.policy == *policy).unwrap_or_else(|| {
            buckets.push(Bucket { policy: Arc::clone(policy), rows: rate, filled: now });
            buckets.len() - 1
        });
        let bucket = &mut buckets[at];
        bucket.rows = (bucket.rows + now.since(bucket.filled).as_secs_f64() * rate).min(rate);
        bucket.filled = now;
        let missing = rows as f64 - bucket.rows;
        if missing > 1e-6 {
            return Err(Reject::RateLimited { limit, retry: Duration::from_secs_f64(missing / rate) });
        }
        bucket.rows -= rows as f64;
        Ok(())
    }

    /// Forgets buckets of policies that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.buckets.retain(|_, buckets| {
            buckets.retain(|bucket| is_there(&bucket.policy));
            !buckets.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_rows_at_once_and_then_the_rate() {
        let mut quotas = Quotas::default();
        let (tenant, policy, limit): (Arc<str>, Arc<str>, _) = ("acme".into(), "p".into(), RowRate(100));
        let mut take = |rows, ms| quotas.take(&tenant, &policy, limit, rows, Time::from_millis(ms));
        assert_eq!(take(101, 0), Err(Reject::OverRate { rows: 101, limit }));
        assert_eq!(take(100, 0), Ok(()));
        let refused = take(5, 10);
        assert_eq!(refused, Err(Reject::RateLimited { limit, retry: Duration::from_millis(40) }));
        assert_eq!(take(5, 50), Ok(()), "it may when it was told to");
        assert_eq!((0..1000).filter(|i| take(1, 100 + i * 10).is_ok()).count(), 1000);
        assert_eq!(take(100, 60_000), Ok(()));
        assert!(take(1, 60_000).is_err(), "an idle minute earns one second");
    }

    #[test]
    fn tenants_and_policies_have_buckets_of_their_own() {
        let mut quotas = Quotas::default();
        let names: [Arc<str>; 2] = ["a".into(), "b".into()];
        for tenant in &names {
            for policy in &names {
                assert_eq!(quotas.take(tenant, policy, RowRate(1), 1, Time(0)), Ok(()));
                assert!(quotas.take(tenant, policy, RowRate(1), 1, Time(0)).is_err());
            }
        }
        quotas.keep(|policy| policy == "a");
        assert!(quotas.take(&names[0], &names[0], RowRate(1), 1, Time(0)).is_err());
        assert_eq!(quotas.take(&names[0], &names[1], RowRate(1), 1, Time(0)), Ok(()), "forgotten");
    }
}
