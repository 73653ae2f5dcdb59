//! The search for the most rows a second: a short look at everything, then a longer one at the best.
//!
//! Decides what is measured next, for how long, and what is given up early. Runs nothing itself.

use super::Layout;
use serde::Serialize;
use std::time::Duration;

/// The share of the time that the short looks take.
const COARSE: f64 = 0.5;
/// A layout that does less than this share of the best after two budgets is given up.
const HOPELESS: f64 = 0.7;
/// Trials this close to the best, as a share, are measured longer.
const FINALIST: f64 = 0.9;
/// At most so many.
const FINALISTS: usize = 3;
/// Passes of each that the time is meant for, and the most: the median of them counts.
const USUAL_ROUNDS: u32 = 5;
const MOST_ROUNDS: usize = 9;
/// How long a pass is, at least and at most.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// What one pass measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) layout: Layout,
    /// Rows × longest of a batch, at most.
    pub(super) budget: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pass {
    pub(super) rps: f64,
    pub(super) padding_efficiency: f64,
}

/// Who measures.
pub(super) trait Bench {
    /// Why it cannot.
    type Error;

    /// Runs a trial for about `time`.
    fn pass(&mut self, trial: Trial, time: Duration) -> Result<Pass, Self::Error>;

    /// Is told that a layout is measured no more.
    fn leave(&mut self, layout: Layout);

    /// Since the start.
    fn elapsed(&self) -> Duration;
}

/// What was measured of one layout and budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The sessions.
    #[serde(flatten)]
    pub layout: Layout,
    /// Rows × longest of a batch, at most.
    pub budget_tokens: u32,
    /// Rows a second: of a finalist the median, else of the one short look.
    pub rps: f64,
    /// The share of tokens that were no padding.
    pub padding_efficiency: f64,
    /// Longer passes; 0 for what was only looked at.
    pub passes: usize,
}

/// Looks at every layout and budget, the likeliest first, then measures the best longer, in turns, so that what
/// slows the machine for a while slows all of them. The best budget of each layout goes before a second one of
/// the same. Ends within `limit` but for the passes of a turn; each layout has been looked at once and each finalist
/// measured once even where the model is so slow that this takes longer.
pub(super) fn search<B: Bench>(
    layouts: &[Layout],
    budgets: &[u32],
    limit: Duration,
    bench: &mut B,
) -> Result<Vec<Tried>, B::Error> {
    let mut tried = coarse(layouts, budgets, limit.mul_f64(COARSE), bench)?;
    let finalists = finalists(&tried);
    for layout in layouts.iter().filter(|layout| finalists.iter().all(|at| tried[*at].layout != **layout)) {
        bench.leave(*layout);
    }
    fine(&mut tried, &finalists, limit, bench)?;
    Ok(tried)
}

/// The best of what was measured longest.
pub(super) fn best(tried: &[Tried]) -> Option<&Tried> {
    let measured = tried.iter().filter(|one| one.passes > 0);
    measured.max_by(|a, b| a.rps.total_cmp(&b.rps))
}

fn coarse<B: Bench>(
    layouts: &[Layout],
    budgets: &[u32],
    limit: Duration,
    bench: &mut B,
) -> Result<Vec<Tried>, B::Error> {
    let mut tried: Vec<Tried> = Vec::new();
    for (index, layout) in layouts.iter().enumerate() {
        // What others left over is shared.
        let begun = bench.elapsed();
        let share = limit.saturating_sub(begun) / (layouts.len() - index) as u32;
        let time = (share / (budgets.len() as u32 + 2)).clamp(SHORTEST, LONGEST);
        let others = tried.iter().map(|one| one.rps).fold(0.0, f64::max);
        let mut own: f64 = 0.0;
        for (nth, budget) in budgets.iter().enumerate() {
            if nth > 0 && bench.elapsed() > begun + share || nth == 2 && own < others * HOPELESS {
                break;
            }
            let Pass { rps, padding_efficiency } = bench.pass(Trial { layout: *layout, budget: *budget }, time)?;
            own = own.max(rps);
            tried.push(Tried { layout: *layout, budget_tokens: *budget, rps, padding_efficiency, passes: 0 });
        }
        if own < others * HOPELESS {
            bench.leave(*layout);
        }
    }
    Ok(tried)
}

/// The places of what is measured longer, the best first.
fn finalists(tried: &[Tried]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tried.len()).collect();
    order.sort_by(|a, b| tried[*b].rps.total_cmp(&tried[*a].rps));
    let least = order.first().map_or(0.0, |at| tried[*at].rps * FINALIST);
    let (mut firsts, mut others) = (Vec::new(), Vec::new());
    for at in order.into_iter().filter(|at| tried[*at].rps >= least) {
        let is_first = firsts.iter().all(|first: &usize| tried[*first].layout != tried[at].layout);
        if is_first { firsts.push(at) } else { others.push(at) }
    }
    firsts.into_iter().chain(others).take(FINALISTS).collect()
}

fn fine<B: Bench>(tried: &mut [Tried], finalists: &[usize], limit: Duration, bench: &mut B) -> Result<(), B::Error> {
    let trial = |at: &usize| Trial { layout: tried[*at].layout, budget: tried[*at].budget_tokens };
    let trials: Vec<Trial> = finalists.iter().map(trial).collect();
    for ((rps, passes), at) in in_turns(&trials, limit, bench)?.into_iter().zip(finalists) {
        (tried[*at].rps, tried[*at].passes) = (rps, passes);
    }
    Ok(())
}

/// Measures trials in turns until `limit`, each once at least; the median of each, and of how many.
pub(super) fn in_turns<B: Bench>(
    trials: &[Trial],
    limit: Duration,
    bench: &mut B,
) -> Result<Vec<(f64, usize)>, B::Error> {
    let left = limit.saturating_sub(bench.elapsed());
    let count = trials.len().max(1) as u32;
    let time = (left / (count * USUAL_ROUNDS)).clamp(SHORTEST, LONGEST);
    let mut measured = vec![Vec::new(); trials.len()];
    for round in 0..MOST_ROUNDS {
        if round > 0 && bench.elapsed() + time * count > limit {
            break;
        }
        for (runs, trial) in measured.iter_mut().zip(trials) {
            runs.push(bench.pass(*trial, time)?.rps);
        }
    }
    Ok(measured.into_iter().map(median).collect())
}

fn median(mut runs: Vec<f64>) -> (f64, usize) {
    runs.sort_by(f64::total_cmp);
    (runs[runs.len() / 2], runs.len())
}

#[cfg(test)]
mod tests;
