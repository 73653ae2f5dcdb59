//! Where trials are measured on the machine itself.
//!
//! Decides how many rows fill a time. Keeps the sessions of a layout until told that they are wanted no more.

use super::rows::{Batches, Rows};
use super::search::{Bench, Pass, Trial};
use super::{Error, Layout, Source};
use crate::clock;
use crate::exec::Prepared;
use crate::types::Time;
use std::time::Duration;

/// Rows of the first passes of a layout, which tell how many fill a time; the first that takes as long as this is
/// the last.
const PILOTS: [usize; 3] = [2, 8, 32];
const PILOT: Duration = Duration::from_millis(50);
/// Fewest rows of a pass.
const FEWEST: usize = 8;
/// Most rows that lie ready at once; a longer pass takes them again.
const MOST: usize = 4096;
/// Tokens of a batch of the first passes.
const BUDGET: u32 = 512;
/// How long a short row is measured, and how often at least and at most.
const SHORT: Duration = Duration::from_millis(300);
const SHORT_RUNS: std::ops::RangeInclusive<usize> = 3..=101;

/// The sessions of one layout.
pub(super) trait Crew: Sized {
    /// Makes them. Blocks for as long as that takes.
    fn start(source: &Source, layout: Layout) -> Result<Self, Error>;

    /// Runs all batches `rounds` times, shared among the sessions; answers how long that took.
    fn pass(&mut self, batches: &Batches, rounds: usize) -> Result<Duration, Error>;

    /// How long one session takes for a batch of these rows and length while the others wait.
    fn alone(&mut self, batch: &Prepared, shape: (u32, u32)) -> Result<Duration, Error>;
}

/// The machine.
#[derive(Debug)]
pub(super) struct Stage<'a, C> {
    source: &'a Source,
    rows: &'a Rows,
    most_rows: usize,
    crews: Vec<Known<C>>,
    start: Time,
}

/// A layout's sessions, and the rows a second they last did.
#[derive(Debug)]
struct Known<C> {
    layout: Layout,
    crew: C,
    rps: f64,
}

impl<'a, C: Crew> Stage<'a, C> {
    pub(super) fn new(source: &'a Source, rows: &'a Rows, most_rows: usize) -> Self {
        Self { source, rows, most_rows, crews: Vec::new(), start: clock::now() }
    }

    /// The sessions of a layout, made and warm.
    pub(super) fn crew(&mut self, layout: Layout) -> Result<&mut C, Error> {
        let at = self.place(layout)?;
        Ok(&mut self.crews[at].crew)
    }

    fn place(&mut self, layout: Layout) -> Result<usize, Error> {
        if let Some(at) = self.crews.iter().position(|known| known.layout == layout) {
            return Ok(at);
        }
        let mut crew = C::start(self.source, layout)?;
        let mut rps = 0.0;
        for rows in PILOTS {
            let batches = self.rows.batches(rows, BUDGET, self.most_rows)?;
            let took = crew.pass(&batches, layout.instances)?;
            rps = rate(rows * layout.instances, took);
            if took > PILOT {
                break;
            }
        }
        self.crews.push(Known { layout, crew, rps });
        Ok(self.crews.len() - 1)
    }

    /// Milliseconds of the shortest row alone: the median of many.
    pub(super) fn short_row(&mut self, layout: Layout) -> Result<f64, Error> {
        let (batch, shape) = self.rows.short()?;
        let crew = self.crew(layout)?;
        crew.alone(&batch, shape)?;
        let end = clock::now() + SHORT;
        let mut runs = Vec::new();
        while runs.len() < *SHORT_RUNS.start() || (runs.len() < *SHORT_RUNS.end() && clock::now() < end) {
            runs.push(crew.alone(&batch, shape)?);
        }
        runs.sort_unstable();
        Ok(runs[runs.len() / 2].as_secs_f64() * 1e3)
    }
}

fn rate(rows: usize, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64().max(1e-9)
}

impl<C: Crew> Bench for Stage<'_, C> {
    type Error = Error;

    fn pass(&mut self, trial: Trial, time: Duration) -> Result<Pass, Error> {
        let at = self.place(trial.layout)?;
        let Known { crew, rps, .. } = &mut self.crews[at];
        let wanted = (*rps * time.as_secs_f64()) as usize;
        let fewest = FEWEST.max(trial.layout.instances * 2);
        let batches = self.rows.batches(wanted.clamp(fewest, MOST.max(fewest)), trial.budget, self.most_rows)?;
        let rounds = (wanted / batches.rows).max(1);
        let took = crew.pass(&batches, rounds)?;
        *rps = rate(batches.rows * rounds, took);
        Ok(Pass { rps: *rps, padding_efficiency: batches.efficiency })
    }

    fn leave(&mut self, layout: Layout) {
        self.crews.retain(|known| known.layout != layout);
    }

    fn elapsed(&self) -> Duration {
        clock::now().since(self.start)
    }
}
