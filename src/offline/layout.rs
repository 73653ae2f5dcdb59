//! Sessions and their threads: which ways to share out cores are worth a try, and which of them serves best.
//!
//! Decides on figures alone. Runs nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Most sessions that are tried: each costs memory.
const MOST_INSTANCES: usize = 32;

/// How far behind the most rows a second a layout may be and still win by its latency.
const CLOSE: f64 = 0.03;

/// Cores this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The sessions of a model on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Sessions, each of which runs one batch at a time.
    pub instances: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether idle threads keep their cores for a while, to be there sooner.
    pub spin: bool,
}

impl Layout {
    /// Threads that sleep when idle.
    #[must_use]
    pub fn new(instances: usize, threads: usize) -> Self {
        Self { instances, threads, spin: false }
    }

    /// A session has helpers of its own only from two threads on: with one there is nobody who could spin.
    fn spinning(self) -> Option<Self> {
        (self.threads > 1).then_some(Self { spin: true, ..self })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spin = if self.spin { ", spinning" } else { "" };
        write!(f, "{} × {}{spin}", self.instances, self.threads)
    }
}

/// Every way to share out the cores that is worth a try, from a session a core to one session with all of them.
fn splits(cores: usize) -> Vec<Layout> {
    let cores = cores.max(1);
    let mut instances = vec![cores, cores / 2, cores / 4, 4, 2, 1];
    instances.retain(|n| (1..=cores.min(MOST_INSTANCES)).contains(n));
    instances.sort_unstable_by(|a, b| b.cmp(a));
    instances.dedup();
    instances.into_iter().map(|n| Layout::new(n, cores / n)).collect()
}

/// What the ceiling is looked for among: all splits, with and without spinning.
pub(super) fn all(cores: usize) -> Vec<Layout> {
    splits(cores).into_iter().flat_map(|layout| [Some(layout), layout.spinning()]).flatten().collect()
}

/// What may serve. Spinning threads take the cores that requests are read and answered with, so they must leave one
/// free, which two or three cores do not allow.
pub(super) fn serving(cores: usize) -> Vec<Layout> {
    let spinning = (cores >= 4).then(|| Layout { instances: 1, threads: cores - 1, spin: true });
    splits(cores).into_iter().chain(spinning).collect()
}

/// The layout that serves best, by its place: of those within 3 % of the most rows a second the one that runs a single
/// short row in the least time; one that spins only where it does more than 3 % better than all that do not.
///
/// Takes layouts with their rows a second and the milliseconds of a short row.
pub(super) fn choose(found: &[(Layout, f64, f64)]) -> Option<usize> {
    let most = |spin: bool| {
        found.iter().filter(|(layout, ..)| layout.spin == spin).map(|(_, rps, _)| *rps).fold(0.0, f64::max)
    };
    let spin = most(true) > most(false) * (1.0 + CLOSE);
    let least = most(spin) * (1.0 - CLOSE);
    let close = (0..found.len()).filter(|at| found[*at].0.spin == spin && found[*at].1 >= least);
    close.min_by(|a, b| found[*a].2.total_cmp(&found[*b].2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(layouts: &[Layout]) -> Vec<String> {
        layouts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cores_are_shared_out_in_a_few_ways() {
        assert_eq!(shown(&serving(1)), ["1 × 1"]);
        assert_eq!(shown(&serving(2)), ["2 × 1", "1 × 2"]);
        assert_eq!(shown(&serving(3)), ["3 × 1", "2 × 1", "1 × 3"]);
        assert_eq!(shown(&serving(8)), ["8 × 1", "4 × 2", "2 × 4", "1 × 8", "1 × 7, spinning"]);
        assert_eq!(shown(&splits(64)), ["32 × 2", "16 × 4", "4 × 16", "2 × 32", "1 × 64"]);
        assert_eq!(shown(&all(2)), ["2 × 1", "1 × 2", "1 × 2, spinning"]);
    }

    #[test]
    fn of_those_about_as_fast_the_quickest_with_one_row_wins() {
        let two = |rps, ms| (Layout::new(2, 1), rps, ms);
        let one = |rps, ms| (Layout::new(1, 2), rps, ms);
        assert_eq!(choose(&[two(1000.0, 4.0), one(975.0, 3.0)]), Some(1));
        assert_eq!(choose(&[two(1000.0, 4.0), one(965.0, 3.0)]), Some(0));
        assert_eq!(choose(&[two(1000.0, 2.0), one(1020.0, 3.0)]), Some(0));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn spinning_must_pay() {
        let still = (Layout::new(4, 1), 1000.0, 4.0);
        let spinning = |rps| (Layout { instances: 1, threads: 3, spin: true }, rps, 1.0);
        assert_eq!(choose(&[still, spinning(1020.0)]), Some(0));
        assert_eq!(choose(&[still, spinning(1040.0)]), Some(1));
    }
}
