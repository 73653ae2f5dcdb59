//! What a model's tensors mean: which dimension stacks requests, which is padded, what it answers.

use super::Datatype;

/// A model's inputs and outputs as the runtime reports them, before any interpretation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawIo {
    /// Inputs, in the model's order.
    pub inputs: Vec<RawTensor>,
    /// Outputs, in the model's order.
    pub outputs: Vec<RawTensor>,
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
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Inputs, in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in the model's order.
    pub outputs: Vec<TensorSpec>,
    /// Whether requests can be stacked: every input and output has the batch dimension first.
    pub batchable: bool,
    /// Whether rows of different lengths may share a batch by padding.
    pub pads: bool,
    /// What the model does for text.
    pub task: Task,
    /// Longest row in tokens, where known.
    pub max_length: Option<u32>,
}

impl ModelSpec {
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
#[derive(Debug, Clone, PartialEq)]
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
    Tensors,
}
