//! Whether sharing a batch changes answers: the same rows run alone and together.
//!
//! Decides nothing. Knows that some models fail this (one quantisation scale for a whole tensor, padding
//! that no mask hides); what follows from that is the operator's.

use super::backend::Backend;
use super::engine::Engine;
use super::numbers::numbers;
use super::warmup::Cell;
use super::{Failure, synthetic};
use crate::model::{Dim, Model};
use crate::request::{Answer, Payload, Want};
use std::sync::Arc;

/// How far answers move.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Difference {
    /// The largest difference of one element; infinite where two answers are of different kinds.
    pub absolute: f64,
    /// The largest element, which says what the difference means.
    pub magnitude: f64,
}

/// How far answers move when rows share a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Differences {
    /// With rows of the same length.
    pub stacked: Difference,
    /// With longer rows, so that the shorter ones are padded; `None` where this model is never padded.
    pub padded: Option<Difference>,
}

/// Runs made-up rows alone and in a batch of three, and compares every output.
///
/// # Errors
/// A [`Failure`] of any of the runs: made-up input need not suit the model.
pub fn differences(model: &Arc<Model>, backend: Box<dyn Backend>) -> Result<Differences, Failure> {
    let mut engine = Engine::new(model.clone(), backend);
    let has_length = model.spec.inputs.iter().any(|input| input.dims.contains(&Dim::Length));
    let longest = if has_length { model.spec.max_length.unwrap_or(12).clamp(1, 12) } else { 1 };
    let stacked = difference(&mut engine, [longest; 3])?;
    let padded = model.spec.pads.then(|| difference(&mut engine, [longest.div_ceil(3), longest.div_ceil(2), longest]));
    Ok(Differences { stacked, padded: padded.transpose()? })
}

fn difference(engine: &mut Engine, lengths: [u32; 3]) -> Result<Difference, Failure> {
    let rows = || -> Result<Vec<(Payload, u32)>, Failure> {
        let row = |(seed, len)| Ok((synthetic::payload(&engine.model, Cell { rows: 1, len }, seed)?, len));
        (0..).zip(lengths).map(row).collect()
    };
    let (together, alone) = (rows()?, rows()?);
    let longest = lengths.into_iter().max().unwrap_or(1);
    let want = || synthetic::everything(&engine.model);
    let (batch_want, row_wants): (Want, Vec<Want>) = (want(), alone.iter().map(|_| want()).collect());
    let items = together.into_iter().map(|(payload, _)| payload).collect();
    let shared = engine.run(&synthetic::batch(&engine.model, longest, items, batch_want)).result?;
    let mut worst = Difference::default();
    for ((answer, (payload, len)), want) in shared.iter().zip(alone).zip(row_wants) {
        let own = engine.run(&synthetic::batch(&engine.model, len, vec![payload], want)).result?;
        for own in &own {
            worst = worst.max(compare(answer, own));
        }
    }
    Ok(worst)
}

impl Difference {
    fn max(self, other: Self) -> Self {
        Self { absolute: self.absolute.max(other.absolute), magnitude: self.magnitude.max(other.magnitude) }
    }
}

fn compare(shared: &Answer, own: &Answer) -> Difference {
    let apart = Difference { absolute: f64::INFINITY, magnitude: 0.0 };
    let (Answer::Outputs(shared), Answer::Outputs(own)) = (shared, own) else { return apart };
    let mut worst = Difference::default();
    for (a, b) in shared.iter().zip(own) {
        worst = worst.max(match (numbers(a), numbers(b)) {
            _ if a.shape != b.shape => apart,
            (Some(a), Some(b)) => elements(&a, &b),
            _ if a == b => Difference::default(),
            _ => apart,
        });
    }
    worst
}

fn elements(a: &[f64], b: &[f64]) -> Difference {
    let mut worst = Difference::default();
    for (a, b) in a.iter().zip(b).filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())) {
        let absolute = (a - b).abs();
        worst.absolute = worst.absolute.max(if absolute.is_nan() { f64::INFINITY } else { absolute });
    }
    worst.magnitude = b.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::fixtures::{model, text_spec};
    use crate::exec::{Fake, Input};
    use crate::request::Tensor;

    /// Adds to every element a little of how full the batch is.
    struct Leaky(Fake);

    impl Backend for Leaky {
        fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure> {
            let mut outputs = self.0.run(inputs, wanted)?;
            for tensor in &mut outputs {
                let rows = tensor.shape[0] as f64;
                let moved = numbers(tensor).unwrap().into_iter().map(|v| (v + rows / 4.0) as f32);
                tensor.data = moved.flat_map(f32::to_le_bytes).collect();
            }
            Ok(outputs)
        }
    }

    #[test]
    fn rows_that_keep_to_themselves_do_not_differ() {
        let m = model(text_spec());
        let found = differences(&m, Box::new(Fake::new(m.spec.clone(), |_| Ok(())))).unwrap();
        assert_eq!((found.stacked.absolute, found.padded.map(|d| d.absolute)), (0.0, Some(0.0)));
        assert!(found.stacked.magnitude > 0.0);
    }

    #[test]
    fn rows_that_see_each_other_differ() {
        let m = model(text_spec());
        let found = differences(&m, Box::new(Leaky(Fake::new(m.spec.clone(), |_| Ok(()))))).unwrap();
        assert_eq!(found.stacked.absolute, 0.5);
    }
}
