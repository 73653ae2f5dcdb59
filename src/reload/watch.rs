//! The task that keeps policies in step with their folder.
//!
//! Decides when the folder is looked at: soon after a notice, and every now and then without one.

use super::Live;
use super::notices::Notices;
use super::read::QUIET;
use crate::types::locked;
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

/// Follows the folder of `live` for as long as the future is polled; without a folder it ends at once.
///
/// # Cancel safety
/// Dropping the future stops the watch; a look that has begun ends by itself.
pub async fn watch(live: Arc<Live>) {
    let Some(folder) = live.folder() else { return };
    let wake = Arc::new(Notify::new());
    let notices = Notices::new(folder, Arc::clone(&wake));
    follow(live, notices, &wake).await;
}

async fn follow(live: Arc<Live>, notices: Notices, wake: &Notify) {
    let notices = Arc::new(Mutex::new(notices));
    loop {
        let pause = look(&live, &notices).await;
        tokio::select! {
            () = wake.notified() => quiet(wake).await,
            () = sleep(pause) => {}
        }
    }
}

/// Looks at the folder off the runtime; answers when to look again if nothing is noticed.
async fn look(live: &Arc<Live>, notices: &Arc<Mutex<Notices>>) -> Duration {
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
        tracing::error!("the policy folder was not looked at: {error}");
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
