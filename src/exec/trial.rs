//! Whether sharing a batch changes answers: made-up rows run alone and together.
//!
//! Decides what is run and how far answers may move. Knows that some models fail this (one quantisation scale for a whole
//! tensor, padding that no mask hides); what follows from that is `settle`'s.

use super::backend::Backend;
use super::engine::Engine;
use super::numbers::numbers;
use super::warmup::Cell;
use super::{Failure, synthetic};
use crate::clock;
use crate::model::{Datatype, Dim, Filling, Model};
use crate::request::{Answer, Payload, Tensor};
use crate::types::Time;
use std::sync::Arc;
use std::time::Duration;

/// How long a trial goes on, once the least was tried.
const BUDGET: Duration = Duration::from_millis(1500);
/// What the rows of a trial are made of. The last three are extremes.
const FILLINGS: [Filling; 7] =
    [Filling::Bytes, Filling::Signed, Filling::Bytes, Filling::Flags, Filling::Zeros, Filling::Ones, Filling::Large];
/// The first of the extremes.
const EXTREMES: usize = 4;
/// Rows that share a batch, by their places: two and three of them, in two orders, the extremes among others.
const BATCHES: [&[usize]; 10] =
    [&[0, 1], &[1, 0], &[2, 0, 1], &[1, 0, 2], &[6, 0], &[1, 4, 6], &[5, 6, 2], &[4, 5], &[3, 2, 5], &[2, 3]];

/// What a trial found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tried {
    /// With rows of equal length, for each output in the model's order.
    pub(super) stacked: Vec<Moved>,
    /// With rows of unequal length, so that shorter ones are padded; `None` where this model is never padded.
    pub(super) padded: Option<Vec<Moved>>,
}

/// How far the answers of one output moved.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moved {
    /// The largest difference of one element; infinite where shapes or kinds differ.
    pub(super) most: f64,
    /// Whether that is more than rounding.
    pub(super) differs: bool,
}

impl Moved {
    fn and(&mut self, other: Self) {
        self.most = self.most.max(other.most);
        self.differs |= other.differs;
    }
}

/// How much of a difference is rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    /// Whether the model computes in half precision.
    pub(super) half: bool,
    /// Whether its graph shows that rows stay apart: then extremes, which can make rounding large, prove less.
    pub(super) shown: bool,
}

/// Runs made-up rows alone and in batches, and compares every output.
///
/// # Errors
/// A [`Failure`] of a batch whose rows run alone, or where no two made-up rows do.
pub(super) fn trial(model: &Arc<Model>, backend: Box<dyn Backend>, tolerance: Tolerance) -> Result<Tried, Failure> {
    let mut trial = Trial { engine: Engine::new(model.clone(), backend), tolerance, start: clock::now() };
    let has_length = model.spec.inputs.iter().any(|input| input.dims.contains(&Dim::Length));
    let longest = if has_length { model.spec.max_length.unwrap_or(12).clamp(1, 12) } else { 1 };
    let stacked = trial.batches(|_| longest)?;
    let lengths = [longest.div_ceil(3), longest, longest.div_ceil(2)];
    let padded = model.spec.pads.then(|| trial.batches(|row| lengths[row % lengths.len()])).transpose()?;
    Ok(Tried { stacked, padded })
}

struct Trial {
    engine: Engine,
    tolerance: Tolerance,
    start: Time,
}

/// A made-up request that runs alone.
struct Row {
    payload: Payload,
    len: u32,
    alone: Vec<Tensor>,
    extreme: bool,
}

impl Trial {
    fn batches(&mut self, len: impl Fn(usize) -> u32) -> Result<Vec<Moved>, Failure> {
        let mut rows: Vec<Option<Row>> = Vec::new();
        let mut refused = None;
        for (at, filling) in FILLINGS.into_iter().enumerate() {
            // The least: two rows that are no extremes.
            if rows.iter().flatten().count() >= 2 && self.is_over() {
                break;
            }
            let row = self.alone(at, filling, len(at));
            rows.push(row.inspect_err(|failure| refused = Some(failure.clone())).ok());
        }
        let mut moved = vec![Moved::default(); self.engine.model.spec.outputs.len()];
        let mut compared = false;
        for batch in BATCHES {
            let members: Vec<&Row> = batch.iter().filter_map(|at| rows.get(*at)?.as_ref()).collect();
            if members.len() < 2 || (compared && self.is_over()) {
                continue;
            }
            self.together(&members, &mut moved)?;
            compared = true;
        }
        match (compared, refused) {
            (false, Some(failure)) => Err(failure),
            (false, None) => Err(Failure::Failed("no two made-up rows run".into())),
            (true, _) => Ok(moved),
        }
    }

    fn is_over(&self) -> bool {
        clock::now().since(self.start) > BUDGET
    }

    /// Runs a request alone: of two rows now and then, as callers send them.
    fn alone(&mut self, at: usize, filling: Filling, len: u32) -> Result<Row, Failure> {
        let rows = if at == 1 || at == 3 { 2 } else { 1 };
        let payload = self.payload(at, filling, Cell { rows, len })?;
        let alone = self.run(vec![payload.clone()], len)?.remove(0);
        Ok(Row { payload, len, alone, extreme: at >= EXTREMES })
    }

    fn payload(&self, at: usize, filling: Filling, cell: Cell) -> Result<Payload, Failure> {
        // Far apart, so that no two rows are alike.
        let seed = (at as u32 + 1).wrapping_mul(2_654_435_761);
        synthetic::filled(&self.engine.model, cell, seed, filling)
    }

    fn run(&mut self, items: Vec<Payload>, len: u32) -> Result<Vec<Vec<Tensor>>, Failure> {
        let want = synthetic::everything(&self.engine.model);
        let job = synthetic::batch(&self.engine.model, len, items, want);
        let answers = self.engine.run(&job).result?;
        let outputs = |answer| match answer {
            Answer::Outputs(outputs) => outputs,
            Answer::Embedding(_) => Vec::new(),
        };
        Ok(answers.into_iter().map(outputs).collect())
    }

    fn together(&mut self, rows: &[&Row], moved: &mut [Moved]) -> Result<(), Failure> {
        let longest = rows.iter().map(|row| row.len).max().unwrap_or(1);
        let extreme = rows.iter().any(|row| row.extreme);
        let shared = self.run(rows.iter().map(|row| row.payload.clone()).collect(), longest)?;
        for (row, shared) in rows.iter().zip(&shared) {
            for ((own, shared), moved) in row.alone.iter().zip(shared).zip(moved.iter_mut()) {
                moved.and(self.tolerance.compare(own, shared, extreme));
            }
        }
        Ok(())
    }
}

impl Tolerance {
    /// Of one output alone and in a batch.
    fn compare(self, own: &Tensor, shared: &Tensor, extreme: bool) -> Moved {
        let apart = Moved { most: f64::INFINITY, differs: true };
        if own.shape != shared.shape || own.datatype != shared.datatype {
            return apart;
        }
        let (Some(a), Some(b)) = (numbers(own), numbers(shared)) else {
            return if own == shared { Moved::default() } else { apart };
        };
        let reals = matches!(own.datatype, Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64);
        if !reals {
            let most = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            return Moved { most, differs: most > 0.0 };
        }
        let coarse = if self.half || matches!(own.datatype, Datatype::Fp16 | Datatype::Bf16) { 10.0 } else { 1.0 };
        let coarse = if extreme && self.shown { coarse * 100.0 } else { coarse };
        // Rounding follows the size of what was added up, of which the output's own largest element tells.
        let scale = a.iter().map(|n| n.abs()).filter(|n| n.is_finite()).fold(1.0, f64::max);
        let mut moved = Moved::default();
        for (a, b) in a.iter().zip(&b).filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())) {
            let by = (a - b).abs();
            let by = if by.is_nan() { f64::INFINITY } else { by };
            moved.and(Moved { most: by, differs: by > coarse * (1e-5 * scale + 1e-3 * a.abs()) });
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::fixtures::{identity_spec, message, model, text_spec};
    use crate::exec::{Fake, Input};

    /// Adds to every element a little of how full the batch is.
    struct Leaky(Fake, f64);

    impl Backend for Leaky {
        fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure> {
            let mut outputs = self.0.run(inputs, wanted)?;
            for tensor in &mut outputs {
                let rows = tensor.shape[0] as f64;
                let moved = numbers(tensor).unwrap().into_iter().map(|v| (v + rows * self.1) as f32);
                tensor.data = moved.flat_map(f32::to_le_bytes).collect();
            }
            Ok(outputs)
        }
    }

    const STRICT: Tolerance = Tolerance { half: false, shown: false };

    #[test]
    fn rows_that_keep_to_themselves_do_not_move() {
        let m = model(text_spec());
        let found = trial(&m, Box::new(Fake::new(m.spec.clone(), |_| Ok(()))), STRICT).unwrap();
        assert_eq!((found.stacked[0].differs, found.padded.map(|all| all[0].differs)), (false, Some(false)));
    }

    #[test]
    fn rows_that_see_each_other_move() {
        let m = model(text_spec());
        let fake = || Fake::new(m.spec.clone(), |_| Ok(()));
        let found = trial(&m, Box::new(Leaky(fake(), 0.25)), STRICT).unwrap();
        assert!(found.stacked[0].differs && found.stacked[0].most >= 0.25, "{found:?}");
        let found = trial(&m, Box::new(Leaky(fake(), 1e-9)), STRICT).unwrap();
        assert!(!found.stacked[0].differs, "that is rounding: {found:?}");
    }

    #[test]
    fn a_batch_that_fails_is_told_and_rows_that_fail_alone_are_passed_over() {
        let m = model(identity_spec(Datatype::Fp32, &[Dim::Fixed(2)]));
        let together = Fake::new(m.spec.clone(), |run| match run.rows {
            1 | 2 => Ok(()),
            _ => Err(Failure::Failed("too many".into())),
        });
        assert!(message(trial(&m, Box::new(together), STRICT).unwrap_err()).contains("too many"));
        let nothing = Fake::new(m.spec.clone(), |_| Err(Failure::Failed("never".into())));
        assert!(message(trial(&m, Box::new(nothing), STRICT).unwrap_err()).contains("never"));
    }

    #[test]
    fn each_output_has_its_own_tolerance() {
        let tensor = |values: &[f32]| Tensor {
            datatype: Datatype::Fp32,
            shape: vec![values.len()],
            data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let differs = |a: &[f32], b: &[f32]| STRICT.compare(&tensor(a), &tensor(b), false).differs;
        assert!(differs(&[1.0], &[1.19]) && !differs(&[1.0], &[1.0005]));
        assert!(!differs(&[100.0, 0.0], &[100.0, 0.0005]) && differs(&[100.0, 0.0], &[100.0, 0.01]));
        assert!(differs(&[1.0], &[f32::NAN]) && !differs(&[f32::NAN], &[f32::NAN]));
        assert!(differs(&[1.0], &[1.0, 1.0]));
    }
}
