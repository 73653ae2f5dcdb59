//! The tasks of a running program, and the order in which they stop.

use crate::clock;
use crate::config::Config;
use crate::dispatch::Handle;
use crate::exec::WorkerHandle;
use crate::telemetry::Tracer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout_at};

/// The tasks without which the program is of no use.
pub(super) struct Tasks {
    pub(super) driver: JoinHandle<Vec<WorkerHandle>>,
    pub(super) front: JoinHandle<()>,
    pub(super) admin: JoinHandle<std::io::Result<()>>,
    /// The program can do without: it may end where there is nothing to watch.
    pub(super) policies: JoinHandle<()>,
    pub(super) tracer: Tracer,
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
        if !self.front.is_finished() && timeout_at(deadline, &mut self.front).await.is_err() {
            tracing::warn!("drain_timeout passed with connections still open");
        }
        let joined = tokio::task::spawn_blocking(move || workers.into_iter().for_each(WorkerHandle::join));
        if timeout_at(deadline, joined).await.is_err() {
            tracing::warn!("drain_timeout passed with a batch still running");
        }
        self.policies.abort();
        // A trace is worth waiting for, a scraper that holds its connection open is not.
        if handle.recorder().is_recording() && !self.admin.is_finished() {
            drop(timeout_at(deadline, &mut self.admin).await);
        }
        self.admin.abort();
        let (tracer, left) = (self.tracer.clone(), ends.since(clock::now()));
        drop(tokio::task::spawn_blocking(move || tracer.stop(left)).await);
        tracing::info!("stopped");
    }
}
