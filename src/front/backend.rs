//! What the front needs from the rest of the program, and nothing more.
//!
//! The repository of `dispatch` is the real one; handlers are tested against a stand-in.

use crate::dispatch::Repository;
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

    /// Reads a model's source again; completes once what it holds is served, or cannot be.
    fn load(&self, model: Arc<Model>) -> ChangeFuture<'_>;

    /// Takes a model out of service; completes once its requests are refused.
    fn unload(&self, model: Arc<Model>) -> ChangeFuture<'_>;

    /// Most rows that any queue takes; what holds more need not be decoded.
    fn max_rows(&self) -> u32;
}

impl Backend for Repository {
    fn infer(&self, request: InferRequest) -> InferFuture<'_> {
        Box::pin(self.handle().infer(request))
    }

    fn reserve(&self, bytes: usize) -> Result<Held, Error> {
        Ok(Box::new(self.handle().gate().reserve(bytes)?))
    }

    fn load(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        Box::pin(async move { Repository::load(self, &model.name).await })
    }

    fn unload(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        Box::pin(async move { Repository::unload(self, &model.name).await })
    }

    fn max_rows(&self) -> u32 {
        self.handle().gate().max_rows()
    }
}
