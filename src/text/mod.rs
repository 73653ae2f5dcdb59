//! Text: tokenise, pool, normalise.
//!
//! Decides how a text becomes token ids and how token vectors become one. Knows no model runtime.

/// How token vectors become one vector a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Turns texts into token ids.
#[derive(Debug)]
pub struct Tokenizer;
