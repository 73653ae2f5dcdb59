//! Decisions made as `adaptive` makes them, for a policy's script failed: counted, and logged now and then.

use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::script::Fault;
use crate::types::Time;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// At most one line of the log a policy in this time.
const PAUSE: Duration = Duration::from_secs(10);

/// What was logged last, by policy.
#[derive(Debug, Default)]
pub(super) struct Fallbacks {
    logged: HashMap<Arc<str>, Logged>,
}

#[derive(Debug)]
struct Logged {
    at: Time,
    /// Fallbacks since then.
    since: u64,
}

impl Fallbacks {
    /// Takes note of one.
    pub(super) fn tell(&mut self, policy: &Policy, fault: &Fault, metrics: &Metrics, now: Time) {
        metrics.custom_fell_back(&policy.name);
        let Some(before) = self.due(&policy.name, now) else { return };
        let script = policy.script.as_ref().map_or("", |script| script.name());
        tracing::warn!(
            policy = %policy.name, unlogged = before,
            "a decision fell back to adaptive, the script failed: {script}:{fault}"
        );
    }

    /// Whether one is to be logged now: then how many were not since the last.
    fn due(&mut self, policy: &Arc<str>, now: Time) -> Option<u64> {
        let Some(last) = self.logged.get_mut(policy) else {
            self.logged.insert(Arc::clone(policy), Logged { at: now, since: 0 });
            return Some(0);
        };
        if now.since(last.at) < PAUSE {
            last.since += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.since))
    }

    /// Forgets what was logged: under other policies every fault is news.
    pub(super) fn reset(&mut self) {
        self.logged.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_policy_is_logged_and_then_one_a_pause() {
        let (mut fallbacks, [a, b]) = (Fallbacks::default(), ["a", "b"].map(Arc::<str>::from));
        let at = |ms: u64| Time::from_millis(ms);
        assert_eq!(
            [fallbacks.due(&a, at(0)), fallbacks.due(&a, at(1)), fallbacks.due(&a, at(9_999))],
            [Some(0), None, None]
        );
        assert_eq!(
            [fallbacks.due(&b, at(2)), fallbacks.due(&a, at(10_000)), fallbacks.due(&a, at(10_001))],
            [Some(0), Some(2), None]
        );
        fallbacks.reset();
        assert_eq!(fallbacks.due(&a, at(10_002)), Some(0));
    }
}
