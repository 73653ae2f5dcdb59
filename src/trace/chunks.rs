//! Lines in chunks, which grow without moving what they hold, within an allowance that several share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a chunk, but for one that a single longer line needs.
const CHUNK: usize = 64 << 10;

/// How many bytes all who share it may still keep.
#[derive(Debug)]
pub(super) struct Allowance(AtomicUsize);

impl Allowance {
    pub(super) fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Whether there is nothing left to begin with.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) < CHUNK
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Lines in the order they came; each lies whole in one chunk.
#[derive(Debug)]
pub(super) struct Chunks {
    chunks: VecDeque<(Part, usize)>,
    allowance: Arc<Allowance>,
}

/// Some lines.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    /// How many they are.
    pub(super) lines: u64,
    /// Rows they tell of.
    pub(super) rows: u64,
}

impl Chunks {
    pub(super) fn new(allowance: Arc<Allowance>) -> Self {
        Self { chunks: VecDeque::new(), allowance }
    }

    /// Builds an empty one that shares the allowance.
    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.allowance))
    }

    /// Adds a line that tells of so many rows; false, and nothing is added, when the allowance does not reach.
    pub(super) fn push(&mut self, line: &[u8], rows: u64) -> bool {
        let fits = |(part, taken): &(Part, usize)| part.bytes.len() + line.len() <= *taken;
        if !self.chunks.back().is_some_and(fits) {
            let taken = CHUNK.max(line.len());
            if !self.allowance.take(taken) {
                return false;
            }
            self.chunks.push_back((Part { bytes: Vec::with_capacity(taken), lines: 0, rows: 0 }, taken));
        }
        if let Some((part, _)) = self.chunks.back_mut() {
            part.bytes.extend_from_slice(line);
            part.lines += 1;
            part.rows = part.rows.saturating_add(rows);
        }
        true
    }

    /// Takes the first chunk out; its bytes are no longer counted.
    pub(super) fn pop(&mut self) -> Option<Part> {
        let (part, taken) = self.chunks.pop_front()?;
        self.allowance.give_back(taken);
        Some(part)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
