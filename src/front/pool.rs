//! Threads for work too long for the threads that move bytes.
//!
//! Decides how many closures run at once. What is too long is each caller's own measure.

use crate::error::{Error, Reason};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Bodies up to this many bytes are decoded and tokenised where they arrive: at about 1.4 µs a token
/// a kilobyte of text takes less than half a millisecond.
pub(super) const INLINE_TEXT: usize = 1 << 10;
/// Tensors up to this many bytes are decoded and encoded where they are: well under a millisecond.
pub(super) const INLINE_TENSORS: usize = 32 << 10;

/// A bounded share of tokio's blocking threads.
#[derive(Debug, Clone)]
pub struct Pool {
    slots: Arc<Semaphore>,
}

impl Pool {
    /// Builds a pool of `threads`, at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Runs `work` here when `inline`, else on the pool.
    ///
    /// # Errors
    /// The work's own, or `execution_failed` when it panicked.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the work is never started; later, it ends unheard.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        inline: bool,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if inline {
            // Unwinding further would end the connection, and every other request on it.
            return catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken()));
        }
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Error::new(Reason::Draining, "shutting down"))?;
        let task = spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        task.await.map_err(|_| broken())?
    }
}

/// The answer to a request whose work panicked.
fn broken() -> Error {
    Error::new(Reason::ExecutionFailed, "the request could not be processed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_and_a_panic_is_an_answer() {
        let pool = Pool::new(1);
        assert_eq!(pool.run(false, || Ok(1)).await.unwrap(), 1);
        for inline in [false, true] {
            let failed = pool.run::<()>(inline, || panic!("a bug")).await.unwrap_err();
            assert_eq!(failed.reason, Reason::ExecutionFailed);
        }
        assert_eq!(pool.run(false, || Ok(2)).await.unwrap(), 2, "the slot is given back");
    }
}
