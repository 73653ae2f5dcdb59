//! Text: tokenise, pool, normalise.
//!
//! Decides how a text becomes token ids and how token vectors become one. Knows no model runtime.

use serde::Deserialize;

mod pool;
mod tokenizer;

pub use pool::{normalize, pool};
pub use tokenizer::{Overflow, TextError, Tokenizer};

/// Token ids of one row, special tokens included, never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tokens {
    /// Ids, in the vocabulary of the model.
    pub ids: Vec<u32>,
    /// Segment ids, as long as `ids`, or empty for all zero.
    pub type_ids: Vec<u32>,
}

/// How token vectors become one vector a text; in files under the lower-case names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the row's own tokens.
    Mean,
    /// The first token's vector.
    Cls,
    /// The last token's vector.
    Last,
    /// The model's output is already one vector a text.
    None,
}
