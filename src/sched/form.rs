//! Which waiting items make the cheapest batch: a dynamic programme over lengths.
//!
//! Over the non-empty buckets around the anchor, ascending by length, f[j] = min over i < j of
//! f[i] + g(n(i..j), edge(j)), where g(n, S) = ⌊n/b*⌋·t̂(b*, S) + t̂(n mod b*, S) and b*(S) is the batch
//! size with the least time a row. The segments of the optimum are the groups of lengths that are
//! cheapest to pad together. To g is added a part of what padding costs at the best: κ·Σ n_k·(τ(S) − τ(S_k)),
//! where τ(S) = t̂(b*, S)/b*. Buckets far from the anchor cannot change its segment, so the programme
//! looks at a bounded window.

use super::bucket::{Best, Bucket, Class};
use super::cost::{CostModel, Line, ROW_STEPS};
use super::fill::Filler;
use super::learned::Learned;
use super::overload::Prospect;
use crate::types::Time;
use std::time::Duration;

/// Non-empty buckets looked at on each side of the anchor.
const REACH: usize = 32;
/// Rows on each side of the anchor that bear on its segment, in best batches of its length: two may be in the segment,
/// and what the other two make of themselves decides which.
const NEAR: u32 = 4;
/// Batch sizes within this share of the least time a row count as equally good; the smallest is taken,
/// since it answers sooner and pads less.
const KNEE: f64 = 0.01;
/// The size that was best stays so while its time a row is within this share of the least: what is
/// measured scatters, and a size that follows it would swing between its neighbours.
const STAY: f64 = 0.03;
/// κ: how much more than its time padding counts. What waits now is all that the programme sees, but under load more comes:
/// a row that is left may find company of its own length, a row that is padded never will. Closed loops of 64 rows, in a
/// model of them, carry most at 0.3 to 1 (by 1 %), and pad less the higher it is; where batches are large, as on a GPU, a
/// high one splits what had better run together. Where one batch can take all that the window holds, padding counts its time
/// and no more.
const REGRET: f64 = 0.6;
/// No unmeasured shape is tried for its promise alone if it is predicted to run longer, in ns.
const EXPLORE: f64 = 250e6;

/// The limits and knowledge one decision works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// What is known of the model on the device.
    pub(super) learned: &'a Learned,
    /// Which of the model's devices that is: each has cached optima of its own.
    pub(super) slot: usize,
    /// Busy workers of the device once this batch runs.
    pub(super) busy: u32,
    /// Most rows a batch.
    pub(super) max_rows: u32,
    /// Most padded tokens a batch.
    pub(super) max_tokens: u32,
    /// Where set, a batch runs at most this long, or twice as long as one row of its length.
    pub(super) brief: Option<Duration>,
    /// Distinguishes policies and limits in cached optima.
    pub(super) stamp: u64,
}

/// A run of buckets, by position in their class, that is cheapest to pad together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Segment {
    pub(super) low: usize,
    pub(super) high: usize,
    /// Its longest edge.
    pub(super) edge: u32,
    /// Rows waiting in it.
    pub(super) rows: u32,
    /// Rows of the best batch at its longest edge.
    pub(super) best_rows: u32,
    /// Whether no batch at that edge may have more.
    pub(super) capped: bool,
    /// Whether that is for scarce memory.
    pub(super) squeezed: bool,
    /// Predicted ns of that batch, or of all of the rows where they are fewer.
    pub(super) time: f64,
    /// Useful tokens in the whole segment.
    pub(super) tokens: u64,
}

impl<'a> Terms<'a> {
    pub(super) fn cost(&self) -> &'a CostModel {
        &self.learned.cost
    }

    /// Predicted ns of a batch whose longest row has `len` tokens.
    pub(super) fn time(&self, rows: u32, len: u32) -> f64 {
        self.cost().predict(rows, self.learned.padded(len), self.busy)
    }

    /// The same for every number of rows.
    fn line(&self, len: u32) -> Line<'a> {
        self.cost().line(self.learned.padded(len), self.busy)
    }

    /// Most rows a batch of this length may have; at least one.
    pub(super) fn cap(&self, len: u32) -> u32 {
        self.cap_in_order(len).min(self.learned.rows_while_scarce(len))
    }

    /// The same, were the device's memory not scarce.
    fn cap_in_order(&self, len: u32) -> u32 {
        self.max_rows.min(self.max_tokens / len.max(1)).min(self.learned.rows_in_memory(len)).max(1)
    }

    /// Rows on each side of the anchor that are worth a look where any segment may be chosen.
    fn far(&self) -> u32 {
        self.max_rows.saturating_mul(2)
    }

    /// Whether it is scarce memory that caps a batch of this length.
    pub(super) fn is_squeezed(&self, len: u32) -> bool {
        self.learned.rows_while_scarce(len) < self.cap_in_order(len)
    }

    /// The smallest batch size at this length whose time a row is within [`KNEE`] of the least, or `last`
    /// while it is within [`STAY`].
    pub(super) fn best(&self, len: u32, last: u32) -> (u32, f64) {
        let (cost, line) = (self.cost(), self.line(len));
        let len = self.learned.padded(len);
        let cap = self.cap(len);
        let longest = self.brief.map_or(f64::INFINITY, |t| (t.as_nanos() as f64).max(2.0 * line.time(1)));
        let mut least = f64::INFINITY;
        let mut times = [(0_u32, 0.0_f64); ROW_STEPS.len() + 1];
        let mut count = 0;
        for rows in ROW_STEPS.into_iter().filter(|r| *r < cap).chain([cap]) {
            let time = line.time(rows);
            let untried = time > EXPLORE && !cost.measured(rows, len, self.busy);
            if rows > 1 && (time > longest || untried) {
                break;
            }
            times[count] = (rows, time);
            count += 1;
            least = least.min(time / f64::from(rows));
        }
        let within = |share: f64| move |(rows, time): &&(u32, f64)| *time / f64::from(*rows) <= least * (1.0 + share);
        let stays = times[..count].iter().find(|t| t.0 == last).filter(within(STAY));
        stays.or_else(|| times[..count].iter().find(within(KNEE))).copied().unwrap_or((1, 0.0))
    }

    /// The bucket's cached optimum, computed anew if the cost model or the limits have changed.
    pub(super) fn refresh(&self, bucket: &mut Bucket) -> Best {
        let stamp = self.stamp.wrapping_mul(0x100_0003) ^ u64::from(self.cost().version()) << 8 ^ u64::from(self.busy);
        if bucket.best.len() <= self.slot {
            bucket.best.resize(self.slot + 1, Best::default());
        }
        if bucket.best[self.slot].stamp != stamp {
            let (rows, time) = self.best(bucket.edge, bucket.best[self.slot].rows);
            bucket.best[self.slot] = Best { stamp, rows, time };
        }
        bucket.best[self.slot]
    }
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    position: usize,
    edge: u32,
    rows: u32,
    best: Best,
}

/// Scratch space for the programme, kept between decisions.
#[derive(Debug, Default)]
pub(super) struct Former {
    cells: Vec<Cell>,
    least: Vec<f64>,
    from: Vec<u32>,
    /// What fills the batch.
    pub(super) filler: Filler,
    /// The segments of a plan, from the longest.
    pub(super) segments: Vec<Segment>,
    /// The same, as the forward pass of an overload sees them.
    pub(super) prospects: Vec<Prospect>,
    /// Items of the batch wished for that cannot meet their deadlines any more.
    pub(super) missed: Vec<u32>,
    /// The items behind the first of a batch that must shrink, by deadline: (deadline, place in the batch, item).
    pub(super) by_deadline: Vec<(Time, u32, u32)>,
}

impl Former {
    /// The segment of the cheapest plan that holds the bucket at `anchor`.
    pub(super) fn around(&mut self, class: &mut Class, anchor: usize, terms: &Terms<'_>) -> Segment {
        let near = NEAR * terms.refresh(&mut class.buckets[anchor]).rows;
        let at = self.plan(class, anchor, near, terms);
        let mut high = self.cells.len();
        loop {
            let low = self.from[high] as usize;
            if low <= at || low == 0 {
                return self.segment(low, high, terms);
            }
            high = low;
        }
    }

    /// The segment of the cheapest plan with the most useful tokens a second, within the window; with
    /// `full_only`, among those that hold a whole best batch.
    pub(super) fn richest(
        &mut self,
        class: &mut Class,
        anchor: usize,
        full_only: bool,
        terms: &Terms<'_>,
    ) -> Option<Segment> {
        self.plan(class, anchor, terms.far(), terms);
        let mut high = self.cells.len();
        let mut best: Option<(f64, Segment)> = None;
        while high > 0 {
            let low = self.from[high] as usize;
            let segment = self.segment(low, high, terms);
            let share = f64::from(segment.best_rows.min(segment.rows)) / f64::from(segment.rows.max(1));
            let rate = segment.tokens as f64 * share / segment.time.max(1.0);
            let counts = !full_only || segment.rows >= segment.best_rows;
            if counts && best.is_none_or(|(r, _)| rate > r) {
                best = Some((rate, segment));
            }
            high = low;
        }
        best.map(|(_, segment)| segment)
    }

    /// The cheapest plan for the shortest lengths that wait, into `segments`.
    pub(super) fn lay_out(&mut self, buckets: &mut [Bucket], terms: &Terms<'_>) {
        self.cells.clear();
        let waiting = buckets.iter_mut().enumerate().filter(|(_, b)| b.items > 0);
        self.cells.extend(waiting.take(2 * REACH).map(|(position, bucket)| {
            let best = terms.refresh(bucket);
            Cell { position, edge: bucket.edge, rows: bucket.rows, best }
        }));
        self.solve(terms);
        self.list(terms);
    }

    /// The cheapest plan within the window, into `segments`.
    pub(super) fn lay_out_around(&mut self, class: &mut Class, anchor: usize, terms: &Terms<'_>) {
        self.plan(class, anchor, terms.far(), terms);
        self.list(terms);
    }

    /// Lists the segments of a plan.
    fn list(&mut self, terms: &Terms<'_>) {
        self.segments.clear();
        let mut high = self.cells.len();
        while high > 0 {
            let low = self.from[high] as usize;
            let segment = self.segment(low, high, terms);
            self.segments.push(segment);
            high = low;
        }
    }

    /// Fills the window, on each side no further than `enough` rows, and solves it; answers the anchor's place among
    /// the cells.
    fn plan(&mut self, class: &mut Class, anchor: usize, enough: u32, terms: &Terms<'_>) -> usize {
        self.cells.clear();
        let mut low = anchor;
        let (mut found, mut rows) = (0, 0);
        while low > 0 && found < REACH && rows < enough {
            low -= 1;
            found += usize::from(class.buckets[low].items > 0);
            rows += class.buckets[low].rows;
        }
        let (mut found, mut rows, mut at) = (0, 0, 0);
        for position in low..class.buckets.len() {
            let bucket = &mut class.buckets[position];
            if position > anchor && (found >= REACH || rows >= enough) {
                break;
            }
            if bucket.items == 0 {
                continue;
            }
            if position == anchor {
                at = self.cells.len();
            } else if position > anchor {
                found += 1;
                rows += bucket.rows;
            }
            let best = terms.refresh(bucket);
            self.cells.push(Cell { position, edge: bucket.edge, rows: bucket.rows, best });
        }
        self.solve(terms);
        at
    }

    fn solve(&mut self, terms: &Terms<'_>) {
        self.least.clear();
        self.from.clear();
        self.least.push(0.0);
        self.from.push(0);
        let waiting: u32 = self.cells.iter().map(|cell| cell.rows).sum();
        let all_at_once = self.cells.last().is_none_or(|longest| waiting <= longest.best.rows);
        let regret = if all_at_once { 0.0 } else { REGRET };
        for j in 1..=self.cells.len() {
            let cell = self.cells[j - 1];
            let line = terms.line(cell.edge);
            let (mut best, mut from, mut rows, mut own) = (f64::INFINITY, j - 1, 0, 0.0);
            for i in (0..j).rev() {
                rows += self.cells[i].rows;
                own += f64::from(self.cells[i].rows) * self.cells[i].best.row();
                let padding = (f64::from(rows) * cell.best.row() - own).max(0.0);
                let total = self.least[i] + group_time(rows, cell.best, &line) + regret * padding;
                if total < best {
                    (best, from) = (total, i);
                }
                // Two full batches at this edge: reaching further down only adds padding.
                if rows >= 2 * cell.best.rows {
                    break;
                }
            }
            self.least.push(best);
            self.from.push(from as u32);
        }
    }

    fn segment(&self, low: usize, high: usize, terms: &Terms<'_>) -> Segment {
        let last = self.cells[high - 1];
        let rows = self.cells[low..high].iter().map(|c| c.rows).sum::<u32>();
        let tokens = self.cells[low..high].iter().map(|c| u64::from(c.rows) * u64::from(c.edge)).sum();
        let time = if rows >= last.best.rows { last.best.time } else { terms.time(rows, last.edge) };
        let (first, best_rows) = (self.cells[low].position, last.best.rows);
        let padded = terms.learned.padded(last.edge);
        let capped = best_rows >= terms.cap(padded);
        let squeezed = capped && terms.is_squeezed(padded);
        Segment { low: first, high: last.position, edge: last.edge, rows, best_rows, capped, squeezed, time, tokens }
    }
}

/// g(n, S): the time to serve `rows` rows padded to the cell's edge.
fn group_time(rows: u32, best: Best, line: &Line<'_>) -> f64 {
    if rows < best.rows {
        return line.time(rows);
    }
    let rest = rows % best.rows;
    let full = f64::from(rows / best.rows) * best.time;
    if rest == 0 { full } else { full + line.time(rest) }
}
