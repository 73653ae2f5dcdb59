//! A batch that is assembled once and run many times, so that what is measured is the session alone.
//!
//! Decides nothing. Splits no outputs back.

use super::assemble::Assembler;
use super::backend::{Backend, Input};
use super::engine::guarded;
use super::warmup::Cell;
use super::{Failure, Job, split, synthetic};
use crate::model::Model;
use crate::request::{Payload, Tokens};
use std::sync::Arc;

/// A batch with its inputs in place.
#[derive(Debug)]
pub struct Prepared {
    job: Job,
    inputs: Vec<Input>,
    wanted: Vec<usize>,
}

impl Prepared {
    /// Pads texts to `len`, which is at least that of the longest, and asks for what callers ask for.
    ///
    /// # Errors
    /// [`Failure::Failed`] where these do not make a batch of this model.
    pub fn of_texts(model: &Arc<Model>, len: u32, texts: Vec<Tokens>) -> Result<Self, Failure> {
        let items = texts.into_iter().map(Payload::Tokens).collect();
        Self::of(model, synthetic::batch(model, len, items, synthetic::usual(model)))
    }

    /// Makes up so many rows of one length, as the warm-up does.
    ///
    /// # Errors
    /// [`Failure::Failed`] where such a batch cannot exist.
    pub fn made_up(model: &Arc<Model>, rows: u32, len: u32) -> Result<Self, Failure> {
        Self::of(model, synthetic::warm_up(model, Cell { rows, len })?)
    }

    fn of(model: &Model, job: Job) -> Result<Self, Failure> {
        let mut assembler = Assembler::default();
        assembler.assemble(&model.spec, &job)?;
        let wanted = split::wanted(&model.spec, &job)?;
        Ok(Self { job, inputs: assembler.into_inputs(), wanted })
    }

    /// Runs it and drops what comes out.
    ///
    /// # Errors
    /// The backend's; a panic counts as a failed run.
    pub fn run(&self, backend: &mut dyn Backend) -> Result<(), Failure> {
        guarded(|| backend.run(&self.inputs, &self.wanted).map(drop))
    }

    /// The same batch as an order for a worker.
    #[must_use]
    pub fn job(&self) -> Job {
        Job { batch: self.job.batch, padded_len: self.job.padded_len, reuse: false, items: self.job.items.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Fake;
    use crate::exec::fixtures::{message, model, text_spec};
    use std::sync::mpsc::channel;

    #[test]
    fn texts_are_padded_once_and_run_as_often_as_wanted() {
        let m = model(text_spec());
        let texts = [3, 5].map(|len| Tokens { ids: vec![7; len], type_ids: Vec::new() }).to_vec();
        let batch = Prepared::of_texts(&m, 5, texts.clone()).unwrap();
        assert_eq!(batch.inputs[0].shape(), [2, 5]);
        assert_eq!((batch.job().items.len(), batch.job().padded_len), (2, 5));
        let (tell, told) = channel();
        let mut backend = Fake::new(m.spec.clone(), move |run| {
            tell.send((run.rows, run.len)).unwrap();
            Ok(())
        });
        for _ in 0..3 {
            batch.run(&mut backend).unwrap();
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(2, 5); 3]);
        assert!(message(Prepared::of_texts(&m, 4, texts).unwrap_err()).contains("a row of length 5"));
    }

    #[test]
    fn a_failing_run_is_told() {
        let m = model(text_spec());
        let batch = Prepared::made_up(&m, 2, 4).unwrap();
        assert_eq!(batch.inputs[0].shape(), [2, 4]);
        let mut backend = Fake::new(m.spec.clone(), |_| panic!("no"));
        assert!(message(batch.run(&mut backend).unwrap_err()).contains("panic: no"));
    }
}
