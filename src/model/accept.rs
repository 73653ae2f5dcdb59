//! Whether a request's tensors fit a model, and which rows they may share a batch with.
//!
//! Decides by datatypes and shapes alone; never looks at an element. Does not know protocols: its
//! messages are for any of them.

use super::{Datatype, Dim, ModelSpec, TensorSpec};
use crate::types::{Fnv, ShapeClass};

#[cfg(test)]
mod tests;

/// One tensor of a request, as far as fitting is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The input it is for.
    pub name: &'a str,
    /// Element type.
    pub datatype: Datatype,
    /// Sizes, outermost first.
    pub shape: &'a [usize],
}

/// What fits: the measures of one tensor request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Size of the batch dimension, ≥ 1 (1 where the model has none); the largest where inputs disagree.
    pub rows: u32,
    /// Size of the length dimension, likewise.
    pub len: u32,
    /// Everything else about the shapes.
    pub class: ShapeClass,
    /// For each model input, in the model's order, which of the given tensors it is.
    pub order: Vec<usize>,
    /// Why its tensors are not rows of one length: then it runs as it is, alone. `None` where they are.
    pub irregular: Option<String>,
}

impl ModelSpec {
    /// Checks one tensor request against the model's inputs.
    ///
    /// # Errors
    /// A sentence for the caller that names the input and what is allowed.
    pub fn accept(&self, given: &[Given<'_>]) -> Result<Accepted, String> {
        let order = self.order(given)?;
        let mut rows = Agreed::new("rows", "batch");
        let mut len = Agreed::new("length", "length");
        for (input, &index) in self.inputs.iter().zip(&order) {
            let given = &given[index];
            check_type_and_rank(input, given)?;
            for (axis, (dim, &size)) in input.dims.iter().zip(given.shape).enumerate() {
                match dim {
                    Dim::Batch => rows.add(input, axis, size)?,
                    Dim::Length => len.add(input, axis, size)?,
                    Dim::Fixed(fixed) if *fixed != size => return Err(wrong_shape(input, given)),
                    Dim::Fixed(_) | Dim::Free(_) => {}
                }
            }
        }
        let irregular = rows.irregular.or(len.irregular);
        let (rows, len) = (rows.largest, len.largest);
        if let Some(max) = self.max_length.filter(|&max| self.length_input().is_some() && len > max) {
            return Err(format!("the request's rows are {len} long, the model takes at most {max}"));
        }
        let class = match irregular {
            None => self.class(len, |input| given[order[input]].shape),
            Some(_) => ShapeClass::alone(),
        };
        Ok(Accepted { rows, len, class, order, irregular })
    }

    /// The class of one tokenised text of `len` tokens: that of the same row sent as tensors.
    #[must_use]
    pub fn token_class(&self, len: u32) -> ShapeClass {
        let shape = [1, len as usize];
        self.class(len, |_| &shape)
    }

    /// The first input that has the length dimension.
    #[must_use]
    pub fn length_input(&self) -> Option<&TensorSpec> {
        self.inputs.iter().find(|i| i.length_axis().is_some())
    }

    /// For each model input, the tensor given for it.
    fn order(&self, given: &[Given<'_>]) -> Result<Vec<usize>, String> {
        let names = || self.inputs.iter().map(|i| format!("`{}`", i.name)).collect::<Vec<_>>().join(", ");
        for (i, tensor) in given.iter().enumerate() {
            let name = tensor.name;
            if self.input(name).is_none() {
                return Err(format!("input `{name}` is unknown (the model's inputs: {})", names()));
            }
            if given[..i].iter().any(|earlier| earlier.name == name) {
                return Err(format!("input `{name}` is given twice"));
            }
        }
        let find = |input: &TensorSpec| {
            let index = given.iter().position(|g| g.name == input.name);
            index.ok_or_else(|| format!("input `{}` is missing (the model's inputs: {})", input.name, names()))
        };
        self.inputs.iter().map(find).collect()
    }

    /// Hashes what rows must have in common: every size but the batch and, where it is padded, the
    /// length. A model that does not stack keeps every shape apart.
    fn class<'a>(&self, len: u32, shape: impl Fn(usize) -> &'a [usize]) -> ShapeClass {
        let mut hash = Fnv::default();
        for (index, input) in self.inputs.iter().enumerate() {
            hash.word(input.dims.len() as u64);
            // Of an input without a shape every size counts.
            if input.open {
                shape(index).iter().for_each(|&size| hash.word(size as u64));
            }
            for (dim, &size) in input.dims.iter().zip(shape(index)) {
                if !(self.batchable && matches!(dim, Dim::Batch | Dim::Length)) {
                    hash.word(size as u64);
                }
            }
        }
        if !self.pads {
            hash.word(u64::from(len));
        }
        ShapeClass(hash.value())
    }
}

fn check_type_and_rank(input: &TensorSpec, given: &Given<'_>) -> Result<(), String> {
    if given.datatype != input.datatype {
        let (is, wants) = (given.datatype.name(), input.datatype.name());
        return Err(format!("input `{}` has datatype {is}, the model takes {wants}", input.name));
    }
    if !input.open && given.shape.len() != input.dims.len() { Err(wrong_shape(input, given)) } else { Ok(()) }
}

fn wrong_shape(input: &TensorSpec, given: &Given<'_>) -> String {
    format!("input `{}` has shape {:?}, the model takes {}", input.name, given.shape, input.shape_text())
}

/// A size that inputs agree on, where they are rows of one length.
struct Agreed<'a> {
    what: &'static str,
    dimension: &'static str,
    first: Option<(&'a str, u32)>,
    largest: u32,
    /// Why they are not: the first reason.
    irregular: Option<String>,
}

impl<'a> Agreed<'a> {
    fn new(what: &'static str, dimension: &'static str) -> Self {
        Self { what, dimension, first: None, largest: 1, irregular: None }
    }

    fn add(&mut self, input: &'a TensorSpec, axis: usize, size: usize) -> Result<(), String> {
        let (dimension, what, name) = (self.dimension, self.what, &*input.name);
        let size = u32::try_from(size)
            .map_err(|_| format!("input `{name}` has size {size} in dimension {axis}; at most {}", u32::MAX))?;
        self.largest = self.largest.max(size);
        let (first, agreed) = *self.first.get_or_insert((name, size));
        let why = match size {
            0 => Some(format!("input `{name}` has size 0 in dimension {axis} ({dimension})")),
            _ if size != agreed => {
                Some(format!("inputs disagree on their {what}: `{first}` has {agreed}, `{name}` has {size}"))
            }
            _ => None,
        };
        self.irregular = self.irregular.take().or(why);
        Ok(())
    }
}
