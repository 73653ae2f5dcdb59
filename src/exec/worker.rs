//! A worker: one thread that makes one backend, warms it up and runs batches until its handle is gone.
//!
//! Decides when a worker is at its end. Knows nothing of tensors, schedulers or callers. Whoever hands it batches may run
//! one himself while the thread has nothing to do.

use super::backend::Backend;
use super::engine::{Engine, Run, guarded};
use super::process::return_free_memory;
use super::warmup::{Cell, TIMED_RUNS, WarmUp};
use super::{Failure, Job, JobDone, Sample, WorkerEvent, synthetic};
use crate::model::Model;
use crate::types::{WorkerId, locked};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What a worker is.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its number, in every event.
    pub id: WorkerId,
    /// The thread's name; Linux shows 15 characters.
    pub name: String,
    /// The model its batches are for.
    pub model: Arc<Model>,
    /// Its part in the model's warm-up; `None` starts it cold.
    pub warm_up: Option<WarmUp>,
}

/// A worker's queue. Dropping it ends the thread after the batches it was given.
#[derive(Debug)]
pub struct WorkerHandle {
    id: WorkerId,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// What a handle and its thread both reach.
#[derive(Default)]
struct Shared {
    retired: AtomicBool,
    /// There while the worker serves.
    engine: Mutex<Option<Engine>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("retired", &self.retired).finish_non_exhaustive()
    }
}

/// What a worker is told.
#[derive(Debug)]
enum Order {
    Run(Job),
    Probe,
    /// Its device was lost in a batch that its thread did not run.
    End(Failure),
}

impl WorkerHandle {
    /// Hands a batch over; its end is told as [`WorkerEvent::Done`].
    ///
    /// # Errors
    /// Gives the job back when the thread has ended.
    pub fn submit(&self, job: Job) -> Result<(), Job> {
        match self.orders.send(Order::Run(job)) {
            Err(SendError(Order::Run(job))) => Err(job),
            Ok(()) | Err(SendError(_)) => Ok(()),
        }
    }

    /// Runs a batch on the thread that calls, and answers its end, of which no event tells. Blocks for as long as the
    /// batch takes, and spares the two wake-ups of handing it over. For a worker that has nothing outstanding: a batch that
    /// was submitted and has not begun would be overtaken.
    ///
    /// # Errors
    /// Gives the job back where the worker is at work, or not ready, or at its end.
    pub fn run_here(&self, job: Job) -> Result<JobDone, Job> {
        let mut engine = match self.shared.engine.try_lock() {
            Ok(engine) => engine,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(job),
        };
        let Some(serving) = engine.as_mut() else { return Err(job) };
        let done = serving.done(self.id, &job);
        if let Err(failure @ Failure::DeviceLost(_)) = &done.result {
            *engine = None;
            // A thread that has ended has told of its end.
            drop(self.orders.send(Order::End(failure.clone())));
        }
        Ok(done)
    }

    /// Has the worker run a made-up row, and tell of it as [`WorkerEvent::Probed`].
    pub fn probe(&self) {
        // A thread that has ended has told of its end.
        drop(self.orders.send(Order::Probe));
    }

    /// Cuts a warm-up short: its samples are wanted no more.
    pub fn retire(&self) {
        self.shared.retired.store(true, Ordering::Relaxed);
    }

    /// Lets the thread finish the batches it was given, and waits for its end.
    pub fn join(self) {
        self.retire();
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("a worker's thread panicked outside a batch");
        }
    }
}

/// Starts a worker.
///
/// `make_backend` runs on the new thread. `events` is called on it too and must not block for long:
/// `Ready` or `Lost` first, then one `Done` a batch that was submitted; `Lost` again after a `DeviceLost`, which ends the
/// thread (batches it was given and has not run are lost with it). A handle that is dropped ends it
/// without an event.
///
/// # Errors
/// The operating system's, when it gives no thread.
pub fn spawn(
    config: WorkerConfig,
    make_backend: impl FnOnce() -> Result<Box<dyn Backend>, Failure> + Send + 'static,
    events: impl Fn(WorkerEvent) + Send + 'static,
) -> io::Result<WorkerHandle> {
    let (id, shared, (orders, queue)) = (config.id, Arc::<Shared>::default(), channel());
    let own = Own { orders: queue, shared: Arc::clone(&shared) };
    let thread = Builder::new().name(config.name.clone()).spawn(move || work(config, make_backend, &events, own))?;
    Ok(WorkerHandle { id, orders, thread, shared })
}

/// The thread's end of a [`WorkerHandle`].
struct Own {
    orders: Receiver<Order>,
    shared: Arc<Shared>,
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(locked(&self.shared.engine).take());
    }
}

fn work(
    config: WorkerConfig,
    make_backend: impl FnOnce() -> Result<Box<dyn Backend>, Failure>,
    events: &impl Fn(WorkerEvent),
    own: Own,
) {
    let id = config.id;
    if let Err(failure) = serve(config, make_backend, events, &own) {
        // Closed first: whoever hears of the loss gets later jobs back.
        drop(own);
        let (message, device_gone) = (failure.to_string(), matches!(failure, Failure::DeviceLost(_)));
        events(WorkerEvent::Lost { worker: id, message, device_gone });
    }
}

/// Warms up and runs batches until the queue ends; an error is the worker's own end.
fn serve(
    config: WorkerConfig,
    make_backend: impl FnOnce() -> Result<Box<dyn Backend>, Failure>,
    events: &impl Fn(WorkerEvent),
    own: &Own,
) -> Result<(), Failure> {
    let WorkerConfig { id: worker, name: _, model, warm_up } = config;
    let backend = guarded(make_backend)?;
    let mut engine = Engine::new(model, backend);
    let Measured { samples, too_large } = match warm_up {
        Some(part) => engine.warm_up(&part, &own.shared.retired)?,
        None => Measured::default(),
    };
    // Making a session leaves much behind.
    return_free_memory();
    *locked(&own.shared.engine) = Some(engine);
    events(WorkerEvent::Ready { worker, samples, too_large });
    while let Ok(order) = own.orders.recv() {
        // Free again before anybody is told.
        let event = match (order, locked(&own.shared.engine).as_mut()) {
            (Order::End(failure), _) => return Err(failure),
            (Order::Run(job), Some(engine)) => WorkerEvent::Done(engine.done(worker, &job)),
            (Order::Probe, Some(engine)) => WorkerEvent::Probed { worker, failure: engine.probe()? },
            // Its end is on the way.
            (_, None) => continue,
        };
        let end = match &event {
            WorkerEvent::Done(JobDone { result: Err(failure @ Failure::DeviceLost(_)), .. }) => Err(failure.clone()),
            _ => Ok(()),
        };
        events(event);
        end?;
    }
    Ok(())
}

/// What an instance learned from its part of the sweep.
#[derive(Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// Rows and lengths that ran out of memory.
    too_large: Vec<(u32, u32)>,
}

impl Engine {
    /// Runs a batch, and tells of its end.
    fn done(&mut self, worker: WorkerId, job: &Job) -> JobDone {
        let Run { assemble, compute, reused, uneven, result } = self.run(job);
        JobDone { worker, batch: job.batch, assemble, compute, reused, uneven, result }
    }

    /// Runs this instance's steps of the sweep. A failure ends the sweep; the worker only if its device
    /// is gone.
    fn warm_up(&mut self, part: &WarmUp, retired: &AtomicBool) -> Result<Measured, Failure> {
        let mut measured = Measured::default();
        while let Some((step, busy)) = part.next() {
            if retired.load(Ordering::Relaxed) {
                part.stop();
                continue;
            }
            if busy == 0 {
                continue;
            }
            match self.measure(step.cell, part.starts_slowly()) {
                Ok(compute) => {
                    part.record(step.cell, compute);
                    measured.samples.push(Sample { rows: step.cell.rows, len: step.cell.len, busy, compute });
                }
                Err(failure @ Failure::DeviceLost(_)) => return Err(failure),
                Err(Failure::OutOfMemory(words)) => {
                    let Cell { rows, len } = step.cell;
                    tracing::warn!(model = %self.model.name, rows, len, "no memory for batches this large: {words}");
                    part.too_large(step.cell);
                    measured.too_large.push((rows, len));
                }
                Err(failure) => {
                    let Cell { rows, len } = step.cell;
                    tracing::warn!(model = %self.model.name, rows, len, "warm-up ends early: {failure}");
                    part.stop();
                }
            }
        }
        Ok(measured)
    }

    /// Runs a made-up row; answers what the model fails on it with, if it does.
    ///
    /// # Errors
    /// When the device is gone.
    fn probe(&mut self) -> Result<Option<String>, Failure> {
        let len = self.model.spec.made_up_length();
        let Ok(job) = synthetic::warm_up(&self.model, Cell { rows: 1, len }) else { return Ok(None) };
        match self.run(&job).result {
            Ok(_) => Ok(None),
            Err(failure @ Failure::DeviceLost(_)) => Err(failure),
            Err(failure) => Ok(Some(failure.to_string())),
        }
    }

    /// The median of a few runs. The first, which pays for a new shape, is discarded unless it alone
    /// takes most of the time there is and does not pay for the device's own start.
    fn measure(&mut self, cell: Cell, starts_slowly: bool) -> Result<Duration, Failure> {
        let job = synthetic::warm_up(&self.model, cell)?;
        let mut timed = || {
            let run = self.run(&job);
            run.result.map(|_| run.compute)
        };
        let first = timed()?;
        if first > Duration::from_secs(1) && !starts_slowly {
            return Ok(first);
        }
        let mut runs = (0..TIMED_RUNS).map(|_| timed()).collect::<Result<Vec<_>, _>>()?;
        runs.sort_unstable();
        Ok(runs[runs.len() / 2])
    }
}

#[cfg(test)]
mod tests;
