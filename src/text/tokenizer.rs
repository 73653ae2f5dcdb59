//! Texts to token ids.
//!
//! Decides where an over-long text is cut and when it is refused instead. The padding and truncation
//! that a `tokenizer.json` asks for are ignored: a row keeps its own length, and the model's longest
//! row is a fact about the model. Does not know batches.

use super::Tokens;
use crate::types::fenced;
use std::fmt;
use tokenizers::Encoding;

#[cfg(test)]
mod tests;

/// Text beyond this many bytes a token of the model's limit is not looked at: tokenising takes some 200
/// times a text's size in memory, and no language comes near.
const BYTES_A_TOKEN: usize = 128;
/// Text beyond this many bytes is not looked at where the model has no limit.
const UNLIMITED_BYTES: usize = 1 << 20;

/// Turns texts into token ids. Safe to share between threads; encoding starts no threads of its own.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocab_size: u32,
    fails_on: Option<String>,
}

/// What happens to a text that is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is refused.
    Error,
    /// Its end is cut off; special tokens stay.
    Truncate,
}

/// Why a text has no token ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than the model takes, special tokens included.
    #[error("text has {tokens} tokens, the model takes at most {max}")]
    TooLong {
        /// Tokens of the whole text.
        tokens: usize,
        /// Most the model takes.
        max: usize,
    },
    /// Far longer than the model takes: it was not tokenised.
    #[error("text has {bytes} bytes, at most {most} are read")]
    TooManyBytes {
        /// Bytes of the whole text.
        bytes: usize,
        /// Most that are read for this model.
        most: usize,
    },
    /// The tokenizer makes nothing of it and adds no special tokens.
    #[error("text has no tokens")]
    Empty,
    /// The special tokens alone are more than the model takes.
    #[error("the tokenizer adds {special} special tokens, the model takes at most {max} tokens")]
    NoRoom {
        /// Special tokens a text.
        special: usize,
        /// Most the model takes.
        max: usize,
    },
    /// The tokenizer failed on this text.
    #[error("text cannot be tokenised: {0}")]
    Failed(String),
    /// The file is not a tokenizer.
    #[error("not a tokenizer: {0}")]
    BadFile(String),
}

impl Tokenizer {
    /// Builds a tokenizer from the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextError::BadFile`] when the contents are no tokenizer this build understands.
    pub fn from_bytes(json: &[u8]) -> Result<Self, TextError> {
        let bad = |e: tokenizers::Error| TextError::BadFile(e.to_string());
        let panicked = |why: String| TextError::BadFile(format!("the tokenizers library cannot take it ({why})"));
        let load = || {
            let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(bad)?;
            inner.with_padding(None);
            inner.with_truncation(None).map_err(bad)?;
            let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id.saturating_add(1));
            Ok(Self { inner, vocab_size, fails_on: None })
        };
        let mut tokenizer: Self = fenced(load).map_err(panicked)??;
        tokenizer.fails_on = tokenizer.probe();
        Ok(tokenizer)
    }

    /// Which ordinary text it fails on, and how, where it does.
    #[must_use]
    pub fn fails_on(&self) -> Option<&str> {
        self.fails_on.as_deref()
    }

    /// Encodes ordinary texts: a file that loads may fail on each.
    fn probe(&self) -> Option<String> {
        let long = "word ".repeat(2000);
        let texts = [
            ("an ordinary text", "The quick brown fox, 7 of them."),
            ("a Chinese text", "敏捷的棕色狐狸"),
            ("an emoji", "👩‍👩‍👧 naïve"),
            ("no text", ""),
            ("10 000 characters", &*long),
        ];
        for (what, text) in texts {
            if let Err(TextError::Failed(why)) = self.encode(text, Overflow::Truncate, None) {
                return Some(format!("{what} cannot be tokenised ({why})"));
            }
        }
        None
    }

    /// Encodes one text, special tokens added, into at most `max_length` ids (`None`: no limit).
    ///
    /// Of a text with more than 128 bytes for each of them (1 MiB where there is no limit) only so much is
    /// looked at: what a text costs is bounded by what the model takes.
    ///
    /// # Errors
    /// [`TextError::TooLong`] under [`Overflow::Error`], with the real number of tokens, and
    /// [`TextError::TooManyBytes`] where they were not counted; [`TextError::Empty`] when there is not a single id; [`TextError::NoRoom`] and
    /// [`TextError::Failed`] as they say.
    pub fn encode(&self, text: &str, overflow: Overflow, max_length: Option<u32>) -> Result<Tokens, TextError> {
        let most = max_length.map_or(UNLIMITED_BYTES, |max| (max as usize).saturating_mul(BYTES_A_TOKEN));
        let text = match overflow {
            _ if text.len() <= most => text,
            Overflow::Error => return Err(TextError::TooManyBytes { bytes: text.len(), most }),
            Overflow::Truncate => &text[..text.floor_char_boundary(most)],
        };
        // Its words may quote the text.
        let encoding = fenced(|| self.inner.encode_fast(text, true))
            .map_err(|_| TextError::Failed("the tokenizers library panicked".to_owned()))?
            .map_err(|e| TextError::Failed(e.to_string()))?;
        let count = encoding.len();
        let max = max_length.map_or(usize::MAX, |max| max as usize);
        let tokens = match overflow {
            _ if count <= max => {
                Tokens { ids: encoding.get_ids().to_vec(), type_ids: encoding.get_type_ids().to_vec() }
            }
            Overflow::Error => return Err(TextError::TooLong { tokens: count, max }),
            Overflow::Truncate => truncate(&encoding, max)?,
        };
        if tokens.ids.is_empty() {
            return Err(TextError::Empty);
        }
        Ok(without_zero_types(tokens))
    }

    /// One more than the largest id: every id of the vocabulary, added tokens included, is below it.
    #[must_use]
    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

/// Keeps every special token that the post-processor added, and the first of the text's own tokens
/// that fit beside them: what cutting the text on the right before adding them gives.
fn truncate(encoding: &Encoding, max: usize) -> Result<Tokens, TextError> {
    let is_special = encoding.get_special_tokens_mask();
    let special = is_special.iter().filter(|&&m| m != 0).count();
    if special > max {
        return Err(TextError::NoRoom { special, max });
    }
    let mut room = max - special;
    let mut tokens = Tokens { ids: Vec::with_capacity(max), type_ids: Vec::with_capacity(max) };
    for ((&id, &type_id), &special) in encoding.get_ids().iter().zip(encoding.get_type_ids()).zip(is_special) {
        if special == 0 {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        tokens.ids.push(id);
        tokens.type_ids.push(type_id);
    }
    Ok(tokens)
}

fn without_zero_types(mut tokens: Tokens) -> Tokens {
    if tokens.type_ids.iter().all(|&t| t == 0) {
        tokens.type_ids = Vec::new();
    }
    tokens
}
