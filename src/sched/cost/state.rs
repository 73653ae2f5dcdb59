//! What was learned as data, to be kept while the program does not run.
//!
//! Decides what of a cost model is worth keeping and what read back is believed: all of it or nothing. Knows
//! no file and no format.

use super::cells::{Cell, Cells, Placed};
use super::curve::Curve;
use super::fit::Fit;
use super::margin::Margin;
use super::recent::Recent;
use super::shift::Shift;
use super::{CostModel, MAX_BUSY};
use serde::{Deserialize, Serialize};

/// The layout and meaning of [`CostState`]; one of another version is not believed.
const VERSION: u32 = 1;

/// What a cost model has learned: everything it needs to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostState {
    version: u32,
    observations: u64,
    error: f64,
    margin: Margin,
    recent: Recent,
    /// The known ones.
    curves: Vec<CurveState>,
}

/// One curve: the cells with evidence, the factors other than 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveState {
    /// Its place: busy workers − 1.
    at: usize,
    fit: Fit,
    cells: Vec<Placed<Cell>>,
    departures: Vec<Placed<f32>>,
}

/// Why what was read back is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not what a cost model of this version has learned: {0}")]
pub struct Unsound(&'static str);

impl CostState {
    /// Runs it was learned from.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.observations
    }
}

impl CostModel {
    /// What was learned so far. A device that is throttled now is kept as it usually is.
    #[must_use]
    pub fn state(&self) -> CostState {
        let known = self.by_busy.iter().enumerate().filter(|(_, curve)| curve.fit.known());
        let curve = |(at, curve): (usize, &Curve)| {
            let (cells, departures) = curve.cells.kept();
            CurveState { at, fit: curve.fit.clone(), cells, departures }
        };
        CostState {
            version: VERSION,
            observations: self.observations,
            error: self.error,
            margin: self.margin.clone(),
            recent: self.recent.in_order(),
            curves: known.map(curve).collect(),
        }
    }

    /// Goes on from what was learned in an earlier life: predicts what the model did whose state this is. The
    /// first runs tell whether it still holds: where they are off by one factor, everything is; where
    /// they are off without rule, it is only a starting point.
    ///
    /// # Errors
    /// When the state could not have come from [`state`](Self::state); the model is then as it was.
    pub fn restore(&mut self, state: &CostState) -> Result<(), Unsound> {
        let curves = state.curves()?;
        let throttled = self.throttle.is_some();
        *self = Self {
            error: state.error,
            margin: state.margin.clone(),
            recent: state.recent.clone().resumed(),
            shift: Shift::untried(),
            observations: state.observations,
            restored: true,
            version: self.version.wrapping_add(1),
            ..Self::default()
        };
        for (at, curve) in curves {
            self.by_busy[at] = curve;
        }
        self.band = self.recent.noise().max(super::shift::BAND);
        self.find_nearest();
        self.set_throttled(throttled);
        Ok(())
    }
}

impl CostState {
    fn curves(&self) -> Result<Vec<(usize, Curve)>, Unsound> {
        if self.version != VERSION {
            return Err(Unsound("another version"));
        }
        if !((0.0..=4.0).contains(&self.error) && self.margin.is_sound() && self.recent.is_sound()) {
            return Err(Unsound("errors that no runs have"));
        }
        if self.observations >= super::MOST_RUNS {
            return Err(Unsound("more runs than there is time for"));
        }
        let ascending = self.curves.windows(2).all(|pair| pair[0].at < pair[1].at);
        if !ascending || self.curves.is_empty() || self.curves.iter().any(|curve| curve.at >= MAX_BUSY) {
            return Err(Unsound("a load that no device has"));
        }
        self.curves.iter().map(CurveState::curve).collect()
    }
}

impl CurveState {
    fn curve(&self) -> Result<(usize, Curve), Unsound> {
        if !self.fit.is_sound() {
            return Err(Unsound("a trend that no runs follow"));
        }
        let cells = Cells::resumed(&self.cells, &self.departures).ok_or(Unsound("shapes that never ran"))?;
        Ok((self.at, Curve { fit: self.fit.clone(), cells }))
    }
}
