//! What a worker needs of a model runtime, and the tensors it hands over.
//!
//! Decides nothing. Knows neither requests nor how inputs came together.

use super::Failure;
use crate::model::Datatype;
use crate::request::Tensor;
use bytes::Bytes;

/// A model, loaded and ready to run on one thread at a time.
pub trait Backend: Send {
    /// Runs the model on one batch: `inputs` in the model's order, answered with the outputs whose
    /// indices are `wanted`, in that order.
    ///
    /// # Errors
    /// A [`Failure`] that concerns the whole batch.
    fn run(&mut self, inputs: &[Input], wanted: &[usize]) -> Result<Vec<Tensor>, Failure>;
}

/// One assembled input: in a buffer that is used again for the next batch, or where a request is alone in its batch
/// a view of what it sent.
#[derive(Debug)]
pub struct Input {
    pub(super) datatype: Datatype,
    pub(super) shape: Vec<usize>,
    /// The elements of any datatype but `BYTES`, in words so that every type is aligned.
    words: Vec<u64>,
    /// How many bytes of `words` count.
    used: usize,
    /// The elements where they need not lie in `words`.
    view: Option<Bytes>,
    /// The elements of a `BYTES` tensor.
    pub(super) strings: Vec<Bytes>,
}

impl Input {
    /// Builds an empty tensor.
    #[must_use]
    pub fn new(datatype: Datatype) -> Self {
        Self { datatype, shape: vec![0], words: Vec::new(), used: 0, view: None, strings: Vec::new() }
    }

    /// Element type.
    #[must_use]
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// Sizes, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major and in the machine's byte order, aligned as their type wants it; empty for `BYTES`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.view.as_deref().unwrap_or_else(|| &bytemuck::cast_slice(&self.words)[..self.used])
    }

    /// The elements of a `BYTES` tensor, row-major; empty for every other datatype.
    #[must_use]
    pub fn strings(&self) -> &[Bytes] {
        &self.strings
    }

    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.used]
    }

    /// Takes `data` as its elements without copying them. They must lie as their type wants it.
    pub(super) fn show(&mut self, data: Bytes) {
        self.view = Some(data);
    }

    /// Lets go of what belongs to a request; the buffer stays.
    pub(super) fn release(&mut self) {
        self.view = None;
        self.strings.clear();
    }

    /// Makes room for `elements`; what the buffer holds afterwards is unspecified.
    pub(super) fn resize(&mut self, elements: usize) {
        self.view = None;
        match self.datatype.size() {
            Some(size) => {
                self.used = elements * size;
                self.words.resize(self.used.div_ceil(8), 0);
            }
            None => {
                self.strings.clear();
                self.strings.resize(elements, Bytes::new());
            }
        }
    }
}
