//! Splitting: each item's own rows, at its own length, out of the batch's outputs.
//!
//! Decides which outputs a batch needs and what of them belongs to whom. Trusts no shape the runtime
//! returns. Does not know how the batch was run.

use super::assemble::Extent;
use super::block::{copy_corner, volume};
use super::numbers::floats;
use super::{Failure, Job};
use crate::model::{Dim, ModelSpec, Task, TensorSpec};
use crate::request::{Answer, Tensor, Want, join_elements, split_elements};
use crate::text::{self, Pooling};
use bytes::Bytes;

/// The outputs a batch needs: the union over its items, ascending.
pub(super) fn wanted(spec: &ModelSpec, job: &Job) -> Result<Vec<usize>, Failure> {
    let mut wanted = Vec::new();
    for item in &job.items {
        match (&item.request.want, &spec.task) {
            (Want::Embedding, Task::Embedding { output, .. }) => wanted.push(*output),
            (Want::Embedding, _) => return Err(Failure::Failed("this model makes no embeddings".into())),
            (Want::Outputs(indices), _) => wanted.extend_from_slice(indices),
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    match wanted.last() {
        Some(last) if *last >= spec.outputs.len() => Err(Failure::Failed(format!("this model has no output {last}"))),
        Some(_) => Ok(wanted),
        // The runtime refuses to compute nothing.
        None => Ok(vec![0]),
    }
}

/// Splits the outputs with indices `wanted` into one answer an item, in the job's order.
///
/// # Errors
/// [`Failure::Failed`] if an output has not the rows or the length that went in.
pub(super) fn split(spec: &ModelSpec, job: &Job, wanted: &[usize], outputs: &[Tensor]) -> Result<Vec<Answer>, Failure> {
    let extents: Vec<Extent> = job.items.iter().map(super::JobItem::extent).collect::<Result<_, _>>()?;
    let rows = extents.iter().map(|e| e.rows).sum();
    let batch = Batch {
        spec,
        wanted,
        outputs,
        rows,
        len: job.row_len(spec)?,
        single: extents.len() == 1,
        irregular: job.is_irregular(),
    };
    batch.check()?;
    let mut first = 0;
    let mut answers = Vec::with_capacity(extents.len());
    for (item, extent) in job.items.iter().zip(&extents) {
        answers.push(match &item.request.want {
            Want::Embedding => Answer::Embedding(batch.embedding(first, *extent)?),
            Want::Outputs(indices) => {
                Answer::Outputs(indices.iter().map(|i| batch.own(*i, first, *extent)).collect::<Result<_, _>>()?)
            }
        });
        first += extent.rows;
    }
    Ok(answers)
}

/// What came out of one item, where it has not as many rows as went in: of a model that is stacked, nobody could tell
/// rows apart. One that is not stacked may answer what it likes.
///
/// # Errors
/// [`Failure::Failed`] if a request has not the item that the batch names.
pub(super) fn uneven(
    spec: &ModelSpec,
    job: &Job,
    wanted: &[usize],
    outputs: &[Tensor],
) -> Result<Option<String>, Failure> {
    let [only] = &*job.items else { return Ok(None) };
    if !spec.batchable || job.is_irregular() {
        return Ok(None);
    }
    let rows = only.extent()?.rows;
    let own = wanted.iter().filter_map(|at| spec.outputs.get(*at)).zip(outputs);
    let mut own = own.filter(|(output, tensor)| output.stacks && tensor.shape.first() != Some(&rows));
    Ok(own.next().map(|(output, tensor)| rows_differ(&output.name, tensor, rows)))
}

fn rows_differ(name: &str, tensor: &Tensor, rows: usize) -> String {
    format!("output `{name}` is {:?} for {rows} rows", tensor.shape)
}

/// A batch's outputs, and what they must look like.
struct Batch<'a> {
    spec: &'a ModelSpec,
    wanted: &'a [usize],
    outputs: &'a [Tensor],
    rows: usize,
    len: usize,
    /// One item alone: whatever came back is its own.
    single: bool,
    /// What went in is not rows of one length, and what came back need not be.
    irregular: bool,
}

impl Batch<'_> {
    /// Checks rows and sizes, so that what follows may index.
    fn check(&self) -> Result<(), Failure> {
        if self.outputs.len() != self.wanted.len() {
            return Err(Failure::Failed(format!("{} outputs came back for {}", self.outputs.len(), self.wanted.len())));
        }
        for (tensor, index) in self.outputs.iter().zip(self.wanted) {
            let name = &self.spec.outputs[*index].name;
            if !self.single && tensor.shape.first() != Some(&self.rows) {
                return Err(Failure::Inseparable(rows_differ(name, tensor, self.rows)));
            }
            let bytes = tensor.datatype.size().map(|size| volume(&tensor.shape).and_then(|n| n.checked_mul(size)));
            if bytes.is_some_and(|expected| expected != Some(tensor.data.len())) {
                return Err(Failure::Failed(format!("output `{name}` is shorter than its shape {:?}", tensor.shape)));
            }
        }
        Ok(())
    }

    fn output(&self, index: usize) -> Result<(&TensorSpec, &Tensor), Failure> {
        let position = self.wanted.binary_search(&index);
        let tensor = position.ok().and_then(|p| self.outputs.get(p));
        tensor
            .map(|t| (&self.spec.outputs[index], t))
            .ok_or_else(|| Failure::Failed(format!("output {index} is missing")))
    }

    /// One output's part for the item whose rows begin at `first`.
    fn own(&self, index: usize, first: usize, extent: Extent) -> Result<Tensor, Failure> {
        let (spec, tensor) = self.output(index)?;
        let shape = self.own_shape(spec, tensor, extent)?;
        if shape == tensor.shape {
            return Ok(tensor.clone());
        }
        let mut from_dims = tensor.shape.clone();
        if !self.single {
            from_dims[0] = extent.rows;
        }
        let at = first * volume(&tensor.shape[1..]).unwrap_or(0);
        let end = at + volume(&from_dims).unwrap_or(0);
        let data = match tensor.datatype.size() {
            // Whole rows: nothing to trim.
            Some(size) if from_dims == shape => Bytes::copy_from_slice(&tensor.data[at * size..end * size]),
            Some(size) => {
                let mut own = vec![0; volume(&shape).unwrap_or(0) * size];
                let (from_dims, to_dims) = ([&from_dims[..], &[size]].concat(), [&shape[..], &[size]].concat());
                copy_corner(&tensor.data[at * size..end * size], &from_dims, &mut own, &to_dims);
                own.into()
            }
            None => {
                let all = split_elements(&tensor.data)?;
                let part = all.get(at..end).filter(|_| Some(all.len()) == volume(&tensor.shape));
                let part = part.ok_or_else(|| Failure::Failed(format!("output `{}` lacks elements", spec.name)))?;
                let mut own = vec![Bytes::new(); volume(&shape).unwrap_or(0)];
                copy_corner(part, &from_dims, &mut own, &shape);
                join_elements(&own)?
            }
        };
        Ok(Tensor { datatype: tensor.datatype, shape, data })
    }

    /// The shape of an item's part: its own rows, its own length on every length dimension.
    fn own_shape(&self, spec: &TensorSpec, tensor: &Tensor, extent: Extent) -> Result<Vec<usize>, Failure> {
        let mut shape = tensor.shape.clone();
        if !self.single {
            shape[0] = extent.rows;
        }
        if !self.spec.pads || self.irregular || extent.len == self.len {
            return Ok(shape);
        }
        for (axis, _) in spec.dims.iter().enumerate().filter(|(_, dim)| **dim == Dim::Length) {
            let size = shape.get_mut(axis).filter(|size| **size == self.len);
            *size.ok_or_else(|| {
                Failure::Failed(format!(
                    "output `{}` is {:?} for a padded length of {}",
                    spec.name, tensor.shape, self.len
                ))
            })? = extent.len;
        }
        Ok(shape)
    }

    /// The pooled vector of the one row at `first`, straight from the output.
    fn embedding(&self, first: usize, extent: Extent) -> Result<Vec<f32>, Failure> {
        let Task::Embedding { output, pooling, normalize: unit, .. } = &self.spec.task else {
            return Err(Failure::Failed("this model makes no embeddings".into()));
        };
        let (spec, tensor) = self.output(*output)?;
        let expected = match pooling {
            Pooling::None => tensor.shape.len() == 2,
            _ => tensor.shape.len() == 3 && tensor.shape[1] == self.len && extent.len > 0,
        };
        if !expected || tensor.shape[0] != self.rows || extent.rows != 1 {
            let (name, shape) = (&spec.name, &tensor.shape);
            return Err(Failure::Failed(format!(
                "output `{name}` is {shape:?}, which does not pool to one vector a row of {}",
                self.len
            )));
        }
        let hidden = tensor.shape[tensor.shape.len() - 1];
        let row = volume(&tensor.shape[1..]).unwrap_or(0);
        let own = if *pooling == Pooling::None { hidden } else { extent.len * hidden };
        let mut vector = text::pool(*pooling, &floats(tensor, first * row, own)?, hidden, None);
        if *unit {
            text::normalize(&mut vector);
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests;
