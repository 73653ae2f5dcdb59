//! The one place where given tensors meet the model's own description of its inputs.

use crate::error::Error;
use crate::model::{Dim, ModelSpec, TensorSpec};
use crate::request::{Tensor, TensorItem};
use crate::types::ShapeClass;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Checks `tensors`, one for each input in the model's order, and measures the item they make.
///
/// # Errors
/// `invalid_request` naming the input.
pub(super) fn accept(spec: &ModelSpec, tensors: Vec<Tensor>) -> Result<TensorItem, Error> {
    let mut sizes = Sizes { rows: None, len: None, class: DefaultHasher::new() };
    for (input, tensor) in spec.inputs.iter().zip(&tensors) {
        sizes.check(input, tensor).map_err(|what| Error::invalid(format!("input {:?}: {what}", input.name)))?;
    }
    let (rows, len) = (sizes.rows.unwrap_or(1), sizes.len.unwrap_or(1));
    Ok(TensorItem { rows, len, class: ShapeClass(sizes.class.finish()), tensors })
}

struct Sizes {
    rows: Option<u32>,
    len: Option<u32>,
    class: DefaultHasher,
}

impl Sizes {
    fn check(&mut self, input: &TensorSpec, tensor: &Tensor) -> Result<(), String> {
        let (wanted, given) = (input.datatype.name(), tensor.datatype.name());
        if wanted != given {
            return Err(format!("datatype is {given}, the model takes {wanted}"));
        }
        if input.dims.len() != tensor.shape.len() {
            let (given, wanted) = (tensor.shape.len(), input.dims.len());
            return Err(format!("shape has {given} dimensions, the model takes {wanted}"));
        }
        for (at, (dim, &size)) in input.dims.iter().zip(&tensor.shape).enumerate() {
            match dim {
                Dim::Fixed(fixed) if *fixed != size => {
                    return Err(format!("dimension {at} is {size}, the model takes {fixed}"));
                }
                Dim::Fixed(_) => {}
                Dim::Batch => agree(&mut self.rows, at, size)?,
                Dim::Length => agree(&mut self.len, at, size)?,
                Dim::Free(_) => (at, size).hash(&mut self.class),
            }
        }
        Ok(())
    }
}

fn agree(seen: &mut Option<u32>, at: usize, size: usize) -> Result<(), String> {
    let size = u32::try_from(size).ok().filter(|&n| n > 0).ok_or_else(|| format!("dimension {at} cannot be {size}"))?;
    match seen.replace(size) {
        Some(before) if before != size => Err(format!("dimension {at} is {size}, an earlier input has {before}")),
        _ => Ok(()),
    }
}
