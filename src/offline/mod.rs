//! A model run in this process with no server around it: what is the most it can do here, and with which sessions.
//!
//! Decides which sessions and batches are tried, how long each is measured, and what wins. Knows no scheduler and no
//! caller; what is kept or shown of it is others' affair.

mod cut;
mod layout;
mod quick;
mod rows;
mod search;
mod source;
mod stage;
mod team;
mod tune;
mod workers;

pub use layout::{Layout, cores};
pub use quick::{Preferred, prefer};
pub use search::Tried;
pub use source::Source;
pub use tune::{Candidate, Tuning, tune};

use crate::exec::Failure;
use rows::Rows;
use serde::Serialize;
use stage::Stage;
use std::path::PathBuf;
use std::time::Duration;
use team::Team;

/// Most rows that a batch has unless told otherwise: a policy's usual limit.
const MOST_ROWS: usize = 64;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder holds nothing that can be run.
    #[error("{0}")]
    Folder(String),
    /// No text has a token.
    #[error("none of the texts has a token that the model knows")]
    NoTexts,
    /// Nothing can be made up for this model.
    #[error(
        "{}: no made-up input of this model runs: give its shape by [inputs.NAME] sample in model.toml, or set \
         `instances` and `threads` of its [[model]] by hand", path.display()
    )]
    Unsound {
        /// The graph.
        path: PathBuf,
    },
    /// The model failed.
    #[error("{0}")]
    Run(#[from] Failure),
    /// The operating system gave no thread.
    #[error("no thread for a session: {0}")]
    Thread(#[from] std::io::Error),
}

/// What is to be measured, and for how long.
#[derive(Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// What it runs on, where it takes text; rows are made up where this is empty.
    pub texts: Vec<String>,
    /// Cores to share out; those of this process by default.
    pub cores: usize,
    /// Most rows of a batch.
    pub most_rows: usize,
    /// How long all of it may take.
    pub limit: Duration,
}

impl Options {
    /// All cores of this process, for three quarters of a minute.
    #[must_use]
    pub fn new(source: Source, texts: Vec<String>) -> Self {
        Self { source, texts, cores: cores(), most_rows: MOST_ROWS, limit: Duration::from_secs(45) }
    }

    fn rows(&self) -> Result<Rows, Error> {
        Rows::new(&self.source, &self.texts)
    }
}

/// The most that ONNX Runtime does with a model on this machine: rows of a like length together, nobody waited for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ceiling {
    /// Rows a second.
    pub rps: f64,
    /// Sessions that did it.
    pub instances: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether those spun.
    pub spin: bool,
    /// Rows × longest of a batch, at most (of more than one row).
    pub budget_tokens: u32,
    /// The share of tokens that were not padding.
    pub padding_efficiency: f64,
    /// All that was measured.
    pub tried: Vec<Tried>,
}

/// Measures the ceiling: the best of all layouts and budgets. Blocks for about `options.limit`.
///
/// # Errors
/// When the model cannot be run.
pub fn ceiling(options: &Options) -> Result<Ceiling, Error> {
    let rows = options.rows()?;
    let budgets = rows.budgets(options.most_rows);
    let layouts = layout::all(options.cores);
    let mut stage: Stage<'_, Team> = Stage::new(&options.source, &rows, options.most_rows);
    let tried = search::search(&layouts, &budgets, options.limit, &mut stage)?;
    Ceiling::of(tried).ok_or(Error::NoTexts)
}

impl Ceiling {
    /// `None` of nothing.
    fn of(tried: Vec<Tried>) -> Option<Self> {
        let best = search::best(&tried)?;
        let Layout { instances, threads, spin } = best.layout;
        let (rps, budget_tokens, padding_efficiency) = (best.rps, best.budget_tokens, best.padding_efficiency);
        Some(Self { rps, instances, threads, spin, budget_tokens, padding_efficiency, tried })
    }
}
