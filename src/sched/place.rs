//! Which worker runs the next batch: the one predicted to finish it first.
//!
//! Compares the devices of one model by what a batch around the lane's most urgent item would take on
//! each. Where a busy device is predicted to finish it sooner than a free one, the batch is held for it,
//! unless so much waits that the free one is needed besides. Does not form the batch.

use super::lane::Lane;
use super::learned::Learned;
use super::model::{Running, Worker};
use super::scheduler::Scheduler;
use super::strategy::Choice;
use super::table::ItemSlot;
use super::wish::View;
use crate::types::{DeviceId, ModelId, Time, WorkerId};
use std::time::Duration;

/// Predictions within this share of the best count as equal.
const NEAR: f64 = 0.1;
/// A busy device must be predicted to finish by so much sooner than a free one to be waited for.
const SOONER: f64 = 1.1;
/// A device whose memory is scarce counts as so much slower than it is.
const SCARCE: f64 = 1.25;
/// And so much where the batch needs more than any that ran there.
const BEYOND: f64 = 1e3;
/// The least time that anything is held, in ns.
const LEAST_HOLD: u64 = 1_000;

/// One of a model's devices, as it is at a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    device: DeviceId,
    /// Its place among the model's devices.
    pub(super) slot: usize,
    /// The first of the model's free workers there.
    first: Option<WorkerId>,
    /// The model's free workers there.
    free: u32,
    /// All of the model's workers there.
    workers: u32,
    /// Batches that run there, of any model.
    pub(super) busy: u32,
    /// Batches of this model that run there.
    own: u32,
    /// When the first of those is predicted to end.
    soonest: Time,
    /// What the batch to be placed would be there.
    offer: Offer,
}

/// A batch as one device would run it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offer {
    pub(super) rows: u32,
    /// Predicted ns.
    pub(super) time: f64,
    /// Predicted ns of a single row.
    pub(super) single: f64,
    /// Whether a run was ever measured there.
    measured: bool,
    /// Whether the shape never ran there, and new shapes cost.
    new: bool,
    /// How much slower it counts than it is.
    handicap: f64,
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot {
    /// To this one of the sites.
    On(usize),
    /// To nobody before then: a faster device is about to be free.
    Later(Time),
}

/// The free workers and all workers of a model, each counted by its speed beside the chosen one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crew {
    pub(super) free: f64,
    pub(super) all: f64,
    /// Whether any of them runs a batch.
    pub(super) busy: bool,
}

impl Scheduler {
    /// Looks at the model's devices; whether any worker is free.
    pub(super) fn survey(&mut self, id: ModelId) -> bool {
        self.sites.clear();
        let Some(model) = self.models.get_mut(&id) else { return false };
        for worker in self.workers.iter().filter(|w| w.model == id) {
            let known = self.sites.iter().position(|s| s.device == worker.device);
            let at = known.unwrap_or_else(|| {
                self.sites.push(Site::new(worker.device, model.slot(worker.device)));
                self.sites.len() - 1
            });
            let site = &mut self.sites[at];
            site.workers += 1;
            if worker.ready {
                site.free += 1;
                // Workers are in order of their numbers.
                site.first = site.first.or(Some(worker.id));
            }
        }
        for ran in &self.running {
            if let Some(site) = self.sites.iter_mut().find(|s| s.device == ran.device) {
                site.meet(ran, id);
            }
        }
        self.sites.iter().any(|s| s.free > 0)
    }

    /// The free worker that a site's next batch goes to.
    pub(super) fn worker_at(&self, site: usize) -> Option<Worker> {
        let first = self.sites[site].first?;
        self.workers.iter().find(|w| w.id == first).copied()
    }
}

impl Site {
    fn new(device: DeviceId, slot: usize) -> Self {
        let (first, free, workers, busy, own) = (None, 0, 0, 0, 0);
        Self { device, slot, first, free, workers, busy, own, soonest: Time::NEVER, offer: Offer::default() }
    }

    /// Counts a batch that runs on the device.
    fn meet(&mut self, ran: &Running, model: ModelId) {
        self.busy += 1;
        if ran.model == model {
            self.own += 1;
            self.soonest = self.soonest.min(ran.started + Duration::from_nanos(ran.predicted as u64));
        }
    }

    /// Predicted ns until its first worker is free; past its time, as long again as it is late.
    fn remaining(&self, now: Time) -> f64 {
        self.soonest.0.abs_diff(now.0) as f64
    }

    /// Its speed beside another's, in rows for rows.
    fn speed_beside(&self, other: &Self) -> f64 {
        let row = |site: &Self| site.offer.time / f64::from(site.offer.rows.max(1));
        row(other) / row(self).max(1.0)
    }

    /// Whether a batch may go there, as far as it is known: one batch at a time until it has been measured.
    fn is_open(&self, others_measured: bool) -> bool {
        self.free > 0 && (self.offer.measured || self.own == 0 || !others_measured)
    }

    /// What decides between devices that are predicted to be equally fast.
    fn rank(&self) -> (bool, u32, bool, Option<WorkerId>) {
        (self.offer.measured, self.busy, self.offer.new, self.first)
    }
}

impl Offer {
    /// Its time, as it counts beside others'.
    fn weight(&self) -> f64 {
        self.time * self.handicap
    }

    /// A batch of `rows` rows of at most `len` tokens on one device.
    pub(super) fn of(learned: &Learned, rows: u32, len: u32, busy: u32) -> Self {
        let padded = learned.padded(len);
        Self {
            rows,
            time: learned.cost.predict(rows, padded, busy),
            single: learned.cost.predict(1, padded, busy),
            measured: learned.cost.known(),
            new: learned.is_new(rows, padded),
            handicap: match (learned.is_scarce(), learned.exceeds(rows, padded)) {
                (false, _) => 1.0,
                (true, false) => SCARCE,
                (true, true) => BEYOND,
            },
        }
    }
}

impl View<'_> {
    /// The batch that a lane would run on this view's device around its most urgent item: about that, for
    /// it is not formed yet.
    pub(super) fn offer(&self, lane: &mut Lane, item: &ItemSlot) -> Offer {
        let (learned, busy, len) = (self.terms.learned, self.terms.busy, item.len);
        let class = &mut lane.classes[item.class as usize];
        let rows = match self.rule.choice {
            Choice::Alone => item.rows,
            Choice::Arrival => class.rows.min(self.terms.cap(learned.padded(len))),
            Choice::Anchor | Choice::Richest | Choice::Scored => {
                let waiting = class.rows;
                let bucket = class.position(super::edge::edge(self.grid, len)).map(|at| &mut class.buckets[at]);
                bucket.map_or(1, |b| self.terms.refresh(b).rows).min(waiting)
            }
        };
        Offer::of(learned, rows.max(item.rows), len, busy)
    }
}

/// Takes down what the batch would be at each site; a device never measured is taken to be as fast as the
/// fastest that was.
pub(super) fn put(sites: &mut [Site], mut offer: impl FnMut(&Site) -> Offer) {
    for site in &mut *sites {
        site.offer = offer(site);
    }
    let row = |o: &Offer| o.time / f64::from(o.rows.max(1));
    let measured = sites.iter().map(|s| s.offer).filter(|o| o.measured);
    let Some(fastest) = measured.min_by(|a, b| row(a).total_cmp(&row(b))) else { return };
    for site in sites.iter_mut().filter(|s| !s.offer.measured) {
        site.offer = Offer { measured: false, new: false, handicap: site.offer.handicap, ..fastest };
    }
}

/// The free site that finishes first, or until when to wait for a busy one that would be sooner still.
///
/// `waiting` is the time, in ns, that all that waits takes on the device that `home` is the place of, and
/// `arrival` that of the item that waits longest in the batch: it is not held past what the free device
/// would have taken since then. `None` where no site may take a batch.
pub(super) fn pick(sites: &[Site], home: usize, waiting: f64, arrival: Time, now: Time) -> Option<Spot> {
    let at = soonest_free(sites)?;
    let free = &sites[at];
    if let Some(until) = until(sites, free, home, waiting, now) {
        let longest = arrival + Duration::from_nanos(free.offer.weight() as u64);
        let until = until.min(longest);
        if until > now + Duration::from_nanos(LEAST_HOLD) {
            return Some(Spot::Later(until));
        }
    }
    Some(Spot::On(at))
}

/// The free site that is predicted to finish first; `None` where no site may take a batch.
pub(super) fn soonest_free(sites: &[Site]) -> Option<usize> {
    let others_measured = sites.iter().any(|s| s.offer.measured);
    let open = || sites.iter().enumerate().filter(|(_, s)| s.is_open(others_measured));
    let least = open().map(|(_, s)| s.offer.weight()).fold(f64::INFINITY, f64::min);
    let near = open().filter(|(_, s)| s.offer.weight() <= least * (1.0 + NEAR));
    near.min_by_key(|(_, s)| s.rank()).map(|(at, _)| at)
}

/// Any free site, for what cannot wait until a device has been measured.
pub(super) fn any_free(sites: &[Site]) -> Option<usize> {
    sites.iter().position(|s| s.free > 0)
}

/// Until when a batch is better held for busy devices than run on `free`.
fn until(sites: &[Site], free: &Site, home: usize, waiting: f64, now: Time) -> Option<Time> {
    if !free.offer.measured {
        return None;
    }
    let own = free.offer.weight() / SOONER;
    let finish = |s: &Site| s.remaining(now) + s.offer.weight();
    let sooner = || sites.iter().filter(|s| s.free == 0 && s.own > 0 && s.offer.measured && finish(s) < own);
    let first = sooner().min_by(|a, b| finish(a).total_cmp(&finish(b)))?;
    // What waits besides, at the pace of all of these together.
    let pace: f64 = sooner().map(|s| f64::from(s.workers) * s.speed_beside(first)).sum();
    let scale = sites.iter().find(|s| s.slot == home).map_or(1.0, |h| h.speed_beside(first));
    let besides = (waiting * scale - first.offer.time).max(0.0) / pace.max(1.0);
    // It stays the better choice until it is so much late.
    let late = own - first.offer.weight() - besides;
    (late > first.remaining(now)).then(|| first.soonest + Duration::from_nanos(late as u64))
}

impl Crew {
    /// That of a model on a single device.
    pub(super) fn of_one(site: &Site) -> Self {
        Self { free: f64::from(site.free), all: f64::from(site.workers), busy: site.own > 0 }
    }

    /// That of the chosen site and the others. Free workers that take longer for a single row than it does
    /// for the whole batch are no help, and do not count.
    pub(super) fn beside(sites: &[Site], chosen: usize) -> Self {
        let own = &sites[chosen];
        let speeds = || sites.iter().map(|s| (s, s.speed_beside(own)));
        let helps = |s: &Site| s.slot == own.slot || s.offer.single <= own.offer.time;
        Self {
            free: speeds().filter(|(s, _)| helps(s)).map(|(s, speed)| f64::from(s.free) * speed).sum(),
            all: speeds().map(|(s, speed)| f64::from(s.workers) * speed).sum(),
            busy: sites.iter().any(|s| s.own > 0),
        }
    }

    /// How many of `rows` rows the chosen worker takes when they are shared out among the free ones.
    pub(super) fn part(&self, rows: u32) -> u32 {
        ((f64::from(rows) / self.free.max(1.0) - 1e-6).ceil() as u32).max(1)
    }
}
