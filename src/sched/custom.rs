//! The strategy `custom`: what an operator's script makes of what waits.
//!
//! Decides what the script is shown, and what becomes of its answer: nothing waits longer than its policy
//! allows, and nothing starves. Where the script fails, the decision is made as `adaptive` makes it. A script may
//! choose any segment, so between tenants fairness holds for who goes first once the guard is over.

use super::bucket::Bucket;
use super::edge::edge;
use super::event::{Grid, Release};
use super::form::{Former, Segment};
use super::lane::Lane;
use super::strategy::{GUARD, LEAST_GUARD, Rule};
use super::urgency::Entry;
use super::wish::{View, Wish};
use crate::script::{self, Fault, Load, Scene, Verdict};
use crate::types::Time;
use std::time::Duration;

/// The least time after which a script that wants to wait is asked again.
const LEAST_WAIT: Duration = Duration::from_micros(100);

impl View<'_> {
    /// What the lane's script wants, or what `adaptive` would where it fails: then with the fault.
    pub(super) fn scripted(&self, lane: &mut Lane, anchor: Entry, former: &mut Former) -> (Wish, Option<Fault>) {
        match self.ask_script(lane, anchor, former) {
            Some(Ok(wish)) => (wish, None),
            Some(Err(fault)) => (self.as_adaptive(lane, anchor, former), Some(fault)),
            None => (self.as_adaptive(lane, anchor, former), None),
        }
    }

    fn as_adaptive(&self, lane: &mut Lane, anchor: Entry, former: &mut Former) -> Wish {
        let Self { table, terms, grid, crew, now, draining, .. } = *self;
        View { table, terms, rule: Rule::ADAPTIVE, grid, crew, now, draining }.by_length(lane, anchor, former)
    }

    /// `None` where there is nothing to ask: the most urgent item must not wait for the script's favour.
    fn ask_script(&self, lane: &mut Lane, anchor: Entry, former: &mut Former) -> Option<Result<Wish, Fault>> {
        let script = lane.policy.script.clone()?;
        let item = self.table.item(anchor.slot);
        let (class, delay) = (item.class as usize, lane.policy.batch.max_queue_delay);
        if self.now >= self.table.owner(anchor.slot).arrival + (delay * GUARD).max(LEAST_GUARD) {
            return None;
        }
        let at = lane.classes[class].position(edge(self.grid, item.len))?;
        former.lay_out_around(&mut lane.classes[class], at, &self.terms);
        let mut segments = former.segments.clone();
        segments.reverse();
        // Those nearest to the most urgent item, should there be more than a script is asked about.
        let home = segments.iter().position(|segment| segment.holds(at))?;
        let first =
            home.saturating_sub(script::MAX_SEGMENTS / 2).min(segments.len().saturating_sub(script::MAX_SEGMENTS));
        segments.drain(..first);
        let load = self.load(lane);
        let shown = segments.iter().map(|segment| self.shown(lane, class, segment, segment.holds(at)));
        let scene = Scene { segments: shown.collect(), load };
        let verdict = match script.decide(&scene) {
            Ok(verdict) => verdict,
            Err(fault) => return Some(Err(fault)),
        };
        let (chosen, why) = match verdict {
            Verdict::Run(index) => (segments.get(index)?, Release::Script),
            Verdict::Wait(time) => {
                let home = &segments[home - first];
                let (due, cause) = self.due(anchor, home.time, delay);
                let again = self.now + time.unwrap_or(Duration::MAX).max(LEAST_WAIT);
                match (self.draining, self.now >= due) {
                    (true, _) => (home, Release::Drain),
                    (false, true) => (home, cause),
                    (false, false) => return Some(Ok(Wish::Hold(due.min(again)))),
                }
            }
        };
        let target = self.target(lane, chosen);
        Some(Ok(Wish::Run(self.take(lane, class, chosen, target, former), why)))
    }

    fn load(&self, lane: &mut Lane) -> Load {
        Load {
            waiting_rows: f64::from(lane.rows),
            arrivals_per_s: lane.pace.rate(self.now) * 1e9,
            workers: self.crew.all,
            free_workers: self.crew.free,
            gpu: self.terms.learned.grid == Grid::Stepped,
            memory_scarce: self.terms.learned.is_scarce(),
            max_wait_ms: lane.policy.batch.max_queue_delay.as_secs_f64() * 1e3,
            slo_ms: lane.policy.slo.target.map_or(script::FAR, |target| target.as_secs_f64() * 1e3),
        }
    }

    /// A segment as a script sees it. Its rows are as urgent as the most urgent row of each length and account.
    fn shown(&self, lane: &Lane, class: usize, segment: &Segment, is_anchor: bool) -> script::Segment {
        let rows = segment.rows.min(self.target(lane, segment));
        let length = self.terms.learned.padded(segment.edge);
        let (mut oldest, mut deadline) = (self.now, Time::NEVER);
        let Lane { classes, pool, .. } = lane;
        let buckets = &classes[class].buckets[segment.low..=segment.high];
        for front in buckets.iter().flat_map(Bucket::queues).filter_map(|queue| pool.front(queue)) {
            let request = self.table.owner(front.slot);
            oldest = oldest.min(request.arrival);
            deadline = deadline.min(request.deadline);
        }
        let (batch, padded) = (f64::from(rows), f64::from(rows) * f64::from(length));
        let tokens = segment.tokens as f64 * batch / f64::from(segment.rows.max(1));
        let predicted = self.terms.time(rows, segment.edge);
        let slack_ms = match deadline {
            Time::NEVER => script::FAR,
            deadline => (deadline.0 as f64 - self.now.0 as f64 - predicted) / 1e6,
        };
        script::Segment {
            rows: batch,
            waiting: f64::from(segment.rows),
            best_rows: f64::from(segment.best_rows),
            length: f64::from(length),
            tokens,
            padding: padded - tokens,
            predicted_ms: predicted / 1e6,
            waited_ms: self.now.since(oldest).as_secs_f64() * 1e3,
            slack_ms,
            is_anchor,
            full: segment.rows >= segment.best_rows,
        }
    }
}

impl Segment {
    /// Whether the bucket at this place of its class is in it.
    fn holds(&self, at: usize) -> bool {
        (self.low..=self.high).contains(&at)
    }
}
