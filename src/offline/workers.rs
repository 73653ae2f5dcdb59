//! The workers of one layout, as a server has them, and batches run by all of them at once.
//!
//! Decides that a worker is given the next batch when it tells that one is done, which is what a server does. Keeps what
//! every run took. Draws no conclusions.

use super::rows::Batches;
use super::stage::Crew;
use super::{Error, Layout, Source};
use crate::clock;
use crate::exec::{
    self, Backend, Failure, Job, JobDone, OnnxBackend, Prepared, Sample, SessionSettings, WarmUp, WorkerConfig,
    WorkerEvent, WorkerHandle,
};
use crate::types::{BatchId, Device, WorkerId};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Workers that share batches.
#[derive(Debug)]
pub(super) struct Workers {
    handles: Vec<WorkerHandle>,
    told: Receiver<WorkerEvent>,
    /// Of all runs so far.
    pub(super) samples: Vec<Sample>,
}

impl Workers {
    /// Starts workers that warm up as those of a server do, for at most `limit`; what they measured is in `samples`.
    pub(super) fn sweep(source: &Source, layout: Layout, limit: Duration) -> Result<Self, Error> {
        let parts = exec::warm_up(&source.model.spec, Device::Cpu(0), layout.instances);
        Self::begin(source, layout, parts.into_iter().map(Some), Some(limit))
    }

    fn begin(
        source: &Source,
        layout: Layout,
        parts: impl Iterator<Item = Option<WarmUp>>,
        limit: Option<Duration>,
    ) -> Result<Self, Error> {
        let (events, told) = channel();
        let settings = SessionSettings { spin: layout.spin, ..SessionSettings::cpu(layout.threads) };
        let mut workers = Self { handles: Vec::new(), told, samples: Vec::new() };
        for (index, warm_up) in parts.enumerate() {
            let id = WorkerId(index as u32);
            let (name, model) = (format!("tune/{id}"), Arc::clone(&source.model));
            let config = WorkerConfig { id, name, model, warm_up };
            let (source, settings, events) = (source.clone(), settings.clone(), events.clone());
            let make = move || {
                let backend = OnnxBackend::new(&source.file, &source.model.spec, &settings)?;
                Ok(Box::new(backend) as Box<dyn Backend>)
            };
            // Nobody hears what is told once all of it is dropped.
            workers.handles.push(exec::spawn(config, make, move |event| drop(events.send(event)))?);
        }
        workers.wait_ready(limit)?;
        Ok(workers)
    }

    /// Waits until all are warm; cuts that short after `limit`.
    fn wait_ready(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        let end = limit.map(|limit| clock::now() + limit);
        let mut missing = self.handles.len();
        while missing > 0 {
            let left = end.map_or(Duration::from_secs(3600), |end| end.since(clock::now()));
            match self.told.recv_timeout(left) {
                Ok(WorkerEvent::Ready { samples, .. }) => {
                    self.samples.extend(samples);
                    missing -= 1;
                }
                Ok(other) => self.ended(other).map(drop)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.handles.iter().for_each(WorkerHandle::retire);
                    return self.wait_ready_of(missing);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
        Ok(())
    }

    fn wait_ready_of(&mut self, missing: usize) -> Result<(), Error> {
        for _ in 0..missing {
            match self.told.recv().map_err(|_| gone())? {
                WorkerEvent::Ready { samples, .. } => self.samples.extend(samples),
                other => self.ended(other).map(drop)?,
            }
        }
        Ok(())
    }

    /// Waits for the end of a batch.
    fn done(&self) -> Result<JobDone, Error> {
        let event = self.told.recv().map_err(|_| gone())?;
        self.ended(event)
    }

    fn ended(&self, event: WorkerEvent) -> Result<JobDone, Error> {
        match event {
            WorkerEvent::Done(done) => Ok(done),
            WorkerEvent::Lost { message, .. } => Err(Failure::Failed(message).into()),
            other => Err(Failure::Failed(format!("not asked for: {other:?}")).into()),
        }
    }

    fn submit(&self, worker: usize, job: Job) -> Result<(), Error> {
        self.handles[worker].submit(job).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Failure::Failed("a worker ended".to_owned()).into()
}

impl Crew for Workers {
    fn start(source: &Source, layout: Layout) -> Result<Self, Error> {
        Self::begin(source, layout, (0..layout.instances).map(|_| None), None)
    }

    fn pass(&mut self, batches: &Batches, rounds: usize) -> Result<Duration, Error> {
        let (count, busy) = (batches.ready.len(), self.handles.len() as u32);
        let most = count.saturating_mul(rounds);
        let order = |at: usize| Job { batch: BatchId((at % count) as u64), ..batches.ready[at % count].job() };
        let start = clock::now();
        let mut next = self.handles.len().min(most);
        for worker in 0..next {
            self.submit(worker, order(worker))?;
        }
        for _ in 0..most {
            let JobDone { worker, batch, compute, result, .. } = self.done()?;
            if next < most && result.is_ok() {
                self.submit(worker.0 as usize, order(next))?;
                next += 1;
            }
            result?;
            let (rows, len) = batches.shapes[batch.0 as usize];
            self.samples.push(Sample { rows, len, busy, compute });
        }
        Ok(clock::now().since(start))
    }

    fn alone(&mut self, batch: &Prepared, (rows, len): (u32, u32)) -> Result<Duration, Error> {
        self.submit(0, batch.job())?;
        let JobDone { assemble, compute, result, .. } = self.done()?;
        result?;
        self.samples.push(Sample { rows, len, busy: 1, compute });
        Ok(assemble + compute)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Their memory is free again before others are made.
        self.handles.drain(..).for_each(WorkerHandle::join);
    }
}
