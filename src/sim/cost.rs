//! How long a batch takes in the virtual world: a trend, drawn towards what was measured.
//!
//! Does not learn: what the scheduler makes of the times is its own affair.

use std::time::Duration;

/// Weight of the trend, in points one octave away.
const TREND: f64 = 1.0;
/// A squared distance, in octaves, that no point is nearer than: it bounds a point's weight at a hundred trends.
const NEAREST: f64 = 0.01;
/// No run takes less.
const LEAST: Duration = Duration::from_micros(1);

/// The times of one model on one device, by the number of busy workers; at least one curve.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// The curves; a load without one has the nearest's.
    pub curves: Vec<Curve>,
    /// Milliseconds that a batch keeps its worker for besides the run: quantiles evenly apart, from the least to the
    /// most; a single one is what each takes, and none is nothing.
    pub handover_ms: Vec<f64>,
    /// How slow the device is, part by equal part of the time that arrivals take; empty or 1: as slow as usual.
    pub pace: Vec<f64>,
    /// How far runs are off their cost besides: quantiles of run ÷ cost likewise; none where they are not off.
    pub spread: Vec<f64>,
}

/// The times while so many workers are busy. All times are nanoseconds.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Busy workers of the device, the one that runs included.
    pub busy: u32,
    /// Time of a run, of a padded token, and of a padded token for each token of its row.
    pub coefficients: [f64; 3],
    /// What the smallest run takes.
    pub least: f64,
    /// What was measured.
    pub points: Vec<Point>,
}

/// A measured shape.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Rows.
    pub rows: f64,
    /// Padded length.
    pub len: f64,
    /// Nanoseconds such runs took.
    pub took: f64,
}

impl Cost {
    /// How long `rows` rows of `len` tokens take while `busy` workers run.
    pub(super) fn time(&self, rows: u32, len: u32, busy: u32) -> Duration {
        let nearest = self.curves.iter().min_by_key(|curve| curve.busy.abs_diff(busy));
        let time = nearest.map_or(0.0, |curve| curve.time(f64::from(rows), f64::from(len)));
        Duration::from_nanos(time as u64).max(LEAST)
    }
}

impl Cost {
    /// The pace at a share of the time that arrivals take; later, the last.
    pub(super) fn pace(&self, share: f64) -> f64 {
        let at = (share * self.pace.len() as f64) as usize;
        self.pace.get(at).or(self.pace.last()).copied().unwrap_or(1.0)
    }
}

impl Curve {
    fn trend(&self, rows: f64, len: f64) -> f64 {
        let [base, token, squared] = self.coefficients;
        (base + token * rows * len + squared * rows * len * len).max(self.least)
    }

    /// The trend times the mean factor by which the points are off it, near ones weighing most (inverse squared
    /// distance, in octaves of rows and length; Shepard 1968), and the trend itself in place of what is far.
    fn time(&self, rows: f64, len: f64) -> f64 {
        let (mut off, mut weights) = (0.0, TREND);
        for point in &self.points {
            let trend = self.trend(point.rows, point.len);
            if trend > 0.0 && point.took > 0.0 {
                let distance = (point.rows / rows).log2().powi(2) + (point.len / len).log2().powi(2);
                let weight = 1.0 / distance.max(NEAREST);
                off += weight * (point.took / trend).ln();
                weights += weight;
            }
        }
        self.trend(rows, len) * (off / weights).exp()
    }
}
