//! The rough part of the cost: how much a measured shape departs from the smooth fit.
//!
//! A grid of (rows, length) cells; each keeps the running time a padded token of the shape it was first
//! measured at. Runs of other shapes of the cell are carried over to that one along the fit. Departures are taken from the fit of
//! the day, so that a fit that moves does not carry the cells along. A cell without evidence borrows from its
//! neighbours, and with none of those follows the trend: unknown shapes get tried, measured, and then known.

use super::fit::Fit;
use serde::{Deserialize, Serialize};

/// The batch sizes told apart; optima are searched among these.
pub(in crate::sched) const ROW_STEPS: [u32; 17] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512];
const LEN_STEPS: usize = 28;
/// The same with a border.
const BORDERED: usize = LEN_STEPS + 2;
/// The cell of each batch size, up to the last.
const STEP_OF: [u8; 513] = {
    let mut of = [0; 513];
    let (mut rows, mut step) = (1, 0);
    while rows < of.len() {
        if step + 1 < ROW_STEPS.len() && rows as u32 >= ROW_STEPS[step + 1] {
            step += 1;
        }
        of[rows] = step as u8;
        rows += 1;
    }
    of
};
/// How much the newest time counts once a cell has evidence.
const GAIN: f64 = 0.05;
/// Evidence, in observations, that the trend is worth.
const SHRINK: f64 = 0.5;
/// What a neighbour's evidence is worth beside the cell's own.
const NEIGHBOUR: f64 = 0.15;
/// Observations after which a cell is known: what is far off it may be an outlier.
pub(super) const KNOWN: f64 = 3.0;
/// The most observations a cell's evidence counts as.
const MOST: f64 = 64.0;
/// One observation of a known cell counts as at most so far off, as a logarithm.
const CLIP: f64 = 0.25;
/// How much the newest counts in which way a cell's runs lean.
const LEANING: f64 = 0.3;
/// From here on they lean one way: the cell's time has changed, and is followed with [`CHANGED`].
const LEAN: f64 = 0.7;
const CHANGED: f64 = 0.3;
/// What was measured n times counts half as much once n times so many runs were of other shapes: the trend
/// wins in the end, and the shape is tried again, each time after longer.
const FRESH: f64 = 200.0;
/// A second run so much faster than the first, as a logarithm, shows that the first paid for the shape.
const WARM: f64 = 0.4;

/// Something of the grid, with its place.
pub(super) type Placed<T> = (usize, T);

/// What was measured of the shapes of one cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    /// Observations, up to a bound.
    count: f64,
    /// Nanoseconds a padded token.
    pub(super) token: f64,
    /// The shape it was first measured at.
    pub(super) rows: f64,
    pub(super) len: f64,
    /// Which way the last runs were off, -1 to 1.
    lean: f64,
    /// How many runs the fit had seen when it was last measured.
    last: u32,
}

/// Departures from the fit over the grid.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    /// Measured ÷ fitted, blended over neighbours, as of the last refresh.
    smooth: Vec<f32>,
    /// The cells with evidence.
    known: Vec<usize>,
    /// Scratch of a refresh: (weighted ratios, weights) of the cells and of a border around them.
    pour: Vec<(f64, f64)>,
}

/// By how much the fit is off at one length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Corrections<'a>(&'a [f32]);

impl Default for Cells {
    fn default() -> Self {
        let n = ROW_STEPS.len() * LEN_STEPS;
        let pour = vec![(1.0, 1.0); (ROW_STEPS.len() + 2) * BORDERED];
        Self { cells: vec![Cell::default(); n], smooth: vec![1.0; n], known: Vec::new(), pour }
    }
}

impl Cells {
    /// The factors by which the fit is off at this length, as far as is known.
    pub(super) fn corrections(&self, len: u32) -> Corrections<'_> {
        Corrections(&self.smooth[len_step(len)..])
    }

    /// How many runs of about this shape were measured, up to a bound.
    pub(super) fn evidence(&self, rows: u32, len: u32) -> f64 {
        self.cells[index(row_step(rows), len_step(len))].count
    }

    /// At most `limit` cells with evidence, those with the most, by length and rows.
    pub(super) fn most_measured(&self, limit: usize) -> Vec<&Cell> {
        let mut known: Vec<&Cell> = self.known.iter().map(|&at| &self.cells[at]).collect();
        known.sort_by(|a, b| b.count.total_cmp(&a.count));
        known.truncate(limit);
        known.sort_by(|a, b| a.len.total_cmp(&b.len).then(a.rows.total_cmp(&b.rows)));
        known
    }

    /// Takes a run in, of which `fit` tells how the shapes of a cell differ.
    pub(super) fn observe(&mut self, rows: u32, len: u32, took: f64, fit: &Fit) {
        let at = index(row_step(rows), len_step(len));
        let cell = &mut self.cells[at];
        if cell.count == 0.0 {
            self.known.push(at);
        }
        let (rows, len) = (f64::from(rows), f64::from(len));
        if cell.count > 0.0 {
            let here = fit.time(rows, len);
            let there = if here > 0.0 { took * fit.time(cell.rows, cell.len) / here } else { took };
            if cell.observe(there / (cell.rows * cell.len), fit.seen()) {
                return;
            }
        }
        *cell = Cell { count: 1.0, token: took / (rows * len), rows, len, lean: 0.0, last: fit.seen() };
    }

    /// The same cells of runs that all took `factor` times as long.
    pub(super) fn rescale(&mut self, factor: f64) {
        for &at in &self.known {
            self.cells[at].token *= factor;
        }
    }

    /// Takes all departures anew from `fit`: each known cell pours its ratio into itself and into its neighbours.
    pub(super) fn refresh(&mut self, fit: &Fit) {
        let Self { cells, smooth, known, pour } = self;
        pour.fill((SHRINK, SHRINK));
        for &at in known.iter() {
            let cell = &cells[at];
            let fitted = fit.time(cell.rows, cell.len);
            let ratio = if fitted > 0.0 { cell.token * cell.rows * cell.len / fitted } else { 1.0 };
            let own = cell.weight(fit.seen());
            let near = NEIGHBOUR * own.min(4.0);
            let mut add = |at: usize, weight: f64| {
                pour[at].0 += weight * ratio;
                pour[at].1 += weight;
            };
            // The border takes what falls over the edge.
            let corner = at / LEN_STEPS * BORDERED + at % LEN_STEPS;
            for row in 0..3 {
                (0..3).for_each(|step| add(corner + row * BORDERED + step, near));
            }
            add(corner + BORDERED + 1, own - near);
        }
        for (smooth, pour) in smooth.chunks_exact_mut(LEN_STEPS).zip(pour.chunks_exact(BORDERED).skip(1)) {
            for (factor, (ratios, weights)) in smooth.iter_mut().zip(&pour[1..]) {
                *factor = (ratios / weights) as f32;
            }
        }
    }

    /// The same times with next to no weight: a starting point, not evidence.
    pub(super) fn faded(&self) -> Self {
        let fade = |cell: &Cell| Cell { count: cell.count.min(1.0), last: 0, ..*cell };
        Self { cells: self.cells.iter().map(fade).collect(), ..self.clone() }
    }

    /// Every cell with evidence and every departure, with their places.
    pub(super) fn kept(&self) -> (Vec<Placed<Cell>>, Vec<Placed<f32>>) {
        let departs = |(_, factor): &(usize, f32)| *factor != 1.0;
        let cells = self.known.iter().map(|&at| (at, self.cells[at])).collect();
        (cells, self.smooth.iter().copied().enumerate().filter(departs).collect())
    }

    /// The cells as they were [`kept`](Self::kept); `None` where these could not have come from runs.
    pub(super) fn resumed(cells: &[Placed<Cell>], departures: &[Placed<f32>]) -> Option<Self> {
        let mut resumed = Self::default();
        for &(at, cell) in cells {
            let slot = resumed.cells.get_mut(at).filter(|slot| slot.count == 0.0 && cell.is_sound(at))?;
            *slot = cell;
            resumed.known.push(at);
        }
        for &(at, factor) in departures {
            *resumed.smooth.get_mut(at).filter(|_| (1e-4..1e4).contains(&factor))? = factor;
        }
        Some(resumed)
    }
}

impl Cell {
    /// What its evidence still counts as, in observations, after so many runs of the fit.
    fn weight(&self, seen: u32) -> f64 {
        let others = f64::from(seen.saturating_sub(self.last));
        self.count * (-others / (FRESH * self.count)).exp2()
    }

    /// Takes in the time a token of one more run at its shape, unless that shows that the first run was none
    /// of the usual; answers which.
    fn observe(&mut self, token: f64, seen: u32) -> bool {
        let off = (token / self.token).ln();
        if self.count <= 1.0 && off < -WARM {
            return false;
        }
        self.lean += ((off / CLIP).clamp(-1.0, 1.0) - self.lean) * LEANING;
        let (changed, weight) = (self.lean.abs() > LEAN, self.weight(seen));
        let gain = (1.0 / (weight + 1.0)).max(if changed { CHANGED } else { GAIN });
        let most = if weight < KNOWN || changed { f64::INFINITY } else { CLIP };
        self.token *= (gain * off.clamp(-most, most)).exp();
        self.count = (self.count + 1.0).min(MOST);
        self.last = seen;
        true
    }

    /// Whether it could have come from runs of the cell at this place.
    fn is_sound(&self, at: usize) -> bool {
        let sizes = (1.0..1e9).contains(&self.rows) && (1.0..1e9).contains(&self.len);
        let counts = self.count > 0.0 && self.count <= MOST && self.lean.abs() <= 1.0;
        let there = sizes && index(row_step(self.rows.round() as u32), len_step(self.len.round() as u32)) == at;
        there && counts && (1e-6..1e12).contains(&self.token)
    }
}

impl Corrections<'_> {
    /// The factor for a batch of so many rows.
    pub(super) fn of(&self, rows: u32) -> f64 {
        f64::from(self.0[index(row_step(rows), 0)])
    }
}

fn index(row_step: usize, len_step: usize) -> usize {
    row_step * LEN_STEPS + len_step
}

/// The cell of a batch size: the nearest step at or below it.
fn row_step(rows: u32) -> usize {
    usize::from(STEP_OF[(rows as usize).min(STEP_OF.len() - 1)])
}

/// The cell of a length: steps of about a quarter, from 8.
fn len_step(len: u32) -> usize {
    if len <= 8 {
        return 0;
    }
    // Four steps an octave: the position of the highest bit and the two bits below it.
    let bits = 31 - len.leading_zeros();
    let quarter = (len >> (bits - 2)) & 3;
    (((bits - 3) * 4 + quarter) as usize).min(LEN_STEPS - 1)
}
