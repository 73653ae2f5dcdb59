//! A backend that answers by echo.

use crate::error::Error;
use crate::front::{Backend, ChangeFuture, Held, InferFuture};
use crate::model::{Datatype, Model, ModelState};
use crate::request::{Answer, BatchSummary, InferReply, InferRequest, Payload, Tensor, Timing, Want};
use crate::types::{BatchId, Priority, Time};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What the backend was last asked.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::front) struct Asked {
    pub(in crate::front) tenant: String,
    pub(in crate::front) priority: Priority,
    pub(in crate::front) deadline: Option<Time>,
    /// Tokens of each text item.
    pub(in crate::front) lens: Vec<usize>,
}

/// Answers tensors with themselves, and texts with `[tokens, first id, 1, 0]`.
#[derive(Debug, Default)]
pub(in crate::front) struct Echo {
    pub(in crate::front) refuse: Mutex<Option<Error>>,
    pub(in crate::front) refuse_room: Mutex<Option<Error>>,
    pub(in crate::front) max_rows: Mutex<Option<u32>>,
    pub(in crate::front) asked: Mutex<Option<Asked>>,
    /// Replaces a tensor's data on its way back.
    pub(in crate::front) instead: Mutex<Option<Bytes>>,
    pub(in crate::front) hang: Mutex<bool>,
    pub(in crate::front) arrived: Notify,
    pub(in crate::front) cancelled: Arc<Notify>,
    pub(in crate::front) held: Arc<AtomicUsize>,
}

struct Room(Arc<AtomicUsize>, usize);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Backend for Echo {
    fn infer(&self, request: InferRequest) -> InferFuture<'_> {
        Box::pin(async move {
            if *self.hang.lock().unwrap() {
                let _dropped = NotifyOnDrop(Arc::clone(&self.cancelled));
                self.arrived.notify_one();
                return std::future::pending().await;
            }
            if let Some(error) = self.refuse.lock().unwrap().clone() {
                return Err(error);
            }
            let lens =
                request.items.iter().filter_map(|i| if let Payload::Tokens(t) = i { Some(t.ids.len()) } else { None });
            *self.asked.lock().unwrap() = Some(Asked {
                tenant: request.tenant.to_string(),
                priority: request.priority,
                deadline: request.deadline,
                lens: lens.collect(),
            });
            Ok(self.answer(&request))
        })
    }

    fn reserve(&self, bytes: usize) -> Result<Held, Error> {
        if let Some(error) = self.refuse_room.lock().unwrap().clone() {
            return Err(error);
        }
        self.held.fetch_add(bytes, Ordering::SeqCst);
        Ok(Box::new(Room(Arc::clone(&self.held), bytes)))
    }

    fn load(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        model.set_state(ModelState::Ready);
        Box::pin(async { Ok(()) })
    }

    fn unload(&self, model: Arc<Model>) -> ChangeFuture<'_> {
        model.set_state(ModelState::Unloaded);
        Box::pin(async { Ok(()) })
    }

    fn max_rows(&self) -> u32 {
        self.max_rows.lock().unwrap().unwrap_or(u32::MAX)
    }
}

impl Echo {
    fn answer(&self, request: &InferRequest) -> InferReply {
        let ms = Duration::from_millis;
        InferReply {
            answers: request.items.iter().map(|item| self.one(item, &request.want)).collect(),
            timing: Timing { queue: ms(1), assemble: Duration::from_micros(20), compute: ms(3) },
            batch: BatchSummary {
                id: BatchId(5),
                rows: 12,
                tokens: 410,
                padded: 480,
                policy: "default".into(),
                generation: 3,
                batches: u32::try_from(request.items.len()).unwrap(),
            },
        }
    }

    fn one(&self, item: &Payload, want: &Want) -> Answer {
        match (item, want) {
            (Payload::Tokens(tokens), Want::Embedding) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                Answer::Embedding(vec![tokens.ids.len() as f32, tokens.ids[0] as f32, 1.0, 0.0])
            }
            (Payload::Tokens(tokens), Want::Outputs(_)) => {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let data = [tokens.ids.len() as f32, 0.5].map(f32::to_le_bytes).concat();
                Answer::Outputs(vec![Tensor { datatype: Datatype::Fp32, shape: vec![1, 2], data: data.into() }])
            }
            (Payload::Tensors(item), Want::Outputs(indices)) => {
                let mut tensors: Vec<Tensor> = indices.iter().map(|&i| item.tensors[i].clone()).collect();
                if let Some(data) = self.instead.lock().unwrap().clone() {
                    tensors[0].data = data;
                }
                Answer::Outputs(tensors)
            }
            (Payload::Tensors(_), Want::Embedding) => panic!("tensors are never embedded"),
        }
    }
}
