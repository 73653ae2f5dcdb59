//! A tensor's elements as numbers, whatever their datatype.
//!
//! Decides nothing. Rounds only where a wider type does not fit.

use super::Failure;
use crate::model::Datatype;
use crate::request::{self, Tensor};
use std::borrow::Cow;

/// `count` elements from `at` as single-precision floats, borrowed where they already are.
pub(super) fn floats(tensor: &Tensor, at: usize, count: usize) -> Result<Cow<'_, [f32]>, Failure> {
    let size = tensor.datatype.size().unwrap_or(0);
    request::floats(tensor.datatype, &tensor.data[at * size..(at + count) * size])
        .ok_or_else(|| Failure::Failed(format!("an embedding cannot be {}", tensor.datatype.name())))
}

/// All elements of a tensor as numbers; `None` for `BYTES`.
pub(super) fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    let bytes = &*tensor.data;
    fn each<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|b| element(*b)).collect()
    }
    Some(match tensor.datatype {
        Datatype::Bool | Datatype::Uint8 => each(bytes, |b| u8::from_le_bytes(b).into()),
        Datatype::Uint16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        Datatype::Uint32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        Datatype::Uint64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Datatype::Int8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        Datatype::Int16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        Datatype::Int32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Datatype::Int64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 => {
            request::floats(tensor.datatype, bytes)?.iter().copied().map(f64::from).collect()
        }
        Datatype::Fp64 => each(bytes, f64::from_le_bytes),
        Datatype::Bytes => return None,
    })
}
