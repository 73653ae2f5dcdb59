//! An arrival as a trace keeps it.

use crate::sched;
use crate::trace::{Arrival, Run};
use crate::types::Time;
use std::sync::Arc;

/// All that the scheduler is told of an arrival at `now`, but for its ids.
pub(super) fn arrival(arrival: &sched::Arrival<'_>, model: &Arc<str>, now: Time) -> Arrival {
    let run =
        |item: &sched::Item| Run { count: 1, rows: item.rows, len: item.len, bytes: item.bytes, class: item.class };
    Arrival {
        at_us: 0,
        model: Arc::clone(model),
        tenant: Arc::clone(arrival.tenant),
        priority: arrival.priority.0,
        deadline_us: arrival.deadline.map(|deadline| deadline.micros_since(now)),
        items: Run::join(arrival.items.iter().map(run)),
    }
}
