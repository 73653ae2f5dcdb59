//! The gate: refuses overload before anything is decoded, at the price of one atomic.

use crate::error::{Error, Reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Bodies of the largest size so far that are let in at a time, where the capacity grows.
const ALIKE: u64 = 128;

/// Bounds the bytes of bodies being decoded, waiting or answered. What they decode to may be larger.
#[derive(Debug)]
pub struct Gate {
    held: AtomicU64,
    capacity: AtomicU64,
    /// Whether large bodies raise the capacity, as far as `most`.
    grows: AtomicBool,
    /// The largest body so far.
    largest: AtomicU64,
    most: AtomicU64,
    /// Most rows that any policy's queue takes.
    max_rows: AtomicU32,
    full: AtomicBool,
    draining: AtomicBool,
    /// Predicted time to drain the queues, in ms, for `Retry-After`.
    drain_ms: AtomicU64,
}

/// A reservation of bytes; given back on drop.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
}

impl Gate {
    /// Builds a gate that lets `capacity` bytes in at a time.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            held: AtomicU64::new(0),
            capacity: AtomicU64::new(capacity),
            grows: AtomicBool::new(false),
            largest: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            max_rows: AtomicU32::new(u32::MAX),
            full: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            drain_ms: AtomicU64::new(0),
        }
    }

    /// Reserves `bytes` for a request about to be decoded. A single request always fits an empty gate.
    ///
    /// # Errors
    /// `overloaded` when the bytes do not fit or every queue is full, `draining` during shutdown.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Permit, Error> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(draining());
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(self.overloaded("the queue is full"));
        }
        let bytes = bytes as u64;
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit { gate: Arc::clone(self), bytes };
        if before > 0 && before.saturating_add(bytes) > self.capacity.load(Ordering::Relaxed) {
            let capacity = self.raised(bytes);
            if before.saturating_add(bytes) > capacity {
                return Err(self.overloaded(&format!(
                    "{before} bytes of requests are in flight, this one has {bytes}, and at most {capacity} may be \
                     (twice the largest queue.max_bytes)"
                )));
            }
        }
        Ok(permit)
    }

    /// The capacity, with room for [`ALIKE`] bodies of the largest size where it grows.
    fn raised(&self, bytes: u64) -> u64 {
        let capacity = self.capacity.load(Ordering::Relaxed);
        if !self.grows.load(Ordering::Relaxed) {
            return capacity;
        }
        let largest = self.largest.fetch_max(bytes, Ordering::Relaxed).max(bytes);
        capacity.max(largest.saturating_mul(ALIKE).min(self.most.load(Ordering::Relaxed)))
    }

    /// The bytes reserved now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Most rows that any queue takes: a request of more is refused, so it need not be decoded.
    #[must_use]
    pub fn max_rows(&self) -> u32 {
        self.max_rows.load(Ordering::Relaxed)
    }

    /// Notes the largest `queue.max_rows` of the live policies.
    pub(super) fn set_max_rows(&self, rows: u32) {
        self.max_rows.store(rows, Ordering::Relaxed);
    }

    /// Sets the bytes that it lets in, and whether large bodies raise that.
    pub(super) fn set_capacity(&self, bytes: u64, grows: bool) {
        self.capacity.store(bytes, Ordering::Relaxed);
        self.grows.store(grows, Ordering::Relaxed);
    }

    /// Bounds what large bodies may raise the capacity to.
    pub fn set_most(&self, bytes: u64) {
        self.most.store(bytes, Ordering::Relaxed);
    }

    /// Notes whether every queue is full, and how long draining them is predicted to take.
    pub(super) fn set_full(&self, full: bool, drain: Duration) {
        self.full.store(full, Ordering::Relaxed);
        self.drain_ms.store(u64::try_from(drain.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Refuses everything from now on.
    pub(super) fn close(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn overloaded(&self, what: &str) -> Error {
        let drain = Duration::from_millis(self.drain_ms.load(Ordering::Relaxed));
        Error::new(Reason::Overloaded, format_args!("{what}; retry later")).retry_after(drain)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The refusal of every request during shutdown.
pub(super) fn draining() -> Error {
    Error::new(Reason::Draining, "the server is shutting down; retry on another").retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_the_permit_goes_even_a_refused_one() {
        let gate = Arc::new(Gate::new(100));
        let first = gate.reserve(80).expect("fits");
        let refused = gate.reserve(30).expect_err("does not fit beside it");
        assert_eq!(refused.reason, Reason::Overloaded);
        assert_eq!(gate.held(), 80);
        drop(first);
        assert_eq!(gate.held(), 0);
        let large = gate.reserve(1_000).expect("alone, even a large request is let in");
        assert_eq!(gate.held(), 1_000);
        drop(large);
    }

    #[test]
    fn large_bodies_raise_the_capacity_where_it_grows_as_far_as_memory_goes() {
        let gate = Arc::new(Gate::new(0));
        gate.set_capacity(100, true);
        let held: Vec<Permit> = (0..128).map(|_| gate.reserve(80).expect("room for many alike")).collect();
        let refused = gate.reserve(80).expect_err("one too many");
        let told = "10240 bytes of requests are in flight, this one has 80, and at most 10240 may be";
        assert!(refused.message.contains(told) && refused.message.contains("queue.max_bytes"), "{}", refused.message);
        drop(held);
        gate.set_most(1_000);
        let held: Vec<Permit> = (0..12).map(|_| gate.reserve(80).expect("below what memory bears")).collect();
        gate.reserve(80).expect_err("more than memory bears");
        drop(held);
        gate.set_capacity(100, false);
        let _first = gate.reserve(80).expect("fits");
        gate.reserve(80).expect_err("what is written stands");
    }

    #[test]
    fn rows_are_unbounded_until_the_policies_are_known() {
        let gate = Gate::new(100);
        assert_eq!(gate.max_rows(), u32::MAX);
        gate.set_max_rows(7);
        assert_eq!(gate.max_rows(), 7);
    }

    #[test]
    fn a_full_queue_and_a_shutdown_close_it() {
        let gate = Arc::new(Gate::new(100));
        gate.set_full(true, Duration::from_secs(3));
        let refused = gate.reserve(1).expect_err("full");
        assert_eq!((refused.reason, refused.retry_after), (Reason::Overloaded, Some(Duration::from_secs(3))));
        gate.set_full(false, Duration::ZERO);
        drop(gate.reserve(1).expect("room again"));
        gate.close();
        assert_eq!(gate.reserve(1).expect_err("closed").reason, Reason::Draining);
    }
}
