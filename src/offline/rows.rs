//! What is run: the texts as tokens, or rows made up where there are none, shortest first.
//!
//! Decides how long made-up rows are and which budgets are worth a try. Does not run anything.

use super::cut::{Limits, cut, padded, spread};
use super::{Error, Source};
use crate::exec::{self, Prepared};
use crate::model::{Dim, Model};
use crate::text::{Overflow, Tokens};
use std::sync::Arc;

/// Fewer rows make no mixture.
const FEWEST: usize = 256;
/// The longest made-up row.
const LONGEST: u32 = 128;
/// The budgets of models whose rows have a length, those that usually win first.
const BUDGETS: [u32; 7] = [256, 512, 128, 1024, 64, 2048, 4096];
/// Rows of a batch of models whose rows have none, likewise.
const ROWS: [u32; 7] = [16, 32, 8, 64, 4, 2, 1];

/// Rows of one model, shortest first.
#[derive(Debug)]
pub(super) struct Rows {
    model: Arc<Model>,
    lengths: Vec<u32>,
    /// As many, or none where rows are made up.
    texts: Vec<Tokens>,
}

/// Batches, ready to run, and what is in them.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) ready: Vec<Prepared>,
    pub(super) shapes: Vec<(u32, u32)>,
    pub(super) rows: usize,
    /// The share of tokens that are no padding.
    pub(super) efficiency: f64,
}

impl Rows {
    /// Tokenises the texts, cut to the model's length; makes up rows where there is no text or no tokenizer.
    pub(super) fn new(source: &Source, texts: &[String]) -> Result<Self, Error> {
        let model = Arc::clone(&source.model);
        let Some(tokenizer) = model.tokenizer.as_ref().filter(|_| !texts.is_empty()) else {
            return Self::made_up(source);
        };
        let encode = |text: &String| tokenizer.encode(text, Overflow::Truncate, model.spec.max_length).ok();
        let mut texts: Vec<Tokens> = texts.iter().filter_map(encode).collect();
        if texts.is_empty() {
            return Err(Error::NoTexts);
        }
        texts.sort_by_key(|text| text.ids.len());
        let lengths = texts.iter().map(|text| text.ids.len() as u32).collect();
        Ok(Self { model, lengths, texts })
    }

    /// Rows as the warm-up makes them: few long ones and many short ones.
    fn made_up(source: &Source) -> Result<Self, Error> {
        let model = Arc::clone(&source.model);
        if !exec::is_sound(&model.spec) {
            return Err(Error::Unsound { path: source.file.path().to_owned() });
        }
        let longest = if has_length(&model) { model.spec.max_length.unwrap_or(LONGEST).clamp(1, LONGEST) } else { 1 };
        Ok(Self { model, lengths: mixture(longest), texts: Vec::new() })
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The budgets to try, in tokens, the likeliest first.
    pub(super) fn budgets(&self, most_rows: usize) -> Vec<u32> {
        if !self.model.spec.batchable {
            return vec![self.lengths.last().copied().unwrap_or(1)];
        }
        if has_length(&self.model) || !self.texts.is_empty() {
            return BUDGETS.to_vec();
        }
        ROWS.into_iter().filter(|rows| *rows as usize <= most_rows).collect()
    }

    /// The shortest row as a batch of its own, with its rows and length.
    pub(super) fn short(&self) -> Result<(Prepared, (u32, u32)), Error> {
        Ok((self.prepare(&[0])?, (1, self.lengths[0])))
    }

    /// `count` rows, spread evenly over all (again and again where there are fewer), cut into batches.
    pub(super) fn batches(&self, count: usize, budget: u32, most_rows: usize) -> Result<Batches, Error> {
        let places: Vec<usize> = spread(self.len(), count.max(1)).collect();
        let lengths: Vec<u32> = places.iter().map(|at| self.lengths[*at]).collect();
        let rows = if self.model.spec.batchable { most_rows } else { 1 };
        let cuts = cut(&lengths, Limits { tokens: budget, rows });
        let ready = cuts.iter().map(|batch| self.prepare(&places[batch.clone()])).collect::<Result<_, _>>()?;
        let shapes = cuts.iter().map(|batch| (batch.len() as u32, lengths[batch.end - 1])).collect();
        let useful: u64 = lengths.iter().map(|len| u64::from(*len)).sum();
        let all: u64 = cuts.iter().map(|batch| padded(&lengths, batch)).sum();
        Ok(Batches { ready, shapes, rows: places.len(), efficiency: useful as f64 / all.max(1) as f64 })
    }

    /// One batch; the last row is the longest.
    fn prepare(&self, places: &[usize]) -> Result<Prepared, Error> {
        let longest = places.last().map_or(1, |at| self.lengths[*at]);
        Ok(match self.texts.is_empty() {
            true => Prepared::made_up(&self.model, places.len() as u32, longest)?,
            false => {
                let texts = places.iter().map(|at| self.texts[*at].clone()).collect();
                Prepared::of_texts(&self.model, longest, texts)?
            }
        })
    }
}

fn has_length(model: &Model) -> bool {
    model.spec.inputs.iter().any(|input| input.dims.contains(&Dim::Length))
}

/// Lengths from 1 to `longest`, each octave as often as any other.
fn mixture(longest: u32) -> Vec<u32> {
    let share = |at: usize| (at as f64 + 0.5) / FEWEST as f64;
    let shortest = f64::from(longest.min(4));
    let length = |at| (shortest * (f64::from(longest) / shortest).powf(share(at))).round();
    (0..FEWEST).map(|at| (length(at) as u32).clamp(1, longest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_lengths_ascend_and_are_mixed() {
        let lengths = mixture(128);
        assert!(lengths.is_sorted() && lengths.len() == FEWEST);
        assert_eq!((lengths[0], lengths[FEWEST / 2], lengths[FEWEST - 1]), (4, 23, 127));
        assert!(mixture(1).iter().all(|len| *len == 1));
    }
}
