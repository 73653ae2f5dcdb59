//! The engine: assemble, run, split, with a clock on each part.
//!
//! Decides nothing about batches. Knows that a run can panic, and that the process must go on.

use super::assemble::Assembler;
use super::backend::Backend;
use super::{Failure, Job, same, split};
use crate::clock;
use crate::model::Model;
use crate::request::Answer;
use crate::types::fenced;
use std::sync::Arc;
use std::time::Duration;

/// Runs batches on one backend.
pub(super) struct Engine {
    pub(super) model: Arc<Model>,
    backend: Box<dyn Backend>,
    assembler: Assembler,
}

/// A batch that was run.
pub(super) struct Run {
    pub(super) assemble: Duration,
    pub(super) compute: Duration,
    /// Rows that need not run.
    pub(super) reused: u32,
    /// Why rows of a batch could not be told apart, by what came of one item.
    pub(super) uneven: Option<String>,
    pub(super) result: Result<Vec<Answer>, Failure>,
}

impl Engine {
    pub(super) fn new(model: Arc<Model>, backend: Box<dyn Backend>) -> Self {
        Self { model, backend, assembler: Assembler::default() }
    }

    /// The backend, for somebody else.
    pub(super) fn into_backend(self) -> Box<dyn Backend> {
        self.backend
    }

    /// Runs a batch. A panic on the way is a failure of this batch.
    pub(super) fn run(&mut self, job: &Job) -> Run {
        let start = clock::now();
        let (mut assembled, mut reused, mut uneven) = (start, 0, None);
        let result = guarded(|| {
            let spec = &self.model.spec;
            let merged = same::merge(job)?;
            let ran = merged.as_ref().map_or(job, |merged| &merged.job);
            let wanted = split::wanted(spec, ran)?;
            let inputs = self.assembler.assemble(spec, ran);
            assembled = clock::now();
            let outputs = self.backend.run(inputs?, &wanted)?;
            uneven = split::uneven(spec, ran, &wanted, &outputs)?;
            let answers = split::split(spec, ran, &wanted, &outputs)?;
            Ok(match &merged {
                None => answers,
                Some(merged) => {
                    reused = merged.rows;
                    merged.spread(answers)
                }
            })
        });
        self.assembler.release();
        Run { assemble: assembled.since(start), compute: clock::now().since(assembled), reused, uneven, result }
    }
}

/// Turns a panic into a failure, so that one batch never takes the process down.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What a panic leaves half-written are buffers that the next batch overwrites.
    fenced(f).unwrap_or_else(|panic| Err(Failure::Failed(format!("panic: {panic}"))))
}
