//! The smooth part of the cost: t = a₀ + a₁·B·S + a₂·B·S², coefficients ≥ 0.
//!
//! Exponentially weighted normal equations, each observation weighted by 1/t² so that relative errors
//! count, less where it is far off (Huber's weights), with a ridge towards the solution before. The 3×3
//! system is solved over all active sets and the best non-negative solution kept: plain recursive least
//! squares goes negative. While one shape dominates, the ridge keeps what it says nothing about.

use serde::{Deserialize, Serialize};

/// Units that bring the three terms to like size: one run, 100 tokens, 10 000 squared tokens.
const SCALE: [f64; 3] = [1.0, 1.0 / 100.0, 1.0 / 10_000.0];
/// How much of the past one observation fades.
const FADE: f64 = 0.99;
/// Weight of the ridge, in observations.
const RIDGE: f64 = 0.05;

/// Observations after which the trend is known well enough to tell what is far off it.
const TRUST: u32 = 16;
/// How far, relatively, an observation may be off the trend and count in full.
const OFF: f64 = 0.25;

/// No coefficient read back is larger: a run of a quarter of an hour.
const MOST: f64 = 1e12;
/// No sum over runs is larger: none is faster than a nanosecond.
const MOST_SUMMED: f64 = 1e30;
/// How far apart, relatively, two numbers may be that are one but for rounding.
const ROUNDING: f64 = 1e-9;

type Vec3 = [f64; 3];
type Mat3 = [Vec3; 3];

/// The fit of one device under one load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fit {
    normal: Mat3,
    target: Vec3,
    theta: Vec3,
    seen: u32,
}

impl Fit {
    pub(super) fn known(&self) -> bool {
        self.seen > 0
    }

    /// Nanoseconds for `rows` at padded length `len`.
    pub(super) fn time(&self, rows: f64, len: f64) -> f64 {
        dot(&self.theta, &terms(rows, len))
    }

    /// Nanoseconds of a batch at this length: the fixed part, and that of each row.
    pub(super) fn line(&self, len: f64) -> (f64, f64) {
        let [fixed, ..] = self.theta;
        (fixed * SCALE[0], self.theta[1] * (len * SCALE[1]) + self.theta[2] * (len * len * SCALE[2]))
    }

    /// Takes an observation in; [`solve`](Self::solve) makes it count.
    pub(super) fn observe(&mut self, rows: u32, len: u32, took: f64) {
        let x = terms(f64::from(rows), f64::from(len));
        if self.seen == 0 && self.theta == [0.0; 3] {
            // The first run alone: as if half were fixed and half went with the tokens.
            self.theta = [took / 2.0, took / 2.0 / x[1], 0.0];
        }
        // Relative errors count, and those far off the trend count less: they are the cells' affair.
        let fitted = if self.seen < TRUST { took } else { dot(&self.theta, &x) };
        // A run far faster than the trend would else weigh as much as it is faster.
        let (off, scale) = ((fitted / took - 1.0).abs(), took.max(fitted / (1.0 + OFF)));
        let weight = (OFF / off.max(OFF)) / (scale * scale);
        for i in 0..3 {
            for j in 0..3 {
                self.normal[i][j] = self.normal[i][j] * FADE + weight * x[i] * x[j];
            }
            self.target[i] = self.target[i] * FADE + weight * x[i] * took;
        }
        self.seen = self.seen.saturating_add(1);
    }

    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    pub(super) fn coefficients(&self) -> Vec3 {
        [self.theta[0] * SCALE[0], self.theta[1] * SCALE[1], self.theta[2] * SCALE[2]]
    }

    /// A fit that knows nothing yet but leans towards this one.
    pub(super) fn as_prior(&self) -> Self {
        Self { theta: self.theta, ..Self::default() }
    }

    /// The same fit of runs that all took `factor` times as long.
    pub(super) fn rescale(&mut self, factor: f64) {
        for i in 0..3 {
            // Each run weighs about 1/t²: A = Σ xxᵀ/t² and b = Σ x/t.
            self.normal[i] = self.normal[i].map(|a| a / (factor * factor));
            self.target[i] /= factor;
            self.theta[i] *= factor;
        }
    }

    /// Whether it could have come from runs: bounded, non-negative, symmetric, and so to stay.
    pub(super) fn is_sound(&self) -> bool {
        let sound = |x: &f64| (0.0..MOST_SUMMED).contains(x);
        let a = &self.normal;
        let alike = |x: f64, y: f64| (x - y).abs() <= ROUNDING * x.max(y);
        let symmetric = (0..3).all(|i| (0..i).all(|j| alike(a[i][j], a[j][i])));
        let positive = self.theta.iter().any(|t| *t > 0.0) && self.seen > 0;
        let all = a.iter().flatten().chain(&self.target).chain(&self.theta).all(sound);
        // What the next run would make of it counts too.
        let mut next = self.clone();
        next.solve();
        all && symmetric && positive && self.theta.iter().chain(&next.theta).all(|t| *t < MOST)
    }

    pub(super) fn solve(&mut self) {
        let mut a = self.normal;
        let mut b = self.target;
        for i in 0..3 {
            // A ridge in proportion to the evidence, so that it neither vanishes nor dominates.
            let ridge = RIDGE * self.normal[i][i].max(f64::MIN_POSITIVE) / f64::from(self.seen.min(64));
            a[i][i] += ridge;
            b[i] += ridge * self.theta[i];
        }
        let mut best: Option<(f64, Vec3)> = None;
        for set in 1..8_u8 {
            let Some(theta) = solve_subset(&a, &b, set) else {
                continue;
            };
            if theta.iter().any(|&t| t < 0.0) {
                continue;
            }
            let cost = quadratic(&a, &b, &theta);
            if best.is_none_or(|(c, _)| cost < c) {
                best = Some((cost, theta));
            }
        }
        if let Some((_, theta)) = best {
            self.theta = theta;
        }
    }
}

fn terms(rows: f64, len: f64) -> Vec3 {
    let tokens = rows * len;
    [SCALE[0], tokens * SCALE[1], tokens * len * SCALE[2]]
}

fn dot(a: &Vec3, b: &Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// ½θᵀAθ − bᵀθ: what least squares minimises, up to a constant.
fn quadratic(a: &Mat3, b: &Vec3, theta: &Vec3) -> f64 {
    let product = [dot(&a[0], theta), dot(&a[1], theta), dot(&a[2], theta)];
    0.5 * dot(&product, theta) - dot(b, theta)
}

/// Solves for the variables in the bit set `set`, the others zero; `None` if singular.
fn solve_subset(a: &Mat3, b: &Vec3, set: u8) -> Option<Vec3> {
    let mut m = [[0.0; 4]; 3];
    for i in 0..3 {
        let active = set >> i & 1 == 1;
        for j in 0..3 {
            let both = active && set >> j & 1 == 1;
            m[i][j] = if both { a[i][j] } else { f64::from(u8::from(i == j)) };
        }
        m[i][3] = if active { b[i] } else { 0.0 };
    }
    for column in 0..3 {
        let pivot = (column..3).max_by(|&i, &j| m[i][column].abs().total_cmp(&m[j][column].abs()))?;
        m.swap(column, pivot);
        let divisor = m[column][column];
        if divisor.abs() < f64::MIN_POSITIVE || !divisor.is_finite() {
            return None;
        }
        for row in 0..3 {
            if row != column {
                let factor = m[row][column] / divisor;
                let reduced = m[column];
                for (cell, above) in m[row].iter_mut().zip(reduced).skip(column) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let theta = [m[0][3] / m[0][0], m[1][3] / m[1][1], m[2][3] / m[2][2]];
    theta.iter().all(|t| t.is_finite()).then_some(theta)
}
