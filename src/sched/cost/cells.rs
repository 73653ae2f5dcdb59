//! The rough part of the cost: how much a measured shape departs from the smooth fit.
//!
//! A grid of (rows, length) cells; each keeps the running time a padded token and the shape it was
//! measured at. Departures are taken from the fit of the day, so that a fit that moves does not carry the
//! cells along. A cell without evidence borrows from its neighbours, and with none of those follows
//! the trend: unknown shapes get tried, measured, and then known.

use super::fit::Fit;

/// The batch sizes told apart; optima are searched among these.
pub(in crate::sched) const ROW_STEPS: [u32; 17] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512];
const LEN_STEPS: usize = 28;
/// How much the newest time counts once a cell has evidence.
const GAIN: f64 = 0.2;
/// Evidence, in observations, that the trend is worth.
const SHRINK: f64 = 0.5;
/// What a neighbour's evidence is worth beside the cell's own.
const NEIGHBOUR: f64 = 0.15;
/// One observation moves a known cell by at most this factor, so that one hiccup does not.
const CLIP: f64 = 1.5;

/// What was measured of the shapes of one cell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// Observations, up to a bound.
    count: f64,
    /// Nanoseconds a padded token.
    pub(super) token: f64,
    /// The mean shape it was measured at.
    pub(super) rows: f64,
    pub(super) len: f64,
}

/// Departures from the fit over the grid.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    /// Measured ÷ fitted, blended over neighbours, as of the last refresh.
    smooth: Vec<f32>,
    /// The cells with evidence.
    known: Vec<usize>,
    /// Scratch of a refresh: (weighted ratios, weights).
    pour: Vec<(f64, f64)>,
}

impl Default for Cells {
    fn default() -> Self {
        let n = ROW_STEPS.len() * LEN_STEPS;
        Self { cells: vec![Cell::default(); n], smooth: vec![1.0; n], known: Vec::new(), pour: vec![(1.0, 1.0); n] }
    }
}

impl Cells {
    /// The factor by which the fit is off at this shape, as far as is known.
    pub(super) fn correction(&self, rows: u32, len: u32) -> f64 {
        f64::from(self.smooth[index(row_step(rows), len_step(len))])
    }

    pub(super) fn measured(&self, rows: u32, len: u32) -> bool {
        self.cells[index(row_step(rows), len_step(len))].count > 0.0
    }

    /// At most `limit` cells with evidence, those with the most, by length and rows.
    pub(super) fn most_measured(&self, limit: usize) -> Vec<&Cell> {
        let mut known: Vec<&Cell> = self.known.iter().map(|&at| &self.cells[at]).collect();
        known.sort_by(|a, b| b.count.total_cmp(&a.count));
        known.truncate(limit);
        known.sort_by(|a, b| a.len.total_cmp(&b.len).then(a.rows.total_cmp(&b.rows)));
        known
    }

    pub(super) fn observe(&mut self, rows: u32, len: u32, took: f64) {
        let at = index(row_step(rows), len_step(len));
        let cell = &mut self.cells[at];
        if cell.count == 0.0 {
            self.known.push(at);
        }
        let (rows, len) = (f64::from(rows), f64::from(len));
        let mut token = took / (rows * len);
        if cell.count >= 3.0 {
            token = token.clamp(cell.token / CLIP, cell.token * CLIP);
        }
        let gain = GAIN.max(1.0 / (cell.count + 1.0));
        cell.token += (token - cell.token) * gain;
        cell.rows += (rows - cell.rows) * gain;
        cell.len += (len - cell.len) * gain;
        cell.count = (cell.count + 1.0).min(64.0);
    }

    /// Takes all departures anew from `fit`.
    pub(super) fn refresh(&mut self, fit: &Fit) {
        // Only cells near evidence can change: each known one pours its ratio into its neighbours.
        let Self { cells, smooth, known, pour } = self;
        for &at in known.iter() {
            around(at, |n, _| pour[n] = (SHRINK, SHRINK));
        }
        for &at in known.iter() {
            let cell = &cells[at];
            let fitted = fit.time(cell.rows, cell.len);
            let ratio = if fitted > 0.0 { cell.token * cell.rows * cell.len / fitted } else { 1.0 };
            around(at, |n, own| {
                let weight = if own { cell.count } else { NEIGHBOUR * cell.count.min(4.0) };
                pour[n].0 += weight * ratio;
                pour[n].1 += weight;
            });
        }
        for &at in known.iter() {
            around(at, |n, _| smooth[n] = (pour[n].0 / pour[n].1) as f32);
        }
    }

    /// The same times with next to no weight: a starting point, not evidence.
    pub(super) fn faded(&self) -> Self {
        let fade = |cell: &Cell| Cell { count: cell.count.min(1.0), ..*cell };
        Self { cells: self.cells.iter().map(fade).collect(), ..self.clone() }
    }
}

/// Visits a cell and its neighbours; says which is the cell itself.
fn around(at: usize, mut visit: impl FnMut(usize, bool)) {
    let (r, l) = (at / LEN_STEPS, at % LEN_STEPS);
    for nr in r.saturating_sub(1)..=(r + 1).min(ROW_STEPS.len() - 1) {
        for nl in l.saturating_sub(1)..=(l + 1).min(LEN_STEPS - 1) {
            let n = index(nr, nl);
            visit(n, n == at);
        }
    }
}

fn index(row_step: usize, len_step: usize) -> usize {
    row_step * LEN_STEPS + len_step
}

/// The cell of a batch size: the nearest step at or below it.
fn row_step(rows: u32) -> usize {
    ROW_STEPS.partition_point(|&s| s <= rows.max(1)) - 1
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
