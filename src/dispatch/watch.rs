//! The watch on rows: a model out of which another number of rows comes than went in is stacked no more.
//!
//! Decides nothing else. What is read off a graph and tried at the start is `exec`'s; this is the last net.

use super::driver::{Driver, InFlight};
use crate::clock;
use crate::exec::{Failure, JobDone};
use crate::model::{Batching, Mode, Model};
use crate::sched::ModelLimits;
use std::sync::Arc;

impl Driver {
    /// Looks at the rows of a batch that ended. One that was under way when its model was taken out of stacking is not
    /// believed either, whatever came of it.
    pub(super) fn watch_rows(&mut self, job: &mut JobDone, ran: &InFlight) {
        let Some(model) = self.workers.get(&job.worker).map(|worker| Arc::clone(&worker.plan.model)) else { return };
        let seen = match &job.result {
            Err(Failure::Inseparable(why)) => Some(why.clone()),
            _ => job.uneven.take(),
        };
        if let Some(why) = seen {
            self.stack_no_more(&model, &why);
        }
        let shared = ran.dispatch.items.len() > 1;
        if shared && job.result.is_ok() && model.spec.batchable && model.batching().mode == Mode::Solo {
            let why = "it was under way when its model was found not to be safe to batch".to_owned();
            job.result = Err(Failure::Inseparable(why));
        }
    }

    /// Serves a model one request at a time from now on.
    fn stack_no_more(&mut self, model: &Model, why: &str) {
        if model.batching().mode == Mode::Solo {
            return;
        }
        tracing::error!(model = %model.name, "not safe to batch, so served one request at a time from now on: {why}");
        model.set_batching(Batching::solo(format!("seen while it ran: {why}")));
        self.metrics.model(&model.name).batching(Mode::Solo.name());
        let limits = ModelLimits { name: Arc::clone(&model.name), batchable: false };
        self.sched.handle_model(model.id, Some(limits), clock::now());
    }
}
