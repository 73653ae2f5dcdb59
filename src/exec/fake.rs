//! A backend without a model: its answers follow from its inputs, its delays and failures from a script.
//!
//! Decides nothing. For tests of what stands above a runtime.

use super::backend::{Backend, Input};
use super::block::volume;
use super::{Failure, pad};
use crate::model::{Datatype, Dim, ModelSpec};
use crate::request::{Tensor, join_elements};

/// What a script sees of a batch before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRun {
    /// Rows in the batch (the size of the first input's first dimension).
    pub rows: usize,
    /// Padded length (the size of the first input's second dimension, 1 where it has none).
    pub len: usize,
    /// The first element of each row of the first input, where that is an integer.
    pub heads: Vec<i64>,
}

/// The script of a [`Fake`]: blocks for as long as a run shall take, then says how it ends.
pub type Script = Box<dyn FnMut(&FakeRun) -> Result<(), Failure> + Send>;

/// A deterministic backend.
///
/// An output of the same datatype and dimensions as the input of the same index repeats that input.
/// Any other output is filled with the first input's value at the element's row and position (its first
/// position where the output has no length), whatever the inner dimensions: a text model's token vector
/// is its token id, over and over.
pub struct Fake {
    spec: ModelSpec,
    script: Script,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Fake {
    /// Builds a backend for a model of this shape whose runs end as `script` says.
    pub fn new(spec: ModelSpec, script: impl FnMut(&FakeRun) -> Result<(), Failure> + Send + 'static) -> Self {
        Self { spec, script: Box::new(script) }
    }

    fn output(&self, index: usize, inputs: &[Input], run: &FakeRun) -> Result<Tensor, Failure> {
        let spec = self.spec.outputs.get(index).ok_or_else(|| Failure::Failed(format!("no output {index}")))?;
        if let (Some(input), Some(from)) = (inputs.get(index), self.spec.inputs.get(index))
            && from.dims == spec.dims
            && from.datatype == spec.datatype
        {
            let data = match input.datatype().size() {
                Some(_) => input.data().to_vec().into(),
                None => join_elements(input.strings())?,
            };
            return Ok(Tensor { datatype: spec.datatype, shape: input.shape().to_vec(), data });
        }
        let size = |dim: &Dim| match dim {
            Dim::Batch => run.rows,
            Dim::Length => run.len,
            Dim::Fixed(n) => *n,
            Dim::Free(_) => 1,
        };
        let shape: Vec<usize> = spec.dims.iter().map(size).collect();
        let positions = if spec.dims.get(1) == Some(&Dim::Length) { run.len } else { 1 };
        let inner = volume(&shape).unwrap_or(0) / (run.rows * positions).max(1);
        let values = integers(&inputs[0]);
        let mut data = Vec::new();
        for (row, position) in (0..run.rows).flat_map(|r| (0..positions).map(move |p| (r, p))) {
            let value = values.get(row * run.len + position).copied().unwrap_or(0);
            let start = data.len();
            data.resize(start + inner * spec.datatype.size().unwrap_or(0), 0);
            pad::fill(&mut data[start..], pad::pattern(spec.datatype, value as f64));
        }
        Ok(Tensor { datatype: spec.datatype, shape, data: data.into() })
    }
}

impl Backend for Fake {
    fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure> {
        let first = inputs.first().ok_or_else(|| Failure::Failed("no inputs".into()))?;
        let rows = first.shape().first().copied().unwrap_or(1);
        let len = first.shape().get(1).copied().unwrap_or(1);
        let values = integers(first);
        let heads = (0..rows).filter_map(|row| values.get(row * values.len() / rows.max(1)).copied()).collect();
        let run = FakeRun { rows, len, heads };
        (self.script)(&run)?;
        wanted.iter().map(|index| self.output(*index, inputs, &run)).collect()
    }
}

/// An input's elements, where they are 32- or 64-bit integers; else nothing.
fn integers(input: &Input) -> Vec<i64> {
    match input.datatype() {
        Datatype::Int64 => bytemuck::cast_slice(input.data()).to_vec(),
        Datatype::Int32 => bytemuck::cast_slice::<u8, i32>(input.data()).iter().map(|v| i64::from(*v)).collect(),
        _ => Vec::new(),
    }
}
