//! An ONNX file, read without running it: whether the rows of a batch stay apart in it, and what its inputs must be like.
//!
//! Decides by the operators alone; a name in the file is never proof of anything. Does not know models, folders or the
//! runtime, and loads no weights.

mod follow;
pub mod proto;
mod rules;
mod size;
mod steady;
#[cfg(test)]
mod tests;
mod value;

use follow::Follower;
use proto::{DimensionValue, GraphProto, ModelProto, ValueInfoProto};
use size::{Size, Symbols};
use std::collections::BTreeMap;
pub use value::{Cause, Kind};
use value::{Flow, Value};

/// What stands against stacking requests, for each output that was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// By output, in the order asked: `None` where each row of it is made of its own row of the inputs.
    pub faults: Vec<Option<Cause>>,
    /// For inputs whose elements choose from a table: how many there are to choose from, by the input's place.
    pub bounds: BTreeMap<usize, i64>,
    /// Sizes that the graph needs where its inputs leave one open, by its symbol.
    pub needs: BTreeMap<String, Vec<i64>>,
}

impl ModelProto {
    /// Follows the rows of a batch from `inputs`, whose first dimension they are, to `outputs`.
    ///
    /// An input that is not named is one that nobody gives.
    #[must_use]
    pub fn read(&self, inputs: &[&str], outputs: &[&str]) -> Reading {
        let Some(graph) = &self.graph else {
            let missing = follow::misplaced("is missing from the file");
            return Reading { faults: vec![Some(missing); outputs.len()], ..Reading::default() };
        };
        let mut follower = Follower::new(self);
        let given = inputs.iter().enumerate().filter_map(|(at, name)| {
            let declared = graph.input.iter().find(|input| input.name == *name)?;
            Some((&*declared.name, entering(declared, at, &mut follower.symbols)))
        });
        let given: Vec<(&str, Value)> = given.collect();
        let left = follower.graph(self, graph, given, outputs);
        let faults = left.iter().map(|value| fault(value.as_ref(), &follower.symbols)).collect();
        let needs = follower.needs.iter().filter_map(|(symbol, sizes)| {
            let name = follower.symbols.name(*symbol)?;
            Some((name.to_owned(), sizes.clone()))
        });
        Reading { faults, needs: needs.collect(), bounds: follower.bounds }
    }
}

impl GraphProto {
    /// Whether an input or output is declared without a shape, so that any number of dimensions will do.
    #[must_use]
    pub fn is_open(&self, name: &str) -> bool {
        let declared = self.input.iter().chain(&self.output).find(|declared| declared.name == name);
        let tensor = declared.and_then(|declared| declared.r#type.as_ref()?.tensor_type.as_ref());
        tensor.is_some_and(|tensor| tensor.shape.is_none())
    }
}

/// An input as a batch comes in by it.
fn entering(declared: &ValueInfoProto, at: usize, symbols: &mut Symbols) -> Value {
    let tensor = declared.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let Some((_, rest)) = shape.and_then(|shape| shape.dim.split_first()) else {
        return Value::new(None, Flow::Broken(std::rc::Rc::new(follow::misplaced("has an input without rows"))));
    };
    let size = |dim: &proto::DimensionProto| match &dim.value {
        Some(DimensionValue::Size(size)) if *size > 0 => Size::known(*size),
        Some(DimensionValue::Name(name)) if !name.is_empty() => symbols.named(name),
        _ => symbols.fresh(false),
    };
    let dims = std::iter::once(Size::rows()).chain(rest.iter().map(size)).collect();
    Value { origin: Some(at), ..Value::new(Some(dims), Flow::Rows(0)) }
}

/// What stands against an output: its rows must be its first dimension, one for each of the batch.
fn fault(value: Option<&Value>, symbols: &Symbols) -> Option<Cause> {
    let Some(value) = value else { return Some(follow::misplaced("does not make it")) };
    let first = value.dims.as_ref().and_then(|dims| dims.first());
    match (&value.flow, first) {
        (Flow::Broken(cause), _) => Some((**cause).clone()),
        (Flow::Rows(0), Some(rows)) if *rows == Size::rows() => None,
        (Flow::Constant, Some(rows)) if *rows == Size::rows() => None,
        (Flow::Rows(0), _) => Some(follow::misplaced("makes several rows of it for each of the inputs'")),
        (Flow::Rows(axis), _) => {
            Some(follow::misplaced(&format!("lays its rows along dimension {axis}, not the first")))
        }
        (Flow::Constant, _) if !value.dims.as_ref().is_some_and(|dims| dims.iter().any(|d| symbols.depends(d))) => {
            Some(follow::misplaced("makes the same of it whatever comes in"))
        }
        _ => Some(follow::misplaced("makes it of the number or the order of the rows")),
    }
}
