//! The connections of the admin plane.
//!
//! Decides which of them goes when there are too many.

use crate::clock::{self, Seldom};
use crate::types::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Most connections at a time, each of which costs the process a file descriptor.
pub(super) const CONNECTIONS: usize = 128;
/// Warns of more.
static TOO_MANY: Seldom = Seldom::new(Duration::from_secs(60));

/// The connections there are.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Oldest first.
    open: Vec<(AbortHandle, Activity)>,
}

impl Connections {
    /// Makes room for a connection: the one goes whose client has kept it waiting for the longest, so that
    /// nobody who holds many keeps a probe out; where all are at work, the oldest.
    pub(super) fn admit(&mut self, task: AbortHandle, activity: Activity) {
        self.open.retain(|(task, _)| !task.is_finished());
        // Of equals the first is found.
        let longest = self.open.iter().enumerate().min_by_key(|(_, (_, activity))| activity.idle_since());
        if let Some((at, _)) = longest.filter(|_| self.open.len() >= CONNECTIONS) {
            self.open.remove(at).0.abort();
            if TOO_MANY.pass(clock::now()).is_some() {
                let message = "too many connections to the admin plane: those that wait longest are closed";
                tracing::warn!(limit = CONNECTIONS, "{message}");
            }
        }
        self.open.push((task, activity));
    }
}

/// Since when a connection waits for its client. Clones tell of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// That of a connection which was just opened.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(clock::now().0)))
    }

    /// Begins the work on a request that has arrived.
    pub(super) fn begin(self) -> Working {
        self.0.store(Time::NEVER.0, Ordering::Relaxed);
        Working(self)
    }

    /// [`Time::NEVER`] for one at work.
    fn idle_since(&self) -> Time {
        Time(self.0.load(Ordering::Relaxed))
    }
}

/// Work on a request, until its answer is handed over.
#[derive(Debug)]
pub(super) struct Working(Activity);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.store(clock::now().0, Ordering::Relaxed);
    }
}
