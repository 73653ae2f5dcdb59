//! The tasks of a running program, and the order in which they stop.

use super::trace::{self, Recording};
use crate::clock;
use crate::config::Config;
use crate::dispatch::Handle;
use crate::exec::WorkerHandle;
use crate::gpu::Monitor;
use crate::telemetry::Tracer;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout_at};

/// Longest that a call of NVML is waited for: one takes milliseconds, unless the driver hangs.
const ASKING: Duration = Duration::from_secs(1);
/// Least time there is to write what was learned, even where the drain took all it had.
const WRITING: Duration = Duration::from_secs(1);
/// Longest that the readers of traces are waited for, once all else is done.
const READING: Duration = Duration::from_secs(2);

/// The tasks without which the program is of no use.
pub(super) struct Tasks {
    pub(super) driver: JoinHandle<Vec<WorkerHandle>>,
    pub(super) front: JoinHandle<()>,
    /// A thread of its own, which cannot be stopped from here: it ends with the process at the latest.
    pub(super) admin: JoinHandle<std::io::Result<()>>,
    /// Of policies and keys. The program can do without: it may end where there is nothing to watch.
    pub(super) watches: JoinHandle<()>,
    /// Ends by itself once all is stopped.
    pub(super) keeper: JoinHandle<()>,
    /// Of GPUs: a thread of its own.
    pub(super) monitor: Option<Monitor>,
    pub(super) tracer: Tracer,
    /// A recording into files: a thread of its own.
    pub(super) trace: Option<Recording>,
}

impl Tasks {
    /// Completes when one of them ends though nobody asked it to. Cancel safe.
    pub(super) async fn any_end(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.driver => "the scheduler's task",
            _ = &mut self.front => "the data plane",
            _ = &mut self.admin => "the admin plane",
        }
    }

    /// The stages of a stop. The drain delay passes, then all share one deadline; what is still held
    /// past it is logged and left.
    pub(super) async fn stop_in_order(&mut self, config: &Config, handle: &Handle, stop: watch::Sender<bool>) {
        if !self.driver.is_finished() {
            sleep(config.drain_delay).await;
        }
        let ends = clock::now() + config.drain_timeout;
        let deadline = clock::deadline(ends);
        // What the driver knows of the models goes with it.
        let trace = trace::told(self.trace.take()).await;
        handle.drain();
        let workers = match self.driver.is_finished() {
            true => Vec::new(),
            false => match timeout_at(deadline, &mut self.driver).await {
                Ok(workers) => workers.unwrap_or_default(),
                Err(_) => {
                    tracing::warn!(bytes_held = handle.gate().held(), "drain_timeout passed, requests still running");
                    Vec::new()
                }
            },
        };
        stop.send_replace(true);
        if timeout_at(deadline.max(clock::deadline(clock::now() + WRITING)), &mut self.keeper).await.is_err() {
            tracing::warn!("learned costs could not be written in time");
        }
        if !self.front.is_finished() && timeout_at(deadline, &mut self.front).await.is_err() {
            tracing::warn!("drain_timeout passed with connections still open");
        }
        let joined = tokio::task::spawn_blocking(move || workers.into_iter().for_each(WorkerHandle::join));
        if timeout_at(deadline, joined).await.is_err() {
            tracing::warn!("drain_timeout passed with a batch still running");
        }
        if let Some(monitor) = self.monitor.take() {
            let ended = tokio::task::spawn_blocking(|| monitor.stop());
            if timeout_at(clock::deadline(ends.min(clock::now() + ASKING)), ended).await.is_err() {
                tracing::warn!("NVML does not answer, and is waited for no longer");
            }
        }
        trace.finish(clock::deadline(ends.max(clock::now() + ASKING))).await;
        self.watches.abort();
        let (tracer, left) = (self.tracer.clone(), ends.since(clock::now()));
        drop(tokio::task::spawn_blocking(move || tracer.stop(left)).await);
        // Those who read a trace are worth a short wait, a scraper that holds its connection open is not.
        if handle.recorder().is_recording() && !self.admin.is_finished() {
            let last = clock::deadline(ends.min(clock::now() + READING));
            drop(timeout_at(last, &mut self.admin).await);
        }
        tracing::info!("stopped");
    }
}
