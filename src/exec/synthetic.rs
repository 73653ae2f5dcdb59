//! Made-up batches, for warm-up and diagnosis.
//!
//! Decides what stands in for real input. Knows a model's description only.

use super::warmup::Cell;
use super::{Failure, Job, JobItem, block};
use crate::model::{Datatype, Dim, Filling, MadeUp, Model, ModelSpec, Task, TensorSpec, TextInput};
use crate::request::{InferRequest, Payload, Tensor, TensorItem, Tokens, Want, push_element};
use crate::types::{BatchId, Priority, ShapeClass};
use half::{bf16, f16};
use std::sync::Arc;

/// A batch of `cell`'s shape that asks for what callers ask for.
///
/// # Errors
/// [`Failure::Failed`] when the shape is too large to exist.
pub(super) fn warm_up(model: &Arc<Model>, cell: Cell) -> Result<Job, Failure> {
    let items = match model.spec.task {
        Task::Tensors => vec![payload(model, cell, 0)?],
        _ => (0..cell.rows).map(|row| payload(model, Cell { rows: 1, ..cell }, row)).collect::<Result<_, _>>()?,
    };
    Ok(batch(model, cell.len, items, usual(model)))
}

/// What callers ask for.
pub(super) fn usual(model: &Model) -> Want {
    match &model.spec.task {
        Task::Embedding { .. } => Want::Embedding,
        Task::Classifier { output, .. } => Want::Outputs(vec![*output]),
        Task::Tensors => everything(model),
    }
}

/// Whether what is made up for a model is sure to be input it can run on: it ran, or where nobody tried, its sizes are
/// known and nothing depends on the words of a string.
#[must_use]
pub fn is_sound(spec: &ModelSpec) -> bool {
    let known = |input: &TensorSpec| {
        let open = |dim: &Dim| matches!(dim, Dim::Free(_));
        input.datatype != Datatype::Bytes && (input.sample.is_some() || !input.dims.iter().any(open))
    };
    match &spec.made_up {
        Some(made_up) => matches!(made_up, MadeUp::Runs(_)),
        None => spec.inputs.iter().all(known),
    }
}

/// What numbers are made up for a model: such as it is known to run on.
fn usual_filling(spec: &ModelSpec) -> Filling {
    match spec.made_up {
        Some(MadeUp::Runs(filling)) => filling,
        Some(MadeUp::Fails(_)) | None => Filling::Flags,
    }
}

/// All outputs, in the model's order.
pub(super) fn everything(model: &Model) -> Want {
    Want::Outputs((0..model.spec.outputs.len()).collect())
}

/// A batch of one request.
pub(super) fn batch(model: &Arc<Model>, padded_len: u32, items: Vec<Payload>, want: Want) -> Job {
    let count = items.len();
    let request = Arc::new(InferRequest {
        id: "synthetic".into(),
        model: model.clone(),
        tenant: "".into(),
        priority: Priority::default(),
        deadline: None,
        items,
        want,
    });
    let items = (0..count).map(|index| JobItem { request: request.clone(), index }).collect();
    Job { batch: BatchId::default(), padded_len, reuse: false, items }
}

/// An item of `cell`'s shape (one row of text for a text model), different for each `seed`.
///
/// # Errors
/// [`Failure::Failed`] when the shape is too large to exist.
pub(super) fn payload(model: &Model, cell: Cell, seed: u32) -> Result<Payload, Failure> {
    filled(model, cell, seed, usual_filling(&model.spec))
}

/// The same of numbers of a kind.
///
/// # Errors
/// As [`payload`].
pub(super) fn filled(model: &Model, cell: Cell, seed: u32, filling: Filling) -> Result<Payload, Failure> {
    if model.spec.task != Task::Tensors {
        let mut numbers = Numbers(seed);
        // Ids that every vocabulary has; zero is often the padding's.
        let vocabulary = model.tokenizer.as_ref().map_or(100, |t| t.vocab_size().max(2));
        let ids = (0..cell.len).map(|_| 1 + numbers.next() % (vocabulary - 1)).collect();
        return Ok(Payload::Tokens(Tokens { ids, type_ids: Vec::new() }));
    }
    tensors(&model.spec, cell, seed, filling)
}

/// Tensors of `cell`'s shape.
///
/// # Errors
/// As [`payload`].
pub(super) fn tensors(spec: &ModelSpec, cell: Cell, seed: u32, filling: Filling) -> Result<Payload, Failure> {
    let mut numbers = Numbers(seed);
    let each = |input| tensor(input, cell, filling, &mut numbers);
    let tensors = spec.inputs.iter().map(each).collect::<Result<_, _>>()?;
    Ok(Payload::Tensors(TensorItem {
        rows: cell.rows,
        len: cell.len,
        class: ShapeClass::default(),
        irregular: None,
        tensors,
    }))
}

/// A reproducible sequence (a linear congruential generator, its better bits).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    /// Between zero and one.
    fn fraction(&mut self) -> f32 {
        self.next() as f32 / (1 << 24) as f32
    }
}

fn tensor(input: &TensorSpec, cell: Cell, filling: Filling, numbers: &mut Numbers) -> Result<Tensor, Failure> {
    let sample = |axis: usize| input.sample.as_ref().and_then(|sample| sample.get(axis)).copied();
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Batch => cell.rows as usize,
        Dim::Length => cell.len as usize,
        Dim::Fixed(n) => *n,
        Dim::Free(_) => sample(axis).unwrap_or(1),
    };
    let shape: Vec<usize> = match &input.sample {
        Some(sample) if input.open => sample.clone(),
        _ => input.dims.iter().enumerate().map(size).collect(),
    };
    let count = block::volume(&shape).filter(|n| n.checked_mul(8).is_some_and(|bytes| isize::try_from(bytes).is_ok()));
    let count = count.ok_or_else(|| Failure::Failed(format!("input `{}` is too large at {shape:?}", input.name)))?;
    let mut data = Vec::new();
    for _ in 0..count {
        element(input, filling, numbers, &mut data)?;
    }
    Ok(Tensor { datatype: input.datatype, shape, data: data.into() })
}

/// Appends one made-up element.
fn element(input: &TensorSpec, filling: Filling, numbers: &mut Numbers, data: &mut Vec<u8>) -> Result<(), Failure> {
    let real = match filling {
        Filling::Bytes | Filling::Flags => numbers.fraction(),
        Filling::Ones => 1.0,
        Filling::Zeros => 0.0,
        Filling::Large => (numbers.fraction() - 0.5) * 2000.0,
        Filling::Signed => (numbers.fraction() - 0.5) * 4.0,
    };
    match input.datatype {
        Datatype::Fp16 => data.extend(f16::from_f32(real).to_le_bytes()),
        Datatype::Bf16 => data.extend(bf16::from_f32(real).to_le_bytes()),
        Datatype::Fp32 => data.extend(real.to_le_bytes()),
        Datatype::Fp64 => data.extend(f64::from(real).to_le_bytes()),
        // Words that are numbers, for models that read numbers.
        Datatype::Bytes => push_element(data, (numbers.next() % 100).to_string().as_bytes())?,
        integer => {
            let whole = whole(input, filling, numbers).to_le_bytes();
            data.extend(whole.into_iter().take(integer.size().unwrap_or(0)));
        }
    }
    Ok(())
}

/// A whole number that the input's datatype holds; a mask leaves nothing out.
fn whole(input: &TensorSpec, filling: Filling, numbers: &mut Numbers) -> u64 {
    let most = match (input.datatype, input.bound) {
        (Datatype::Bool, _) => 1,
        (Datatype::Int8, None) => 127,
        (Datatype::Int8, Some(bound)) => bound.clamp(1, 128) - 1,
        (_, Some(bound)) => bound.clamp(1, 1 << 31) - 1,
        (_, None) => 255,
    }
    .cast_unsigned();
    let drawn = u64::from(numbers.next());
    if input.text_input() == Some(TextInput::Mask) {
        return 1;
    }
    match filling {
        Filling::Bytes | Filling::Signed => drawn % (most + 1),
        Filling::Flags => drawn & 1,
        Filling::Ones => 1.min(most),
        Filling::Zeros => 0,
        Filling::Large => most,
    }
}
