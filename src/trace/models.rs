//! What a trace tells of the models, so that it can be replayed without the server it came from.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Models by name.
pub type Models = BTreeMap<Arc<str>, Served>;

/// One model as it was served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Whether its items can share a batch at all.
    pub batchable: bool,
    /// Milliseconds that a request takes besides waiting and its batch: the median. Absent where none was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_ms: Option<f64>,
    /// Where it runs; at least one.
    pub devices: Vec<Place>,
}

/// A model's workers on one device, and how long its batches take there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The device's name, as in `cpu` and `cuda:0`.
    pub device: Arc<str>,
    /// Sessions of the model there, ≥ 1.
    pub workers: u32,
    /// Milliseconds that a batch keeps its worker for besides computing: quantiles evenly apart, from the least to the
    /// most; empty where none ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handover_ms: Vec<f64>,
    /// How slow the device was, part by equal part of the recording: all runs of the part together ÷ what they would have
    /// taken at the usual pace; 1 where none ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pace: Vec<f64>,
    /// Run ÷ what such runs take at the pace of the time: quantiles likewise; empty where too few ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<f64>,
    /// What was learned and, of shapes that ran, measured, by the number of busy workers; at least one.
    pub costs: Vec<Curve>,
}

/// How long a batch takes while so many workers of the device are busy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Workers that run, the one in question included, ≥ 1.
    pub busy_workers: u32,
    /// The trend.
    pub coefficients_ms: Coefficients,
    /// What was measured beside the trend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Point>,
}

/// A batch of B rows of S tokens takes `base` + `per_token` × B·S + `per_squared_token` × B·S², and never
/// less than `least`; in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficients {
    /// Of every run.
    pub base: f64,
    /// Of every padded token.
    pub per_token: f64,
    /// Of every padded token for each token of its row.
    pub per_squared_token: f64,
    /// What the smallest run takes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub least: f64,
}

impl Coefficients {
    /// Those of runs that all take so many times as long.
    pub(super) fn times(self, factor: f64) -> Self {
        let Self { base, per_token, per_squared_token, least } = self;
        Self {
            base: base * factor,
            per_token: per_token * factor,
            per_squared_token: per_squared_token * factor,
            least: least * factor,
        }
    }
}

/// One measured shape; of several near ones the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Rows of the batch.
    pub rows: f64,
    /// Padded length.
    pub len: f64,
    /// How long such runs took.
    pub measured_ms: f64,
}

// serde hands every field over by reference.
fn is_zero(n: &f64) -> bool {
    *n == 0.0
}
