//! The open loop: requests are sent by a plan, whether or not earlier ones have been answered.
//!
//! Decides which connection takes a planned request, and that latency counts from the planned time: what a busy server,
//! a missing connection or the generator itself made a request wait for is part of it. Otherwise a server that stalls
//! would be asked less, and the wait would be missing from its figures ("coordinated omission", Tene).

use super::client::{Client, Failure};
use super::plan::Arrivals;
use super::tally::Sample;
use super::timer::Timer;
use super::workload::Workload;
use super::{ANSWER_TIMEOUT, Error, LoadReport, Options, Report, Run, meter, progress};
use crate::clock;
use crate::types::{Time, locked};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// One rate of arrivals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Requests a second.
    pub(super) rate: f64,
    /// The most connections.
    pub(super) connections: usize,
    /// The longest wait for an answer, from the planned time.
    pub(super) timeout: Duration,
}

/// Measures at `rate` requests a second.
pub(super) async fn run(
    options: &Options,
    workload: &Arc<Workload>,
    rate: f64,
    connections: usize,
) -> Result<Report, Error> {
    measure(options, workload, Terms { rate, connections, timeout: ANSWER_TIMEOUT }).await
}

/// Sends what is planned, and awaits all of it.
pub(super) async fn measure(options: &Options, workload: &Arc<Workload>, terms: Terms) -> Result<Report, Error> {
    let timer = Timer::new()?;
    let run = Run::start(options);
    let bar = options.progress.then(|| progress::Bar::start(&run));
    let cost = meter::start(&run);
    let pool = Arc::new(Pool::new(Arc::clone(&run), Arc::clone(workload), &terms));
    let arrivals = Arrivals::new(terms.rate, options.seed, options.warm_up + options.duration);
    for (number, arrival) in arrivals.enumerate() {
        let planned = run.measured.start + arrival;
        timer.until(planned).await?;
        pool.offer(Job { number, planned });
    }
    pool.idle().await;
    let cost = cost.await.unwrap_or_default();
    drop(bar);
    let load = LoadReport::Open { rate: terms.rate, seed: options.seed, connections: pool.opened() };
    Ok(run.tally().report(options.protocol, load, &cost))
}

/// A planned request.
#[derive(Debug, Clone, Copy)]
struct Job {
    number: usize,
    planned: Time,
}

/// The connections, made when they are first needed, and the requests that wait for one.
#[derive(Debug)]
struct Pool {
    run: Arc<Run>,
    workload: Arc<Workload>,
    most: usize,
    timeout: Duration,
    state: Mutex<State>,
    /// Told when nothing is under way any more.
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The last to come back is the first to be used, so few stay open where few are needed.
    idle: Vec<Client>,
    opened: usize,
    /// In the order of the plan; empty while a connection is free.
    waiting: VecDeque<Job>,
}

impl Pool {
    fn new(run: Arc<Run>, workload: Arc<Workload>, terms: &Terms) -> Self {
        let Terms { connections: most, timeout, .. } = *terms;
        Self { run, workload, most, timeout, state: Mutex::default(), idle: Notify::new() }
    }

    /// Sends a request, on a free connection or a new one; keeps it waiting where there is neither.
    fn offer(self: &Arc<Self>, job: Job) {
        let mut state = locked(&self.state);
        let client = match state.idle.pop() {
            Some(client) => client,
            None if state.opened < self.most => {
                state.opened += 1;
                Client::new(Arc::clone(&self.workload))
            }
            None => {
                state.waiting.push_back(job);
                return;
            }
        };
        drop(state);
        drop(tokio::spawn(Arc::clone(self).work(client, job)));
    }

    /// Sends a request and then, one by one, those that have waited for this connection.
    async fn work(self: Arc<Self>, mut client: Client, mut job: Job) {
        let mut late = Some(clock::now().since(job.planned));
        loop {
            self.send(&mut client, job, late).await;
            let mut state = locked(&self.state);
            let Some(next) = state.waiting.pop_front() else {
                state.idle.push(client);
                if state.idle.len() == state.opened {
                    self.idle.notify_one();
                }
                return;
            };
            // That it waited for a connection is not the generator's lateness.
            (job, late) = (next, None);
        }
    }

    async fn send(&self, client: &mut Client, job: Job, late: Option<Duration>) {
        let deadline = job.planned + self.timeout;
        let outcome =
            if clock::now() < deadline { client.exchange(job.number, deadline).await } else { Err(Failure::timeout()) };
        let finished = clock::now();
        let sample = Sample { counts_by: job.planned, finished, latency: finished.since(job.planned), late };
        self.run.tally().record(&sample, &outcome);
    }

    /// Waits until nothing is under way; nothing may be offered any more.
    async fn idle(&self) {
        loop {
            {
                let state = locked(&self.state);
                if state.idle.len() == state.opened {
                    return;
                }
            }
            self.idle.notified().await;
        }
    }

    /// The most connections that were open at a time.
    fn opened(&self) -> usize {
        locked(&self.state).opened
    }
}
