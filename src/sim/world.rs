//! The virtual world: what happens next, and what it does to the scheduler, or to what stands in its place.
//!
//! Events of one moment are taken in as the program's driver does it: batches that end, then arrivals, then what
//! is due; only then the server is asked what to do, and only then answers reach their callers.

use super::noise::Noise;
use super::server::{Action, Batch, Server, Station};
use super::tally::{self, Tally};
use super::{Arrival, Cost, Place, Plan, Report};
use crate::policy::PolicySet;
use crate::sched::{self, FailReason, Measured};
use crate::types::{BatchId, DeviceId, ModelId, RequestId, Time, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Times that each shape is measured before anything arrives.
const WARM_UPS: u32 = 4;
/// The shapes that are measured where none are known: rows and lengths.
const SWEEP: ([u32; 4], [u32; 4]) = ([1, 4, 12, 32], [8, 32, 128, 512]);

pub(super) struct World<'p, S> {
    plan: &'p Plan,
    /// What is promised to whom.
    goals: Arc<PolicySet>,
    server: S,
    now: Time,
    /// Where each worker is, by its number.
    workers: Vec<&'p Place>,
    /// Batches that run, by when they end.
    running: BTreeMap<(Time, BatchId), Run>,
    /// Items of each arrival that have no answer yet; 0 once it was answered or refused.
    open: Vec<u32>,
    next: usize,
    noise: Noise,
    tally: Tally,
}

/// A batch on its way.
struct Run {
    batch: Batch,
    device: DeviceId,
    compute: Duration,
}

impl<'p, S: Server> World<'p, S> {
    pub(super) fn new(server: S, goals: Arc<PolicySet>, plan: &'p Plan) -> Self {
        let mut world = Self {
            plan,
            goals,
            server,
            now: Time::default(),
            workers: Vec::new(),
            running: BTreeMap::new(),
            open: plan.arrivals.iter().map(|arrival| arrival.items.len() as u32).collect(),
            next: 0,
            noise: Noise::new(plan.noise, plan.seed),
            tally: Tally::default(),
        };
        for (model, id) in plan.models.iter().zip((0..).map(ModelId)) {
            world.server.handle_model(id, &model.limits, world.now);
            for place in &model.places {
                let first = WorkerId(world.workers.len() as u32);
                (0..place.workers).for_each(|_| world.start_worker(id, place));
                world.warm_up(first, &place.cost);
            }
        }
        world
    }

    fn start_worker(&mut self, model: ModelId, place: &'p Place) {
        let id = WorkerId(self.workers.len() as u32);
        self.workers.push(place);
        self.server.handle_worker(id, Station { model, device: place.device, grid: place.grid }, self.now);
    }

    /// Tells what a server that has run for a while knows.
    fn warm_up(&mut self, worker: WorkerId, cost: &Cost) {
        for _ in 0..WARM_UPS {
            for curve in &cost.curves {
                let known = curve.points.iter().map(|p| (p.rows.round() as u32, p.len.round() as u32));
                let (rows, lengths) = SWEEP;
                let swept = rows.into_iter().flat_map(|rows| lengths.map(|len| (rows, len)));
                let swept = swept.filter(|_| curve.points.is_empty());
                for (rows, len) in known.chain(swept).map(|(rows, len)| (rows.max(1), len.max(1))) {
                    let compute = cost.time(rows, len, curve.busy);
                    self.server.handle_measured(worker, &Measured { rows, len, busy: curve.busy, compute }, self.now);
                }
            }
        }
    }

    /// Plays to the end.
    pub(super) fn run(mut self) -> Report {
        while let Some(now) = self.next_event() {
            self.now = self.now.max(now);
            let ended = self.end_batches();
            while self.plan.arrivals.get(self.next).is_some_and(|arrival| arrival.at <= self.now) {
                self.arrive();
            }
            if self.server.poll_timeout().is_some_and(|due| due <= self.now) {
                self.server.handle_timeout(self.now);
            }
            self.carry_out();
            for run in ended {
                self.answer(&run.batch);
            }
        }
        self.tally.report(self.plan.duration.max(self.now.since(Time::default())), self.workers.len())
    }

    fn next_event(&mut self) -> Option<Time> {
        let end = self.running.first_key_value().map(|((end, _), _)| *end);
        let arrival = self.plan.arrivals.get(self.next).map(|arrival| arrival.at);
        [end, arrival, self.server.poll_timeout()].into_iter().flatten().min()
    }

    /// Ends what has run by now.
    fn end_batches(&mut self) -> Vec<Run> {
        let mut ended = Vec::new();
        while let Some(first) = self.running.first_entry().filter(|first| first.key().0 <= self.now) {
            let run = first.remove();
            self.server.handle_done(&run.batch, run.compute, self.now);
            ended.push(run);
        }
        ended
    }

    /// Hands the next arrival in.
    fn arrive(&mut self) {
        let arrival = &self.plan.arrivals[self.next];
        let handed = sched::Arrival {
            request: RequestId(self.next as u64),
            model: ModelId(arrival.model as u32),
            tenant: &arrival.tenant,
            priority: arrival.priority,
            deadline: arrival.deadline.map(|deadline| self.now + deadline),
            items: &arrival.items,
        };
        if let Err(reject) = self.server.handle_arrival(&handed, self.now) {
            self.open[self.next] = 0;
            self.tally.refused(&arrival.tenant, tally::refusal(&reject));
        }
        self.next += 1;
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.server.poll_action() {
            match action {
                Action::Run(batch) => self.start(batch),
                Action::Fail { request, reason } => self.fail(request, reason),
                Action::FellBack => self.tally.fell_back(),
            }
        }
    }

    fn start(&mut self, batch: Batch) {
        let place = self.workers[batch.worker.0 as usize];
        let busy = 1 + self.running.values().filter(|run| run.device == place.device).count() as u32;
        let usual = place.cost.time(batch.rows, batch.padded_len, busy);
        let share = self.now.since(Time::default()).as_secs_f64() / self.plan.duration.as_secs_f64().max(1e-9);
        let compute = usual.mul_f64(self.noise.factor(&place.cost.spread) * place.cost.pace(share));
        let handover = self.noise.draw(&place.cost.handover_ms).unwrap_or(0.0);
        let took = compute + Duration::from_secs_f64(handover / 1e3);
        let tokens = batch.items.iter().map(|&(request, index)| {
            let arrival = &self.plan.arrivals[request.0 as usize];
            let item = &arrival.items[index as usize];
            (&arrival.tenant, u64::from(item.rows) * u64::from(item.len))
        });
        self.tally.ran(&batch, took, tokens);
        self.running.insert((self.now + took, batch.id), Run { batch, device: place.device, compute });
    }

    fn fail(&mut self, request: RequestId, reason: FailReason) {
        let at = request.0 as usize;
        self.open[at] = 0;
        self.tally.refused(&self.plan.arrivals[at].tenant, tally::failure(reason));
    }

    /// Answers the items of a batch, and the requests that are whole with it.
    fn answer(&mut self, batch: &Batch) {
        for (request, _) in &batch.items {
            let at = request.0 as usize;
            if self.open[at] == 0 {
                continue;
            }
            self.open[at] -= 1;
            if self.open[at] == 0 {
                let arrival = &self.plan.arrivals[at];
                let took = self.now.since(arrival.at) + self.plan.models[arrival.model].overhead;
                let in_time = |wanted: Option<Duration>| wanted.is_none_or(|wanted| took <= wanted);
                let good = in_time(self.target(arrival)) && in_time(arrival.deadline);
                let rows = arrival.items.iter().map(|item| u64::from(item.rows)).sum();
                self.tally.answered(&arrival.tenant, rows, took, good);
            }
        }
    }

    /// The SLO of the policy that a request falls under.
    fn target(&self, arrival: &Arrival) -> Option<Duration> {
        let name = &self.plan.models[arrival.model].limits.name;
        self.goals.policies()[self.goals.lookup(name, &arrival.tenant)].slo.target
    }
}
