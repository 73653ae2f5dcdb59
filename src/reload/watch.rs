//! The task that keeps what is live in step with its folder or file.
//!
//! Decides when that is looked at: soon after a notice, and every now and then without one.

use super::notices::Notices;
use super::read::QUIET;
use crate::types::locked;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Longest wait for that silence.
const BURST: Duration = Duration::from_millis(250);
/// Between two looks where changes are noticed: for links and mounts that give no notice.
const NOTICED: Duration = Duration::from_secs(10);
/// Between two looks where they are not.
const UNNOTICED: Duration = Duration::from_millis(250);
/// Between the two readings that must agree after a silence.
const GAP: Duration = Duration::from_millis(10);

/// What is live of a folder or file.
pub trait Watched: Send + Sync + 'static {
    /// The folder or file, if there is one to watch.
    fn path(&self) -> Option<&Path>;

    /// Brings what is live up to it; answers whether that was at rest, its readings `gap` apart. Blocks.
    fn refresh(&self, gap: Duration) -> bool;
}

/// Keeps `live` in step for as long as the future is polled; where there is nothing to watch it ends at once.
///
/// # Cancel safety
/// Dropping the future stops the watch; a look that has begun ends by itself.
pub async fn watch(live: Arc<impl Watched>) {
    let Some(path) = live.path() else { return };
    let wake = Arc::new(Notify::new());
    let notices = Notices::new(path, Arc::clone(&wake));
    follow(live, notices, &wake).await;
}

async fn follow(live: Arc<impl Watched>, notices: Notices, wake: &Notify) {
    let notices = Arc::new(Mutex::new(notices));
    loop {
        let pause = look(&live, &notices).await;
        tokio::select! {
            () = wake.notified() => quiet(wake).await,
            () = sleep(pause) => {}
        }
    }
}

/// Looks off the runtime; answers when to look again if nothing is noticed.
async fn look(live: &Arc<impl Watched>, notices: &Arc<Mutex<Notices>>) -> Duration {
    let (live, notices) = (Arc::clone(live), Arc::clone(notices));
    let looked = spawn_blocking(move || {
        let noticed = locked(&notices).renew();
        // What is not noticed has not been waited for either.
        let settled = live.refresh(if noticed { GAP } else { QUIET });
        match (settled, noticed) {
            (false, _) => QUIET,
            (true, true) => NOTICED,
            (true, false) => UNNOTICED,
        }
    });
    looked.await.unwrap_or_else(|error| {
        tracing::error!("what is watched was not looked at: {error}");
        NOTICED
    })
}

/// Waits until a burst of changes is over, or has lasted.
async fn quiet(wake: &Notify) {
    let burst = sleep(BURST);
    tokio::pin!(burst);
    loop {
        tokio::select! {
            () = &mut burst => return,
            () = sleep(QUIET) => return,
            () = wake.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
