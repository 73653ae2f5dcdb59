//! What the front needs from the rest of the program, and nothing more.
//!
//! The dispatch handle is the real one; handlers are tested against a stand-in.

use crate::dispatch::Handle;
use crate::error::Error;
use crate::request::{InferReply, InferRequest};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// An answer on its way. Dropping it cancels the request.
pub type InferFuture<'a> = Pin<Box<dyn Future<Output = Result<InferReply, Error>> + Send + 'a>>;

/// Something held until an answer is written; given back on drop.
pub type Held = Box<dyn Send + Sync>;

/// Answers requests, and says beforehand whether there is room to decode one.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Queues a request and waits for its answer. Dropping the future cancels the request.
    fn infer(&self, request: InferRequest) -> InferFuture<'_>;

    /// Reserves `bytes` for a request that is about to be read.
    ///
    /// # Errors
    /// `overloaded` when there is no room, `draining` during shutdown.
    fn reserve(&self, bytes: usize) -> Result<Held, Error>;

    /// Most rows that any queue takes; what holds more need not be decoded.
    fn max_rows(&self) -> u32;
}

impl Backend for Handle {
    fn infer(&self, request: InferRequest) -> InferFuture<'_> {
        Box::pin(Handle::infer(self, request))
    }

    fn reserve(&self, bytes: usize) -> Result<Held, Error> {
        Ok(Box::new(self.gate().reserve(bytes)?))
    }

    fn max_rows(&self) -> u32 {
        self.gate().max_rows()
    }
}
