//! Overload: what runs first when not all that waits can be served in time.
//!
//! Looks ahead by the predicted time of what waits. Once that is more than anybody who arrives now would
//! wait, serving by urgency makes all of them late, one after the other. Then batches go first that serve
//! the most rows a second and make nobody late who need not be; the most urgent keep a share of the time. All of it
//! concerns the items of one account, the one whose turn it is.
//! Lanes whose items have neither an SLO nor a deadline are never overloaded: nobody said what late is.

use super::bucket::Bucket;
use super::form::{Former, Segment};
use super::lane::Lane;
use super::pool::Pool;
use super::strategy::Choice;
use super::table::RequestSlot;
use super::urgency::Entry;
use super::wish::View;
use crate::types::Time;

/// The time that others are given before the most urgent, in runs of the most urgent's batch.
const SPARED: f64 = 3.0;
/// A batch is as good as full that takes no more than so much of a full one's time a row.
const RIPE: f64 = 1.0 / 0.9;

/// A segment as the forward pass sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prospect {
    /// Ns until the first of its items is late; below 0 if it is.
    slack: f64,
    segment: Segment,
}

impl View<'_> {
    /// The segment to be run in place of the most urgent item's `own`: under overload only, and not once
    /// the most urgent has stood back for long enough.
    pub(super) fn relief(&self, lane: &mut Lane, anchor: Entry, own: &Segment, former: &mut Former) -> Option<Segment> {
        let (account, class) = (self.table.item(anchor.slot).account, self.table.item(anchor.slot).class as usize);
        let spared = lane.accounts.get(account).spared;
        if self.rule.choice != Choice::Anchor || !self.is_overloaded(lane, anchor) || spared >= SPARED * own.time {
            lane.accounts.get_mut(account).spared = 0.0;
            return None;
        }
        let Lane { classes, pool, accounts, policy, .. } = lane;
        let buckets = &mut classes[class].buckets;
        former.lay_out(buckets, &self.terms);
        let Former { segments, prospects, .. } = former;
        prospects.clear();
        prospects.extend(segments.drain(..).filter_map(|segment| {
            let heads = buckets[segment.low..=segment.high].iter().filter_map(|b| head(b, account, pool));
            let late = heads.map(|e| self.late(policy.slo.target, e)).min()?;
            Some(Prospect { slack: late.0 as f64 - self.now.0 as f64, segment })
        }));
        let best = self.quickest(prospects).filter(|s| s.high < own.low || s.low > own.high);
        accounts.get_mut(account).spared = best.map_or(0.0, |s| spared + s.time);
        best
    }

    /// Whether another of the same account that arrives now is predicted to be late.
    fn is_overloaded(&self, lane: &Lane, anchor: Entry) -> bool {
        let late = self.late(lane.policy.slo.target, anchor);
        let patience = late.since(self.table.owner(anchor.slot).arrival).as_nanos() as f64;
        let ahead = lane.backlog.min(lane.accounts.due(self.table.item(anchor.slot).account));
        late < Time::NEVER && ahead as f64 > patience * self.crew.all.max(1.0)
    }

    /// When an item is late: past its deadline or its SLO.
    fn late(&self, target: Option<std::time::Duration>, entry: Entry) -> Time {
        let RequestSlot { arrival, deadline, .. } = *self.table.owner(entry.slot);
        target.map_or(deadline, |t| deadline.min(arrival + t))
    }

    /// The forward pass: were segments run by urgency, how much later could each start? One may go before
    /// others if it takes no longer than the least of theirs. Of those that may, a ripe one with the most
    /// rows a second; if none is ripe, the ripest.
    fn quickest(&self, prospects: &mut [Prospect]) -> Option<Segment> {
        prospects.sort_unstable_by(|a, b| a.slack.total_cmp(&b.slack));
        let (mut room, mut ends) = (f64::INFINITY, 0.0);
        let mut best: Option<((f64, f64), Segment)> = None;
        for Prospect { slack, segment } in prospects {
            let a_row = segment.time / f64::from(segment.rows.min(segment.best_rows).max(1));
            let full = self.terms.time(segment.best_rows, segment.edge) / f64::from(segment.best_rows);
            // The less, the better.
            let merit = ((a_row / full.max(1e-9)).max(RIPE), a_row);
            if segment.time <= room && best.is_none_or(|(least, _)| merit < least) {
                best = Some((merit, *segment));
            }
            // One that is late whatever runs has nothing to lose.
            if ends + segment.time <= *slack {
                ends += segment.time;
                room = room.min(*slack - ends);
            }
        }
        best.map(|(_, segment)| segment)
    }
}

/// The most urgent item of an account in a bucket.
fn head(bucket: &Bucket, account: u32, pool: &Pool) -> Option<Entry> {
    pool.front(bucket.queue(account)?)
}
