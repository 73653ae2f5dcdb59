//! Batch assembly: the items' rows, padded to one length, in the model's input tensors.
//!
//! Decides where each row lies and what fills the rest, and that a tensor alone in its batch stays where it is. Does
//! not know which rows belong together and does not run anything.

use super::backend::Input;
use super::block::{copy_corner, volume};
use super::pad::{fill, pattern};
use super::{Failure, Job, JobItem};
use crate::model::{Datatype, Dim, ModelSpec, TensorSpec, TextInput};
use crate::request::{Payload, Tensor, TensorItem, Tokens, split_elements};
use bytes::Bytes;
use std::borrow::Cow;

/// The rows and the length of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: usize,
    pub(super) len: usize,
}

impl JobItem {
    /// The payload to run.
    pub(super) fn payload(&self) -> Result<&Payload, Failure> {
        self.request
            .items
            .get(self.index)
            .ok_or_else(|| Failure::Failed(format!("the request has no item {}", self.index)))
    }

    /// Its rows and length.
    pub(super) fn extent(&self) -> Result<Extent, Failure> {
        Ok(match self.payload()? {
            Payload::Tokens(t) => Extent { rows: 1, len: t.ids.len() },
            Payload::Tensors(t) => Extent { rows: t.rows as usize, len: t.len as usize },
        })
    }
}

impl Job {
    /// Whether it is one request whose tensors are not rows of one length.
    pub(super) fn is_irregular(&self) -> bool {
        matches!(&*self.items, [only] if only.payload().is_ok_and(|payload| payload.irregular().is_some()))
    }

    /// The length of the batch's rows: the padded one, or where nothing is padded the rows' own.
    pub(super) fn row_len(&self, spec: &ModelSpec) -> Result<usize, Failure> {
        match self.items.first() {
            Some(item) if !spec.pads => Ok(item.extent()?.len),
            _ => Ok(self.padded_len as usize),
        }
    }
}

/// Builds input tensors in buffers that it keeps.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    inputs: Vec<Input>,
}

impl Assembler {
    /// Builds the model's inputs for a batch, valid until the next call.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the items do not fit the model or each other.
    pub(super) fn assemble(&mut self, spec: &ModelSpec, job: &Job) -> Result<&[Input], Failure> {
        if job.items.is_empty() || (!spec.batchable && job.items.len() != 1) {
            return Err(Failure::Failed(format!("a batch of {} items for this model", job.items.len())));
        }
        let len = job.row_len(spec)?;
        let mut rows = 0;
        for item in &job.items {
            let extent = item.extent()?;
            if spec.pads && extent.len > len {
                return Err(Failure::Failed(format!("a row of length {} in a batch of length {len}", extent.len)));
            }
            rows += extent.rows;
        }
        self.inputs.resize_with(spec.inputs.len(), || Input::new(Datatype::Uint8));
        for (index, (input, tensor)) in self.inputs.iter_mut().zip(&spec.inputs).enumerate() {
            Filler { spec, tensor, index, job, rows, len }.fill(input)?;
        }
        Ok(&self.inputs)
    }

    /// The inputs built last, to keep.
    pub(super) fn into_inputs(self) -> Vec<Input> {
        self.inputs
    }

    /// Lets go of what the last batch's requests sent; the buffers stay.
    pub(super) fn release(&mut self) {
        self.inputs.iter_mut().for_each(Input::release);
    }
}

/// Fills one input.
struct Filler<'a> {
    spec: &'a ModelSpec,
    tensor: &'a TensorSpec,
    index: usize,
    job: &'a Job,
    rows: usize,
    len: usize,
}

impl Filler<'_> {
    fn fill(&self, input: &mut Input) -> Result<(), Failure> {
        input.datatype = self.tensor.datatype;
        input.shape = self.target_shape()?;
        if let Some(data) = self.in_place(&input.shape)? {
            input.show(data);
            return Ok(());
        }
        let elements = volume(&input.shape).filter(|n| n.checked_mul(8).is_some());
        input.resize(elements.ok_or_else(|| self.fault("the batch is too large"))?);
        let row = volume(&input.shape[1.min(input.shape.len())..]).unwrap_or(0);
        let stacks = self.tensor.dims.first() == Some(&Dim::Batch);
        if !stacks && self.job.items.len() > 1 {
            return Err(self.fault("has no batch dimension"));
        }
        let mut at = 0;
        for item in &self.job.items {
            let mut dims = input.shape.clone();
            if stacks && !self.job.is_irregular() {
                dims[0] = item.extent()?.rows;
            }
            match item.payload()? {
                Payload::Tokens(tokens) => self.place_tokens(tokens, input, at, &dims)?,
                Payload::Tensors(tensors) => self.place_tensor(self.own(tensors)?, input, at, &dims)?,
            }
            at += dims.first().map_or(1, |n| n * row);
        }
        Ok(())
    }

    /// The elements where they are: those of one request alone, not padded, at an address that is right for their
    /// type. A body's tensor data mostly lies so; `front` sees to it.
    fn in_place(&self, target: &[usize]) -> Result<Option<Bytes>, Failure> {
        let [only] = &*self.job.items else { return Ok(None) };
        let Payload::Tensors(tensors) = only.payload()? else { return Ok(None) };
        let tensor = self.own(tensors)?;
        self.check(tensor, target)?;
        let is_aligned = |size: usize| tensor.data.as_ptr().addr().is_multiple_of(size);
        let stays = tensor.shape == target && tensor.datatype.size().is_some_and(is_aligned);
        Ok(stays.then(|| tensor.data.clone()))
    }

    /// The batch's shape: rows stacked, lengths padded, every other size as the items have it.
    fn target_shape(&self) -> Result<Vec<usize>, Failure> {
        let sample = self.job.items.iter().find_map(|item| match item.payload() {
            Ok(Payload::Tensors(tensors)) => tensors.tensors.get(self.index),
            _ => None,
        });
        let is_own = self.tensor.open || self.job.is_irregular();
        if let (true, Some(sample)) = (is_own, sample) {
            return Ok(sample.shape.clone());
        }
        let size = |(axis, dim): (usize, &Dim)| match (dim, sample) {
            (Dim::Batch, _) => Ok(self.rows),
            (Dim::Length, _) if self.spec.pads => Ok(self.len),
            (_, Some(sample)) => sample.shape.get(axis).copied().ok_or_else(|| self.fault("has too few dimensions")),
            (Dim::Length, None) => Ok(self.len),
            (Dim::Fixed(n), None) => Ok(*n),
            (Dim::Free(symbol), None) => Err(self.fault(format!("needs a size for `{symbol}`, which a text has not"))),
        };
        self.tensor.dims.iter().enumerate().map(size).collect()
    }

    fn own<'t>(&self, item: &'t TensorItem) -> Result<&'t Tensor, Failure> {
        item.tensors.get(self.index).ok_or_else(|| self.fault("is missing from a request"))
    }

    /// Copies an item's tensor to its rows, `at` elements into the buffer and `dims` large.
    fn place_tensor(&self, tensor: &Tensor, input: &mut Input, at: usize, dims: &[usize]) -> Result<(), Failure> {
        self.check(tensor, dims)?;
        let padded = tensor.shape != dims;
        let end = at + volume(dims).unwrap_or(0);
        let Some(size) = tensor.datatype.size() else {
            let own = split_elements(&tensor.data)?;
            if Some(own.len()) != volume(&tensor.shape) {
                return Err(self.fault("has another number of elements than its shape says"));
            }
            copy_corner(&own, &tensor.shape, &mut input.strings[at..end], dims);
            return Ok(());
        };
        let target = &mut input.data_mut()[at * size..end * size];
        if padded {
            fill(target, pattern(tensor.datatype, self.tensor.pad));
        }
        let (from, to) = ([&tensor.shape[..], &[size]].concat(), [dims, &[size]].concat());
        copy_corner(&tensor.data, &from, target, &to);
        Ok(())
    }

    /// Checks that a tensor can lie in `dims`: the same sizes, or smaller where this model pads.
    fn check(&self, tensor: &Tensor, dims: &[usize]) -> Result<(), Failure> {
        let fits = |(axis, (own, target)): (usize, (&usize, &usize))| {
            own == target || (own < target && self.spec.pads && self.tensor.dims[axis] == Dim::Length)
        };
        if tensor.datatype != self.tensor.datatype
            || tensor.shape.len() != dims.len()
            || !tensor.shape.iter().zip(dims).enumerate().all(fits)
        {
            let got = (tensor.datatype.name(), &tensor.shape);
            return Err(self.fault(format!(
                "is {} {dims:?} in this batch, a request has {} {:?}",
                self.tensor.datatype.name(),
                got.0,
                got.1
            )));
        }
        let bytes = tensor.datatype.size().map(|size| volume(&tensor.shape).and_then(|n| n.checked_mul(size)));
        match bytes {
            Some(expected) if expected != Some(tensor.data.len()) => {
                Err(self.fault("has another number of bytes than its shape says"))
            }
            _ => Ok(()),
        }
    }

    /// Writes one token row, then its padding.
    fn place_tokens(&self, tokens: &Tokens, input: &mut Input, at: usize, dims: &[usize]) -> Result<(), Failure> {
        let width = volume(dims).unwrap_or(0);
        if width < tokens.ids.len() || (width > tokens.ids.len() && !self.spec.pads) {
            return Err(self.fault(format!("holds {width} tokens a row, a text has {}", tokens.ids.len())));
        }
        let values = self.tensor.text_input().and_then(|input| column(tokens, input));
        let values = values.ok_or_else(|| self.fault("cannot be filled from a text"))?;
        match self.tensor.datatype {
            Datatype::Int64 => {
                let row = &mut bytemuck::cast_slice_mut::<u8, i64>(input.data_mut())[at..at + width];
                row.iter_mut().zip(&*values).for_each(|(to, v)| *to = i64::from(*v));
                row[tokens.ids.len()..].fill(self.tensor.pad as i64);
            }
            Datatype::Int32 => {
                let row = &mut bytemuck::cast_slice_mut::<u8, i32>(input.data_mut())[at..at + width];
                row.iter_mut().zip(&*values).for_each(|(to, v)| *to = v.cast_signed());
                row[tokens.ids.len()..].fill(self.tensor.pad as i32);
            }
            other => return Err(self.fault(format!("is {}, which holds no token ids", other.name()))),
        }
        Ok(())
    }

    fn fault(&self, message: impl std::fmt::Display) -> Failure {
        Failure::Failed(format!("input `{}` {message}", self.tensor.name))
    }
}

/// What a text puts into one of its inputs, one number a token; `None` where that is not known.
fn column(tokens: &Tokens, input: TextInput) -> Option<Cow<'_, [u32]>> {
    let all = |value| Cow::Owned(vec![value; tokens.ids.len()]);
    Some(match input {
        TextInput::Ids => Cow::Borrowed(&tokens.ids),
        TextInput::Mask => all(1),
        TextInput::TypeIds if tokens.type_ids.is_empty() => all(0),
        TextInput::TypeIds => Cow::Borrowed(&tokens.type_ids),
        TextInput::Positions => return None,
    })
}

#[cfg(test)]
mod tests;
