//! What a model's tensors mean: which dimension stacks requests, which is padded, what it answers.

use super::{Batching, Datatype};

/// A model's inputs and outputs as the runtime reports them, before any interpretation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawIo {
    /// Inputs, in the model's order.
    pub inputs: Vec<RawTensor>,
    /// Outputs, in the model's order.
    pub outputs: Vec<RawTensor>,
    /// What is not offered.
    pub left_out: Vec<LeftOut>,
}

/// An input or output of the graph that no request can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Name in the graph.
    pub name: String,
    /// Its type, in ONNX's words.
    pub datatype: String,
    /// Why it is left out.
    pub why: &'static str,
}

impl LeftOut {
    /// An output that is no tensor.
    #[must_use]
    pub fn output(name: &str, datatype: String) -> Self {
        Self { name: name.to_owned(), datatype, why: "no answer can carry it" }
    }

    /// An input that need not be given.
    #[must_use]
    pub fn input(name: &str, datatype: String) -> Self {
        Self { name: name.to_owned(), datatype, why: "its value in the file stands" }
    }
}

/// One declared input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTensor {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub datatype: Datatype,
    /// Dimensions, outermost first.
    pub dims: Vec<RawDim>,
    /// Whether it is declared without a shape, so that any number of dimensions will do.
    pub open: bool,
    /// What its columns stand for, where the graph names classes.
    pub labels: Vec<String>,
}

/// One declared dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawDim {
    /// A fixed size.
    Fixed(usize),
    /// A dynamic size, with its symbol (empty when the graph gives none).
    Symbol(String),
}

/// A model's tensors, interpreted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSpec {
    /// Inputs, in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in the model's order.
    pub outputs: Vec<TensorSpec>,
    /// What of the graph is not offered.
    pub left_out: Vec<LeftOut>,
    /// Whether requests can be stacked: every input and output has the batch dimension first.
    pub batchable: bool,
    /// Whether rows of different lengths may share a batch by padding.
    pub pads: bool,
    /// What was found of its batching.
    pub batching: Batching,
    /// What is made up of its input runs, as far as was tried; `None` where it was not.
    pub made_up: Option<MadeUp>,
    /// What the model does for text.
    pub task: Task,
    /// Longest row in tokens, where known.
    pub max_length: Option<u32>,
}

impl ModelSpec {
    /// The length of made-up rows.
    #[must_use]
    pub fn made_up_length(&self) -> u32 {
        self.max_length.unwrap_or(8).clamp(1, 8)
    }

    /// Bytes of a body that holds one row as JSON: 24 for each number, and 64 KiB for what is around them. Where a
    /// dimension is open, as many as are made up; words are not counted.
    #[must_use]
    pub fn row_body(&self) -> usize {
        let size = |input: &TensorSpec, (axis, dim): (usize, &Dim)| match dim {
            Dim::Fixed(size) => *size,
            Dim::Batch => 1,
            Dim::Length => self.max_length.map_or(1, |most| most as usize),
            Dim::Free(_) => input.sample.as_ref().and_then(|sample| sample.get(axis)).copied().unwrap_or(1),
        };
        let elements = |input: &TensorSpec| -> usize {
            match &input.sample {
                Some(sample) if input.open => sample.iter().fold(1, |n, size| n.saturating_mul(*size)),
                _ => input.dims.iter().enumerate().map(|dim| size(input, dim)).fold(1, usize::saturating_mul),
            }
        };
        let all = self.inputs.iter().map(elements).fold(0, usize::saturating_add);
        all.saturating_mul(24).saturating_add(64 << 10)
    }

    /// The input of this name and its place in the model's order.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<(usize, &TensorSpec)> {
        find(&self.inputs, name)
    }

    /// The output of this name and its place in the model's order.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<(usize, &TensorSpec)> {
        find(&self.outputs, name)
    }
}

fn find<'a>(tensors: &'a [TensorSpec], name: &str) -> Option<(usize, &'a TensorSpec)> {
    tensors.iter().enumerate().find(|(_, tensor)| tensor.name == name)
}

/// One input or output, interpreted.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub datatype: Datatype,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
    /// The value that fills padded positions (inputs only).
    pub pad: f64,
    /// The shape of made-up input of one row, where its dimensions leave that open (inputs only).
    pub sample: Option<Vec<usize>>,
    /// How many there are to choose from, where its elements are indices (inputs only).
    pub bound: Option<i64>,
    /// Whether any number of dimensions will do; `dims` are empty then.
    pub open: bool,
    /// Whether requests that ask for it can share a run (outputs only).
    pub stacks: bool,
    /// What its columns stand for, where the graph names classes (outputs only).
    pub labels: Vec<String>,
}

impl TensorSpec {
    /// A tensor of which nothing is known but what its graph declares.
    #[must_use]
    pub fn new(name: impl Into<String>, datatype: Datatype, dims: Vec<Dim>) -> Self {
        Self {
            name: name.into(),
            datatype,
            dims,
            pad: 0.0,
            sample: None,
            bound: None,
            open: false,
            stacks: true,
            labels: Vec::new(),
        }
    }
}

/// What stands in for real input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MadeUp {
    /// It runs, with numbers like these.
    Runs(Filling),
    /// Nothing that was tried runs, for this reason.
    Fails(String),
}

/// What numbers made-up input is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Filling {
    /// Whole numbers from 0 to 255, as bytes are, or as many as there are to choose from; others between 0 and 1.
    #[default]
    Bytes,
    /// Whole numbers that are 0 or 1; others between 0 and 1.
    Flags,
    /// Ones.
    Ones,
    /// Zeros.
    Zeros,
    /// The largest whole numbers that there are to choose from; others up to a thousand, of both signs.
    Large,
    /// Numbers of both signs around zero.
    Signed,
}

impl TensorSpec {
    /// The first dimension that carries a row's length.
    #[must_use]
    pub fn length_axis(&self) -> Option<usize> {
        self.dims.iter().position(|dim| *dim == Dim::Length)
    }

    /// Which input of text models it is, by its name.
    #[must_use]
    pub fn text_input(&self) -> Option<TextInput> {
        TextInput::of(&self.name)
    }
}

/// An input that text models have, by the name that exporters give it. Its dimension 1, where it has
/// one, is the text's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextInput {
    /// `input_ids`: the tokens.
    Ids,
    /// `attention_mask`: one for a token, zero for padding.
    Mask,
    /// `token_type_ids`: the segment of each token.
    TypeIds,
    /// `position_ids`. Where a model begins to count is its own affair, so no text can fill it.
    Positions,
}

impl TextInput {
    /// The input of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "input_ids" => Self::Ids,
            "attention_mask" => Self::Mask,
            "token_type_ids" => Self::TypeIds,
            "position_ids" => Self::Positions,
            _ => return None,
        })
    }
}

/// One dimension, interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// The dimension that stacks requests.
    Batch,
    /// The dimension that carries a row's length.
    Length,
    /// Any other dynamic dimension: rows share a batch only when equal. Holds its symbol.
    Free(String),
}

/// What a model does for text.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Task {
    /// Token vectors (or a ready sentence vector) to one vector a text.
    Embedding {
        /// Index of the output to pool.
        output: usize,
        /// How token vectors become one.
        pooling: crate::text::Pooling,
        /// Whether the vector is scaled to length one.
        normalize: bool,
        /// Length of the vector.
        dimensions: usize,
    },
    /// A score for each label.
    Classifier {
        /// Index of the output with the logits.
        output: usize,
        /// Label names, by index; may be empty.
        labels: Vec<String>,
    },
    /// No text task: tensors in, tensors out.
    #[default]
    Tensors,
}
