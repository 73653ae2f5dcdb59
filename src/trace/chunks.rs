//! Bytes in chunks, which grow without moving what they hold, within an allowance that several share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a chunk, but for one that a single longer piece needs.
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

/// Pieces in the order they came; each lies whole in one chunk.
#[derive(Debug)]
pub(super) struct Chunks {
    chunks: VecDeque<Chunk>,
    allowance: Arc<Allowance>,
}

/// A chunk and what was taken for it.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    taken: usize,
}

impl Chunks {
    pub(super) fn new(allowance: Arc<Allowance>) -> Self {
        Self { chunks: VecDeque::new(), allowance }
    }

    /// Adds a piece; false, and nothing is added, when the allowance does not reach.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        match self.chunks.back_mut() {
            Some(Chunk { bytes, taken }) if bytes.len() + piece.len() <= *taken => bytes.extend_from_slice(piece),
            _ => {
                let taken = CHUNK.max(piece.len());
                if !self.allowance.take(taken) {
                    return false;
                }
                let mut bytes = Vec::with_capacity(taken);
                bytes.extend_from_slice(piece);
                self.chunks.push_back(Chunk { bytes, taken });
            }
        }
        true
    }

    /// Takes the first chunk out; its bytes are no longer counted.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let Chunk { bytes, taken } = self.chunks.pop_front()?;
        self.allowance.give_back(taken);
        Some(bytes)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
