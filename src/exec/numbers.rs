//! A tensor's elements as numbers, whatever their datatype.
//!
//! Decides nothing. Rounds only where a wider type does not fit.

use super::Failure;
use crate::model::Datatype;
use crate::request::Tensor;
use half::{bf16, f16};
use std::borrow::Cow;

/// `count` elements from `at` as single-precision floats, borrowed where they already are.
pub(super) fn floats(tensor: &Tensor, at: usize, count: usize) -> Result<Cow<'_, [f32]>, Failure> {
    let size = tensor.datatype.size().unwrap_or(0);
    let bytes = &tensor.data[at * size..(at + count) * size];
    if tensor.datatype == Datatype::Fp32
        && let Ok(floats) = bytemuck::try_cast_slice(bytes)
    {
        return Ok(Cow::Borrowed(floats));
    }
    match tensor.datatype {
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => {
            Ok(convert(tensor.datatype, bytes).unwrap_or_default().iter().map(|v| *v as f32).collect())
        }
        other => Err(Failure::Failed(format!("an embedding cannot be {}", other.name()))),
    }
}

/// All elements of a tensor as numbers; `None` for `BYTES`.
pub(super) fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    convert(tensor.datatype, &tensor.data)
}

fn convert(datatype: Datatype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|b| element(*b)).collect()
    }
    Some(match datatype {
        Datatype::Bool | Datatype::Uint8 => each(bytes, |b| u8::from_le_bytes(b).into()),
        Datatype::Uint16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        Datatype::Uint32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        Datatype::Uint64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Datatype::Int8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        Datatype::Int16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        Datatype::Int32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Datatype::Int64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Datatype::Fp16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Datatype::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        Datatype::Fp32 => each(bytes, |b| f32::from_le_bytes(b).into()),
        Datatype::Fp64 => each(bytes, f64::from_le_bytes),
        Datatype::Bytes => return None,
    })
}
