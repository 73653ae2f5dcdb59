//! The layout that serves best, and what its batches cost.
//!
//! Decides how the time is divided. Knows no file.

use super::search::{self, Tried};
use super::stage::Stage;
use super::workers::Workers;
use super::{Error, Layout, Options, layout};
use crate::exec::Sample;
use serde::Serialize;
use std::time::Duration;

/// The share of the time that goes to the search; the rest is for single rows and the sweep.
const SEARCH: f64 = 0.75;
/// The most that the sweep may take, as a share.
const SWEEP: f64 = 0.15;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuning {
    /// The best.
    pub chosen: Layout,
    /// All layouts that were measured to the end, the chosen one too.
    pub candidates: Vec<Candidate>,
    /// All that was measured.
    pub tried: Vec<Tried>,
    /// What runs of the chosen layout took.
    #[serde(skip)]
    pub samples: Vec<Sample>,
}

/// A layout that was measured to the end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate {
    /// It.
    #[serde(flatten)]
    pub layout: Layout,
    /// Rows a second at its best budget.
    pub rps: f64,
    /// That budget.
    pub budget_tokens: u32,
    /// The time of a single short row, in milliseconds.
    pub short_row_ms: f64,
}

/// Finds the layout that serves best, by workers as a server has them. Blocks for about `options.limit`.
///
/// # Errors
/// When the model cannot be run.
pub fn tune(options: &Options) -> Result<Tuning, Error> {
    let rows = options.rows()?;
    let budgets = rows.budgets(options.most_rows);
    let layouts = layout::serving(options.cores);
    let mut stage: Stage<'_, Workers> = Stage::new(&options.source, &rows, options.most_rows);
    let tried = search::search(&layouts, &budgets, options.limit.mul_f64(SEARCH), &mut stage)?;
    let mut candidates = Vec::new();
    for Tried { layout, budget_tokens, rps, .. } in best_of_each(&layouts, &tried) {
        candidates.push(Candidate { layout, rps, budget_tokens, short_row_ms: stage.short_row(layout)? });
    }
    let found: Vec<_> = candidates.iter().map(|one| (one.layout, one.rps, one.short_row_ms)).collect();
    let chosen = layout::choose(&found).map(|at| candidates[at].layout).ok_or(Error::NoTexts)?;
    let mut samples = std::mem::take(&mut stage.crew(chosen)?.samples);
    // The sessions of all layouts end: the sweep has the machine to itself.
    drop(stage);
    let limit = options.limit.mul_f64(SWEEP).min(Duration::from_secs(5));
    samples.append(&mut Workers::sweep(&options.source, chosen, limit)?.samples);
    Ok(Tuning { chosen, candidates, tried, samples })
}

/// The best of what was measured longest of each layout.
fn best_of_each(layouts: &[Layout], tried: &[Tried]) -> Vec<Tried> {
    let own = |layout: &Layout| tried.iter().filter(|one| one.layout == *layout).cloned().collect::<Vec<_>>();
    layouts.iter().filter_map(|layout| search::best(&own(layout)).cloned()).collect()
}
