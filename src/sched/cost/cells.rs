//! The rough part of the cost: how much a measured shape departs from the smooth fit.
//!
//! A grid of (rows, length) cells; each keeps a running ratio measured ÷ fitted. A cell without
//! evidence borrows from its neighbours, and with none of those answers 1: unknown shapes are
//! believed to follow the trend, so they get tried, measured, and then known.

/// The batch sizes told apart; optima are searched among these.
pub(in crate::sched) const ROW_STEPS: [u32; 17] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512];
const LEN_STEPS: usize = 28;
/// How much the newest ratio counts once a cell has evidence.
const GAIN: f64 = 0.2;
/// Evidence, in observations, that the trend is worth.
const SHRINK: f64 = 0.5;
/// What a neighbour's evidence is worth beside the cell's own.
const NEIGHBOUR: f64 = 0.15;
/// One observation moves a known cell by at most this factor, so that one hiccup does not.
const CLIP: f64 = 1.5;

/// Ratios measured ÷ fitted over the grid.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    ratio: Vec<f32>,
    count: Vec<f32>,
    smooth: Vec<f32>,
}

impl Default for Cells {
    fn default() -> Self {
        let n = ROW_STEPS.len() * LEN_STEPS;
        Self { ratio: vec![1.0; n], count: vec![0.0; n], smooth: vec![1.0; n] }
    }
}

impl Cells {
    /// The factor by which the fit is off at this shape, as far as is known.
    pub(super) fn correction(&self, rows: u32, len: u32) -> f64 {
        f64::from(self.smooth[row_step(rows) * LEN_STEPS + len_step(len)])
    }

    pub(super) fn measured(&self, rows: u32, len: u32) -> bool {
        self.count[row_step(rows) * LEN_STEPS + len_step(len)] > 0.0
    }

    pub(super) fn observe(&mut self, rows: u32, len: u32, ratio: f64) {
        let (r, l) = (row_step(rows), len_step(len));
        let i = r * LEN_STEPS + l;
        let (old, n) = (f64::from(self.ratio[i]), f64::from(self.count[i]));
        let ratio = if n >= 3.0 { ratio.clamp(old / CLIP, old * CLIP) } else { ratio.clamp(0.1, 10.0) };
        let gain = GAIN.max(1.0 / (n + 1.0));
        self.ratio[i] = (old + (ratio - old) * gain) as f32;
        self.count[i] = (n + 1.0).min(64.0) as f32;
        for r in r.saturating_sub(1)..=(r + 1).min(ROW_STEPS.len() - 1) {
            for l in l.saturating_sub(1)..=(l + 1).min(LEN_STEPS - 1) {
                self.smooth[r * LEN_STEPS + l] = self.blend(r, l) as f32;
            }
        }
    }

    /// The same ratios with next to no weight: a starting point, not evidence.
    pub(super) fn faded(&self) -> Self {
        let count = self.count.iter().map(|c| c.min(1.0)).collect();
        Self { ratio: self.ratio.clone(), count, smooth: self.smooth.clone() }
    }

    fn blend(&self, r: usize, l: usize) -> f64 {
        let (mut sum, mut weight) = (SHRINK, SHRINK);
        for nr in r.saturating_sub(1)..=(r + 1).min(ROW_STEPS.len() - 1) {
            for nl in l.saturating_sub(1)..=(l + 1).min(LEN_STEPS - 1) {
                let i = nr * LEN_STEPS + nl;
                let own = nr == r && nl == l;
                let n = f64::from(self.count[i]);
                let w = if own { n } else { NEIGHBOUR * n.min(4.0) };
                sum += w * f64::from(self.ratio[i]);
                weight += w;
            }
        }
        sum / weight
    }
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
