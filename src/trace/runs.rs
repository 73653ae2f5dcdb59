//! The runs of a recording, and what they say of the cost of batches: what shapes took on average, and how far single
//! runs are off that, for a while together or each alone.
//!
//! A cost model forgets fast, as it must to follow a machine; a replay wants the whole time that it replays. Keeps
//! the newest runs alone.

use super::models::{Coefficients, Curve, Place, Point};
use crate::types::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Runs that are kept of a device: a minute of a thousand a second.
const MOST_RUNS: usize = 65_536;
/// Runs of one shape from which on their mean counts, and those of all shapes from which on their spread is told.
const FEWEST_ALIKE: usize = 3;
const FEWEST: usize = 32;
/// Most shapes of a curve.
const MOST_POINTS: usize = 64;
/// Shapes are alike within a quarter of an octave of length, and half an octave of rows.
const STEPS_LEN: f64 = 4.0;
const STEPS_ROWS: f64 = 2.0;
/// Quantiles of a spread, but for the first: each is a percent.
const PERCENTS: usize = 100;
/// What the pace is told by: tenths of a second, or longer ones where these would be too many.
const PART: Duration = Duration::from_millis(100);
const MOST_PARTS: usize = 3600;
/// Milliseconds of runs that each part counts beside its own, so that one slow run makes no slow machine: at the pace of
/// the parts around it, so many on each side, and these at the usual pace.
const BESIDE: f64 = 10.0;
const AROUND: usize = 5;
/// How often the pace and what runs take at the usual one are found by turns.
const TURNS: usize = 32;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// When it began.
    pub(super) at: Time,
    pub(super) busy: u32,
    pub(super) rows: u32,
    pub(super) len: u32,
    pub(super) compute: Duration,
}

/// The newest runs on one device.
#[derive(Debug, Default)]
pub(super) struct Runs(VecDeque<Run>);

/// Runs of one shape under one load.
type Alike<'r> = BTreeMap<(u32, i32, i32), Vec<&'r Run>>;

impl Runs {
    pub(super) fn push(&mut self, run: Run) {
        if self.0.len() == MOST_RUNS {
            self.0.pop_front();
        }
        self.0.push_back(run);
    }

    /// Adds what the runs say to a place's costs; they are of a recording that began then and lasted so long.
    pub(super) fn add_to(&self, place: &mut Place, began: Time, lasted: Duration) {
        let mut alike = Alike::new();
        for run in &self.0 {
            let (rows, len) = step(f64::from(run.rows), f64::from(run.len));
            alike.entry((run.busy, rows, len)).or_default().push(run);
        }
        let rare: Vec<&Run> = alike.values().filter(|runs| runs.len() < FEWEST_ALIKE).flatten().copied().collect();
        alike.retain(|_, runs| runs.len() >= FEWEST_ALIKE);
        let learned = std::mem::take(&mut place.costs);
        let mut pace = Pace::new(began, lasted);
        let mut level = Level::default();
        if alike.values().map(Vec::len).sum::<usize>() >= FEWEST {
            level = pace.find(&alike, &rare, &learned);
            place.spread = spread(&alike, &pace);
            place.pace = pace.parts.iter().copied().map(thousandths).collect();
        }
        let mut measured: BTreeMap<u32, Vec<(usize, Point)>> =
            learned.iter().map(|curve| (curve.busy_workers, Vec::new())).collect();
        for ((busy, ..), runs) in &alike {
            measured.entry(*busy).or_default().push((runs.len(), mean(runs, &pace)));
        }
        let merged = measured.into_iter().filter_map(|(busy, points)| merge(&learned, busy, level.of(busy), points));
        place.costs = merged.collect();
    }
}

/// By how much runs take longer, at the usual pace, than what was learned by the end of the recording says of their
/// shapes: by the number of busy workers.
#[derive(Debug, Default)]
struct Level(BTreeMap<u32, f64>);

impl Level {
    fn find(alike: &Alike<'_>, pace: &Pace, learned: &[Curve]) -> Self {
        let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for run in alike.values().flatten() {
            let Some(trend) = trend(learned, run) else { continue };
            let (took, would) = sums.entry(run.busy).or_default();
            (*took, *would) = (*took + run.token() * run.tokens() / pace.of(run), *would + trend * run.tokens());
        }
        Self(sums.into_iter().map(|(busy, (took, would))| (busy, took / would)).collect())
    }

    fn of(&self, busy: u32) -> f64 {
        self.0.get(&busy).copied().unwrap_or(1.0)
    }
}

/// How slow the device was, part by part of the time.
#[derive(Debug)]
struct Pace {
    began: Time,
    lasted: Duration,
    parts: Vec<f64>,
}

impl Pace {
    /// The usual one throughout.
    fn new(began: Time, lasted: Duration) -> Self {
        let parts = (lasted.as_secs_f64() / PART.as_secs_f64()).ceil().clamp(1.0, MOST_PARTS as f64);
        Self { began, lasted, parts: vec![1.0; parts as usize] }
    }

    fn part(&self, run: &Run) -> usize {
        let share = run.at.since(self.began).as_secs_f64() / self.lasted.as_secs_f64().max(1e-9);
        ((share * self.parts.len() as f64) as usize).min(self.parts.len() - 1)
    }

    fn of(&self, run: &Run) -> f64 {
        self.parts[self.part(run)]
    }

    /// Finds the pace and what runs take at the usual one by turns, each from the other: some shapes hardly run but
    /// while the device is slow. Those of `rare` go with what the trend says of them, at the level of the others.
    fn find(&mut self, alike: &Alike<'_>, rare: &[&Run], learned: &[Curve]) -> Level {
        let mut level = Level::default();
        for _ in 0..TURNS {
            level = Level::find(alike, self, learned);
            let mut sums = vec![(0.0, 0.0); self.parts.len()];
            let mut add = |run: &Run, usual: f64| {
                let (took, would) = &mut sums[self.part(run)];
                (*took, *would) = (*took + run.token() * run.tokens(), *would + usual * run.tokens());
            };
            for runs in alike.values() {
                let usual = usual(runs, self);
                runs.iter().for_each(|run| add(run, usual));
            }
            for run in rare {
                trend(learned, run).into_iter().for_each(|trend| add(run, trend * level.of(run.busy)));
            }
            // All together took what they usually do: else shapes could be told as larger and the pace as smaller.
            let (took, would) = sums.iter().fold((0.0, 0.0), |(a, b), (took, would)| (a + took, b + would));
            sums.iter_mut().for_each(|(_, usual)| *usual *= took / would);
            self.parts = (0..sums.len()).map(|at| pace_at(&sums, at)).collect();
        }
        level
    }
}

/// The pace of a part, of which there is known what runs took and would have taken at the usual pace.
fn pace_at(sums: &[(f64, f64)], at: usize) -> f64 {
    let around = &sums[at.saturating_sub(AROUND)..(at + AROUND + 1).min(sums.len())];
    let (took, would) = around.iter().fold((BESIDE, BESIDE), |(a, b), (took, would)| (a + took, b + would));
    let (own, usual) = sums[at];
    ((own + BESIDE * took / would) / (usual + BESIDE)).max(0.01)
}

impl Run {
    /// Milliseconds a token: of shapes that are alike these hardly differ.
    fn token(&self) -> f64 {
        self.compute.as_secs_f64() * 1e3 / self.tokens()
    }

    fn tokens(&self) -> f64 {
        f64::from(self.rows) * f64::from(self.len)
    }
}

fn step(rows: f64, len: f64) -> (i32, i32) {
    ((rows.log2() * STEPS_ROWS).round() as i32, (len.log2() * STEPS_LEN).round() as i32)
}

/// Milliseconds a token that these take on average at the usual pace.
fn usual(runs: &[&Run], pace: &Pace) -> f64 {
    runs.iter().map(|run| run.token() / pace.of(run)).sum::<f64>() / runs.len() as f64
}

/// The mean shape, and what it takes at the usual pace.
fn mean(runs: &[&Run], pace: &Pace) -> Point {
    let mean = |of: fn(&Run) -> f64| runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64;
    let (rows, len) = (mean(|run| f64::from(run.rows)), mean(|run| f64::from(run.len)));
    let measured_ms = (usual(runs, pace) * rows * len).max(1e-3);
    Point { rows: thousandths(rows), len: thousandths(len), measured_ms: thousandths(measured_ms) }
}

/// How far single runs are off what those alike take at the pace of the time: quantiles from the least to the most, a
/// percent apart.
fn spread(alike: &Alike<'_>, pace: &Pace) -> Vec<f64> {
    let mut off: Vec<f64> = Vec::new();
    for runs in alike.values() {
        let usual = usual(runs, pace);
        // Few runs lie nearer to their own mean than to the true one: Bessel's correction.
        let wider = (runs.len() as f64 / (runs.len() - 1) as f64).sqrt();
        off.extend(runs.iter().map(|run| (1.0 + (run.token() / pace.of(run) / usual - 1.0) * wider).max(0.01)));
    }
    off.sort_by(f64::total_cmp);
    let last = off.len() - 1;
    (0..=PERCENTS).map(|percent| thousandths(off[last * percent / PERCENTS])).collect()
}

/// Milliseconds a token that a run of this shape takes by the trend.
fn trend(learned: &[Curve], run: &Run) -> Option<f64> {
    let curve = learned.iter().min_by_key(|curve| curve.busy_workers.abs_diff(run.busy))?;
    let Coefficients { base, per_token, per_squared_token, .. } = curve.coefficients_ms;
    let (rows, len) = (f64::from(run.rows), f64::from(run.len));
    Some(base / (rows * len) + per_token + per_squared_token * len).filter(|ms| *ms > 0.0)
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// What was learned under the load nearest to so many busy workers, brought to the level of the recording, with the
/// shapes measured in it, each with how often, in place of those learned near them.
fn merge(learned: &[Curve], busy: u32, level: f64, mut points: Vec<(usize, Point)>) -> Option<Curve> {
    points.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut points: Vec<Point> = points.into_iter().map(|(_, point)| point).take(MOST_POINTS).collect();
    let nearest = learned.iter().min_by_key(|curve| curve.busy_workers.abs_diff(busy))?;
    let known = |point: &Point| points.iter().any(|own| step(own.rows, own.len) == step(point.rows, point.len));
    let others = nearest.points.iter().filter(|point| !known(point));
    let others = others.map(|point| Point { measured_ms: thousandths(point.measured_ms * level), ..*point });
    let others: Vec<Point> = others.take(MOST_POINTS - points.len()).collect();
    points.extend(others);
    Some(Curve { busy_workers: busy, coefficients_ms: nearest.coefficients_ms.times(level), points })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let coefficients_ms = Coefficients { base: 1.0, per_token: 0.1, per_squared_token: 0.0, least: 0.0 };
        let points = [(1.0, 16.0), (1.0, 90.0)].map(|(rows, len)| Point { rows, len, measured_ms: 99.0 });
        let curve = Curve { busy_workers: 1, coefficients_ms, points: points.to_vec() };
        Place {
            device: "cpu".into(),
            workers: 2,
            handover_ms: Vec::new(),
            pace: Vec::new(),
            spread: Vec::new(),
            costs: vec![curve],
        }
    }

    fn run(busy: u32, len: u32, ms: u64) -> Run {
        Run { at: Time(0), busy, rows: 1, len, compute: Duration::from_millis(ms) }
    }

    #[test]
    fn the_mean_of_runs_takes_the_place_of_what_was_learned_near_them() {
        let (mut runs, mut place) = (Runs::default(), place());
        (0..40).for_each(|i| runs.push(run(1, 16, 8 + 4 * (i % 2))));
        (0..3).for_each(|_| runs.push(run(2, 16, 20)));
        runs.push(run(1, 300, 31));
        runs.add_to(&mut place, Time(0), Duration::from_secs(1));
        let [one, two] = &place.costs[..] else { panic!("{place:?}") };
        let told = |curve: &Curve| curve.points.iter().map(|p| (p.len, p.measured_ms)).collect::<Vec<_>>();
        assert_eq!(told(one), [(16.0, 10.0), (90.0, 380.769)]);
        assert_eq!((two.busy_workers, told(two)), (2, vec![(16.0, 20.0), (90.0, 761.538)]));
        let base = place.costs.iter().map(|curve| thousandths(curve.coefficients_ms.base));
        assert_eq!(base.collect::<Vec<_>>(), [3.846, 7.692], "a row of 16 took 10 and 20 ms where 2.6 were learned");
        assert_eq!((place.spread.len(), place.spread[50], &*place.pace), (101, 1.0, &[1.0; 10][..]));
        assert!((0.79..0.81).contains(&place.spread[0]) && (1.19..1.21).contains(&place.spread[100]));
    }

    #[test]
    fn a_slow_while_is_no_unevenness_of_single_runs() {
        let (mut runs, mut place) = (Runs::default(), place());
        for at in (0..2000).map(Time::from_millis) {
            runs.push(Run { at, ..run(1, 16, if at < Time::from_millis(1_000) { 10 } else { 30 }) });
        }
        runs.add_to(&mut place, Time(0), Duration::from_secs(2));
        let [before, since] = [0..10, 10..20].map(|parts| place.pace[parts].iter().sum::<f64>() / 10.0);
        assert!((0.5..0.53).contains(&before) && (1.48..1.53).contains(&since), "{:?}", place.pace);
        assert!(place.spread[0] > 0.95 && place.spread[100] < 1.05, "{:?}", place.spread);
    }

    #[test]
    fn a_few_runs_say_nothing_and_the_newest_of_many_count() {
        let (mut runs, mut place, before) = (Runs::default(), place(), place());
        runs.push(run(1, 16, 5));
        runs.add_to(&mut place, Time(0), Duration::from_secs(1));
        assert_eq!(place, before);
        (0..MOST_RUNS).for_each(|_| runs.push(run(1, 16, 7)));
        runs.add_to(&mut place, Time(0), Duration::from_secs(1));
        assert_eq!(place.costs[0].points[0].measured_ms, 7.0);
    }
}
