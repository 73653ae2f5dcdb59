//! What the front needs from the rest of the program, and nothing more.
//!
//! The dispatch handle is the real one; handlers are tested against a stand-in.

use crate::dispatch::Handle;
use crate::error::Error;
use crate::model::Model;
use crate::request::{InferReply, InferRequest};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer on its way. Dropping it cancels the request.
pub type InferFuture<'a> = Pin<Box<dyn Future<Output = Result<InferReply, Error>> + Send + 'a>>;

/// A change of a model under way. Dropping it changes nothing.
pub type ChangeFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

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

    /// Brings a model back that was unloaded; completes once it answers, or cannot.
    fn load(&self, model: Arc<Model>) -> ChangeFuture<'_>;

    /// Takes a model out of service; completes once its requests are refused.
    fn unload(&self, model: Arc<Model>) -> ChangeFuture<'_>;

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

    fn load(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        Box::pin(Handle::load(self, model))
    }

    fn unload(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        Box::pin(Handle::unload(self, model))
    }

    fn max_rows(&self) -> u32 {
        self.gate().max_rows()
    }
}
