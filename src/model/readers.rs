//! Tracks the requests that may still use a model that was taken out of the live table.
//!
//! Decides when nobody does: once every reading that began before has ended. Knows no models.

use crate::types::locked;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Held by whoever looks a model up to send it requests, from before the look until the last is answered.
#[derive(Debug)]
pub struct Reading {
    _epoch: Arc<Epoch>,
}

/// The time between two changes of the table; its sender goes once its last reading has ended.
#[derive(Debug)]
struct Epoch {
    over: watch::Sender<()>,
}

impl Default for Epoch {
    fn default() -> Self {
        Self { over: watch::Sender::new(()) }
    }
}

/// All readings under way, by the epoch that they began in.
#[derive(Debug, Default)]
pub(super) struct Readers {
    now: ArcSwap<Epoch>,
    past: Mutex<Vec<watch::Receiver<()>>>,
}

impl Readers {
    /// Begins a reading.
    pub(super) fn begin(&self) -> Reading {
        Reading { _epoch: self.now.load_full() }
    }

    /// Ends an epoch, after the table has changed: what begins from now on sees the change.
    pub(super) fn turn(&self) -> Earlier {
        let mut past = locked(&self.past);
        let before = self.now.swap(Arc::default());
        past.retain(|epoch| epoch.has_changed().is_ok());
        past.push(before.over.subscribe());
        Earlier(past.clone())
    }
}

/// The readings that had begun when the table changed.
#[derive(Debug)]
#[must_use = "what was taken out of the table may still be in use"]
pub struct Earlier(Vec<watch::Receiver<()>>);

impl Earlier {
    /// Completes once all of them have ended. Cancel safe.
    pub async fn ended(mut self) {
        for epoch in &mut self.0 {
            // Nothing is ever sent: it is over when its sender is gone.
            while epoch.changed().await.is_ok() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    fn is_over(ended: Pin<&mut impl Future<Output = ()>>) -> bool {
        ended.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_change_is_over_once_all_that_began_before_has_ended() {
        let readers = Readers::default();
        let first = readers.begin();
        let mut one = pin!(readers.turn().ended());
        let second = readers.begin();
        let mut two = pin!(readers.turn().ended());
        let third = readers.begin();
        assert!(!is_over(one.as_mut()));
        drop(second);
        assert!(!is_over(two.as_mut()), "what began before the first change may hold what it left");
        drop(first);
        assert!(is_over(one) && is_over(two));
        let mut three = pin!(readers.turn().ended());
        assert!(!is_over(three.as_mut()));
        drop(third);
        assert!(is_over(three));
        assert!(is_over(pin!(readers.turn().ended())));
    }
}
