//! Made-up scenes that a script must answer before it goes live.
//!
//! They hold what is rare and breaks scripts: a single row, extremes of every number, no deadline and one
//! that has passed, no arrivals, no goals, more segments than are ever asked about.

use super::scene::{FAR, Load, Scene, Segment};

/// A quiet CPU: one worker, nothing else waits, no goal.
const QUIET: Load = Load {
    waiting_rows: 1.0,
    arrivals_per_s: 0.0,
    workers: 1.0,
    free_workers: 1.0,
    gpu: false,
    memory_scarce: false,
    max_wait_ms: 0.0,
    slo_ms: FAR,
};

/// Everything at once.
const FLOODED: Load = Load {
    waiting_rows: 100_000.0,
    arrivals_per_s: 1e6,
    workers: 16.5,
    free_workers: 1.0,
    gpu: true,
    memory_scarce: true,
    max_wait_ms: 86_400_000.0,
    slo_ms: 1.0,
};

/// A day with some of everything.
const BUSY: Load = Load { waiting_rows: 40.0, arrivals_per_s: 800.0, workers: 4.0, max_wait_ms: 5.0, ..QUIET };

/// One short row that has just come.
const ROW: Segment = Segment {
    rows: 1.0,
    waiting: 1.0,
    best_rows: 1.0,
    length: 1.0,
    tokens: 1.0,
    padding: 0.0,
    predicted_ms: 0.001,
    waited_ms: 0.0,
    slack_ms: FAR,
    is_anchor: true,
    full: true,
};

/// The scenes.
pub(super) fn scenes() -> [Scene; 4] {
    let scene = |segments: Vec<Segment>, load| Scene { segments, load };
    let few = (1..=6).map(|n| segment(n, 1 << n)).collect();
    let many = (1..=64).map(|n| segment(n, 65_536 >> (n % 17))).collect();
    let lone = Segment { best_rows: 32.0, full: false, predicted_ms: 2.5, slack_ms: 40.0, ..ROW };
    [scene(vec![ROW], QUIET), scene(vec![lone], BUSY), scene(few, BUSY), scene(many, FLOODED)]
}

/// The n-th of many, with this many rows.
fn segment(n: u32, rows: u32) -> Segment {
    let (n, rows) = (f64::from(n), f64::from(rows));
    let (length, waiting) = (8.0 * n, rows * (n % 3.0 + 0.5).ceil());
    let slack_ms = if n % 2.0 > 0.0 { FAR } else { 100.0 - 10.0 * n };
    Segment {
        rows,
        waiting,
        best_rows: rows.max(8.0),
        length,
        tokens: rows * length * 0.9,
        padding: rows * length * 0.1,
        predicted_ms: 0.5 + rows * length * 0.01,
        waited_ms: n * n,
        slack_ms,
        is_anchor: n < 2.0,
        full: rows >= 8.0,
    }
}
