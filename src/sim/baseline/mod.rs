//! What other servers do, each at its own rule, to be measured on the same load as a policy.
//!
//! Decides which rule is meant by which word. The rules are written from what is published of those servers, where
//! one leaves a choice, in its favour: they know each batch's cost as well as the scheduler does, choose at the moment
//! a worker is free, refuse nothing at the door, and hold any number of requests.

mod line;
mod name;
mod regression;
mod rule;
mod stand_in;

use super::server::Server;
use crate::policy::PolicySet;
use std::sync::Arc;
use std::time::Duration;

/// How another server forms its batches; written `none`, `fixed:32`, `fixed:32:5ms+drop`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    /// Its rule.
    pub rule: Rule,
    /// Whether it drops what would be late: once a batch is formed, while one of its requests would miss its SLO in
    /// it, the earliest such request is refused and the batch formed anew. With `fixed` that is the sliding window
    /// of Nexus ("early drop"; Shen et al., SOSP 2019).
    pub drops: bool,
}

/// Which of the waiting items run next, once a worker is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `none`: the oldest alone, as a server without batching.
    None,
    /// `fixed:ROWS[:DELAY]`: the oldest `rows` rows once so many wait or the oldest has waited `delay`, whatever their
    /// lengths. Triton's dynamic batcher with one preferred size and `max_queue_delay_microseconds`; TF Serving's
    /// `max_batch_size` and `batch_timeout_micros`.
    Fixed {
        /// Rows of a full batch.
        rows: u32,
        /// How long the oldest waits for one at most.
        delay: Duration,
    },
    /// `fifo:TOKENS`: the oldest, as many as keep rows × longest within `tokens`; at once. text-embeddings-inference
    /// with `--max-batch-tokens`, on its backends that pad.
    Fifo {
        /// Most padded tokens.
        tokens: u32,
    },
    /// `window:ROWS[:BATCH]`: the oldest, at most `rows` rows, sorted by length and cut into batches of `batch` rows;
    /// these run, the shortest first, before the next are looked at. infinity, whose window is 32 batches; it sorts
    /// only whole batches, two at least, which carries less.
    Window {
        /// Most rows looked at.
        rows: u32,
        /// Rows of a batch.
        batch: u32,
    },
    /// `regression[:ROWS]`: the oldest, at most `rows` rows, once waiting for more is predicted not to pay. BentoML's
    /// adaptive batching; the rule is told in full where it is written ([`regression`]).
    Regression {
        /// Most rows.
        rows: u32,
    },
    /// `drop[:ROWS]`: the oldest, as many as the SLO of the earliest of them allows, at most `rows` rows; one that
    /// would be late even alone is dropped. Clipper and Clockwork (Gujarati et al., OSDI 2020).
    Drop {
        /// Most rows.
        rows: u32,
    },
}

impl Baseline {
    /// Whether it does otherwise where there is no SLO.
    #[must_use]
    pub fn needs_slo(self) -> bool {
        self.drops
    }

    /// The server that stands in the scheduler's place.
    pub(super) fn server(self, goals: Arc<PolicySet>) -> impl Server {
        stand_in::StandIn::new(self, goals)
    }
}

#[cfg(test)]
mod tests;
