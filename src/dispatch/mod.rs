//! Dispatch: the one task that owns a scheduler, and the handle callers wait on.

use crate::error::Error;
use crate::request::{InferReply, InferRequest};

/// Where the front hands in requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle;

impl Handle {
    /// Queues a request and waits for its answer.
    ///
    /// # Errors
    /// Every refusal of contract 3 that the scheduler or the model can give.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request: a waiting row is never computed.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn infer(&self, request: InferRequest) -> Result<InferReply, Error> {
        drop(request);
        Err(Error::invalid(""))
    }

    /// The gate that guards decoding.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &Gate
    }
}

/// Bounds the bytes of requests being decoded, waiting or answered.
#[derive(Debug)]
pub struct Gate;

/// A reservation of bytes; given back on drop.
#[derive(Debug)]
pub struct Permit;

impl Gate {
    /// Reserves `bytes` for a request about to be decoded.
    ///
    /// # Errors
    /// `overloaded` when the bytes do not fit or every queue is full, `draining` during shutdown.
    pub fn reserve(&self, _bytes: usize) -> Result<Permit, Error> {
        Ok(Permit)
    }
}
