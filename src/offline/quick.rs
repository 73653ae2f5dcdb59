//! A quick comparison of two layouts, for a start that nobody has tuned.
//!
//! Decides when it is too dear to make. Writes nothing down.

use super::rows::Rows;
use super::search::{Trial, in_turns};
use super::stage::Stage;
use super::workers::Workers;
use super::{Error, Layout, MOST_ROWS, Source};
use crate::clock;
use std::time::Duration;

/// How much better than the usual one another layout must be: what is found in so little time is not exact, and one
/// session computes nothing while its batch is put together or taken apart.
const CLEARLY: f64 = 1.25;
/// The share of the time that the first sessions may take to load.
const LOADING: u32 = 3;

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preferred {
    /// The better one; the usual one unless the other is clearly better.
    pub layout: Layout,
    /// Rows a second of the usual one.
    pub usual: f64,
    /// Of the other.
    pub other: f64,
}

/// Compares two layouts on made-up rows, within about `limit`. Blocks. `None` where the model is too slow to load or
/// to run for that.
///
/// # Errors
/// When the model cannot be run.
pub fn prefer(source: &Source, usual: Layout, other: Layout, limit: Duration) -> Result<Option<Preferred>, Error> {
    let rows = Rows::new(source, &[])?;
    let Some(budget) = rows.budgets(MOST_ROWS).first().copied() else { return Ok(None) };
    let mut stage: Stage<'_, Workers> = Stage::new(source, &rows, MOST_ROWS);
    let start = clock::now();
    stage.crew(usual)?;
    if clock::now().since(start) > limit / LOADING {
        return Ok(None);
    }
    stage.crew(other)?;
    let trials = [usual, other].map(|layout| Trial { layout, budget });
    let found = in_turns(&trials, limit, &mut stage)?;
    let [(usual_rps, passes), (other_rps, _)] = found[..] else { return Ok(None) };
    Ok((passes > 2).then_some(Preferred {
        layout: if other_rps > usual_rps * CLEARLY { other } else { usual },
        usual: usual_rps,
        other: other_rps,
    }))
}
