//! Loads and a machine made up for comparisons, the same each time.
//!
//! Decides what arrives when, how long it is, and what a GPU-like device takes for it. Knows nothing of who serves it.

use super::random::Random;
use super::{Arrival, Cost, Curve, Model, Place, Plan};
use crate::sched::{Grid, Item, ModelLimits};
use crate::types::{DeviceId, Priority, ShapeClass, Time};
use std::sync::Arc;
use std::time::Duration;

/// The share of documents among requests; all others are queries.
const DOCUMENTS: f64 = 0.3;
/// The median lengths of a query and of a document, in tokens.
const MEDIANS: [f64; 2] = [12.0, 160.0];
/// The standard deviation of the logarithm of lengths: two of three are within 0.55 and 1.8 times their median.
const SPREAD: f64 = 0.6;
/// No length is less or more.
const LENGTHS: [f64; 2] = [3.0, 512.0];
/// How far a run may be off the curve.
const NOISE: f64 = 0.1;

/// Requests of one text each, of one tenant, at random moments of the same rate (Poisson).
#[derive(Debug, Clone)]
pub struct Stream {
    /// Whose; empty for nobody's.
    pub tenant: Arc<str>,
    /// Requests a second, > 0.
    pub rate: f64,
    /// When it begins, from the start.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// Milliseconds max(2.5, 0.8 + 0.004·B·S + 9.2e-7·B·S²) for B rows of S tokens: the form that GPUs have, flat until
/// some 400 tokens; measured on none.
#[must_use]
pub fn gpu() -> Curve {
    Curve { busy: 1, coefficients: [0.8e6, 4e3, 0.92], least: 2.5e6, points: Vec::new() }
}

/// One such device with one worker, ± 10 %, and what arrives at it.
#[must_use]
pub fn plan(streams: &[Stream], grid: Grid, seed: u64) -> Plan {
    let place = Place {
        device: DeviceId(0),
        grid,
        workers: 1,
        cost: Arc::new(Cost { curves: vec![gpu()], ..Cost::default() }),
    };
    let limits = ModelLimits { name: "m".into(), batchable: true };
    let duration = streams.iter().map(|stream| stream.until).max().unwrap_or_default();
    let models = vec![Model { limits, places: vec![place], overhead: Duration::ZERO }];
    Plan { models, arrivals: arrivals(streams, seed), duration, noise: NOISE, seed }
}

/// What arrives, the earliest first: seven of ten a query, the others documents, of log-normal lengths.
#[must_use]
pub fn arrivals(streams: &[Stream], seed: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (number, stream) in (1..).zip(streams) {
        let mut random = Random::new(seed.wrapping_mul(0x100_0003).wrapping_add(number));
        let mut at = stream.from;
        loop {
            at += Duration::from_secs_f64(random.exponential() / stream.rate);
            if at >= stream.until {
                break;
            }
            let len = length(&mut random);
            all.push(Arrival {
                at: Time::default() + at,
                model: 0,
                tenant: Arc::clone(&stream.tenant),
                priority: Priority(0),
                deadline: None,
                items: vec![Item { rows: 1, len, bytes: 16 * len, class: ShapeClass(1) }],
            });
        }
    }
    all.sort_by_key(|arrival| arrival.at);
    all
}

fn length(random: &mut Random) -> u32 {
    let median = MEDIANS[usize::from(random.unit() < DOCUMENTS)];
    let [least, most] = LENGTHS;
    (median * (SPREAD * random.normal()).exp()).round().clamp(least, most) as u32
}
